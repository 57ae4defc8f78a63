//! A voter and its disk are lost, and another takes its place, under load: then the cluster outlives
//! the loss of one more.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use quarry_tests::{
    cluster::{self, Cluster},
    failover::progressed,
    ledger::Ledger,
    process::StoreKind,
    report::say,
    wait::{Stopwatch, until},
    workload::{Load, Registers},
};
use serde_json::{Value, json};

const LOAD: Load = Load::endless(6, 40);
const STEP_WITHIN: Duration = Duration::from_mins(1);

/// What node `id` says of the cluster.
async fn cluster_of(cluster: &Cluster, id: u16) -> Option<Value> {
    let page =
        cluster.client().text(&format!("{}/v1/cluster", cluster.url(id).ok()?)).await.ok()?;
    serde_json::from_str(&page).ok()
}

/// Asks node `id` for the replacement; the status of its answer, and the answer.
async fn replace(cluster: &Cluster, id: u16, old: u16, new: u16) -> Result<(u16, Value)> {
    let url = format!("{}/v1/cluster/voters:replace", cluster.url(id)?);
    let body = json!({ "old": old, "new": new });
    let sent = reqwest::Client::new().post(url).json(&body).timeout(STEP_WITHIN).send().await?;
    let status = sent.status().as_u16();
    Ok((status, serde_json::from_slice(&sent.bytes().await?)?))
}

/// The answer to a replacement once it is taken: as long as the old voter's lease is not over, the
/// cluster says that it is up.
async fn replaced(cluster: &Cluster, id: u16, old: u16, new: u16) -> Result<Value> {
    let mut last = None;
    let answer = until("the voter is replaced", STEP_WITHIN, async || {
        match replace(cluster, id, old, new).await {
            Ok((200, answer)) => Some(answer),
            other => {
                last = Some(other);
                None
            }
        }
    });
    answer.await.with_context(|| format!("{last:?}"))
}

/// Waits until the nodes agree that these vote.
async fn voters_are(cluster: &Cluster, nodes: &[u16], voters: &[u16]) -> Result<()> {
    for node in nodes {
        until(&format!("node {node} knows who votes"), STEP_WITHIN, async || {
            (cluster_of(cluster, *node).await?.get("voters")? == &json!(voters)).then_some(())
        })
        .await?;
    }
    Ok(())
}

async fn leader(cluster: &Cluster, asked: u16) -> Result<u16> {
    let told = until("somebody leads", STEP_WITHIN, async || {
        cluster_of(cluster, asked).await?.get("leader")?.as_u64()
    });
    Ok(u16::try_from(told.await?)?)
}

/// A voter that was replaced finds its disk again: it says what it is, and ends.
async fn comes_back_in_vain(cluster: &mut Cluster, old: u16) -> Result<()> {
    cluster.start(old)?;
    let watch = Stopwatch::start();
    let status = cluster.ended(old, STEP_WITHIN).await?;
    ensure!(!status.success(), "node {old} ended with {status}");
    let told = format!("voter {old} was replaced while it was down: nodes 1, 3, 4 vote now");
    ensure!(cluster.tails().contains(&told), "it did not say so:\n{}", cluster.tails());
    say(format!("node {old} said that it was replaced {:?} after its start", watch.elapsed()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_voter_is_replaced_and_another_may_be_lost_then() -> Result<()> {
    cluster::run(3, StoreKind::Postgres, async |cluster| {
        let registers = Registers::new(cluster.client().clone(), cluster.urls());
        let load = registers.load(LOAD);
        progressed(&registers, 100, STEP_WITHIN).await?;
        let (status, answer) = replace(cluster, 1, 2, 4).await?;
        ensure!(status == 404, "there is no node 4: {status} {answer}");
        cluster.kill(2).await?;
        cluster.add(4, &[1, 3, 4])?;
        cluster.ready(4, STEP_WITHIN).await?;
        let watch = Stopwatch::start();
        let answer = replaced(cluster, 3, 2, 4).await?;
        say(format!("replaced after {:?}: {answer}", watch.elapsed()));
        voters_are(cluster, &[1, 3, 4], &[1, 3, 4]).await?;
        let again = replaced(cluster, 1, 2, 4).await?;
        ensure!(again == answer, "doing it again changes nothing: {again}");
        comes_back_in_vain(cluster, 2).await?;
        // The next voter that is lost is the one that leads.
        let lost = leader(cluster, 4).await?;
        cluster.kill(lost).await?;
        let watch = Stopwatch::start();
        let urls = cluster.urls_beside(lost);
        let done = registers.done();
        progressed(&registers, done + 100, STEP_WITHIN).await?;
        let left: Vec<u16> = [1, 3, 4].into_iter().filter(|node| *node != lost).collect();
        for node in &left {
            cluster.ready(*node, STEP_WITHIN).await?;
        }
        say(format!("goes on without node {lost} after {:?}", watch.elapsed()));
        let unanswered = load.stop().await?;
        ensure!(unanswered == 0, "{unanswered} appends were never answered");
        say(format!("{:?}", registers.through(urls).verify().await?));
        say(format!("{:?}", Ledger::of(cluster).await?.audit().await?));
        Ok(())
    })
    .await
}
