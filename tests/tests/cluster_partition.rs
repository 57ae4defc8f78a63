//! Links between nodes are cut, while clients and the database reach all of them: the majority serves
//! again soon, the minority refuses with a hint, and when the links are mended all serve all soon.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use quarry_tests::{
    chaos::{Arena, Fault, judge},
    client::Answer,
    cluster::{self, Cluster},
    failover::{owned_by, progressed},
    ownership::{Standing, at_rest},
    report::say,
    wait::{Stopwatch, until},
    workload::{Appended, Load, Registers},
};
const NODES: u16 = 3;
const SEED: u64 = 1;
const LOAD: Load = Load::endless(4, 40);
const WITHIN: Duration = Duration::from_mins(1);
/// How soon the others serve what the node had; and where it led.
const SERVED_WITHIN: Duration = Duration::from_secs(5);
const SERVED_WITHIN_LED: Duration = Duration::from_secs(7);
/// How soon the node refuses, which is when its lease has ended at the latest.
const REFUSED_WITHIN: Duration = Duration::from_secs(5);
/// How soon all is served at all nodes when the links are mended.
const BACK_WITHIN: Duration = Duration::from_secs(5);
/// Entities that are asked for at the node when the links are mended.
const ASKED: u32 = 20;

/// Who sends what the test sends; the load's clients count from 0.
const PROBE: u32 = 1_000_000;

/// Waits until another node than `node` answers for `id`.
async fn others_serve(majority: &Registers, node: u16, id: &str) -> Result<()> {
    until("the majority serves", WITHIN, async || {
        let Ok(Answer::Done { body, .. }) = majority.append_once(PROBE, id).await else {
            return None;
        };
        let appended: Appended = serde_json::from_value(body).ok()?;
        (appended.owner_node().ok()? != node).then_some(())
    })
    .await
}

/// Waits until a node refuses what it had, for now, and says when to ask again.
async fn refuses(minority: &Registers, id: &str) -> Result<()> {
    let problem = until("the minority refuses", REFUSED_WITHIN, async || {
        match minority.append_once(PROBE, id).await {
            Ok(Answer::Refused(problem)) => Some(Ok(problem)),
            Ok(Answer::Done { .. } | Answer::Unknown(_) | Answer::Failed(_)) => None,
            Err(error) => Some(Err(error)),
        }
    })
    .await??;
    let is_for_now = problem.retryable && problem.retry_after_ms.is_some();
    ensure!(problem.status == 503 && is_for_now, "{problem:?}");
    Ok(())
}

/// Waits until a node answers for all entities.
async fn serves(node: &Registers) -> Result<()> {
    let mut register = 0;
    until("the node serves all again", BACK_WITHIN, async || {
        while register < ASKED {
            let answer = node.append_once(PROBE, &format!("r{register}")).await;
            if !matches!(answer, Ok(Answer::Done { .. })) {
                return None;
            }
            register += 1;
        }
        Some(())
    })
    .await
}

/// Cuts links of `node`, and mends them.
async fn parts(
    (arena, cluster): (&mut Arena, &mut Cluster),
    registers: &Registers,
    (fault, node): (Fault, u16),
    served_within: Duration,
) -> Result<()> {
    let majority = registers.through(cluster.urls_beside(node));
    let minority = registers.through(vec![cluster.url(node)?.to_owned()]);
    let register = owned_by(&majority, node).await?;
    registers.recorder().note(format!("begins: {fault}"));
    arena.strike(cluster, &[fault]).await?;
    let cut = Stopwatch::start();
    others_serve(&majority, node, &register).await?;
    let served = cut.elapsed();
    refuses(&minority, &register).await?;
    arena.undo(cluster, &[fault]).await?;
    registers.recorder().note(format!("ends: {fault}"));
    let mended = Stopwatch::start();
    serves(&minority).await?;
    let back = mended.elapsed();
    say(format!("{fault}: others serve after {served:?}, node {node} again after {back:?}"));
    ensure!(served < served_within, "{fault}: others serve after {served:?}");
    ensure!(back < BACK_WITHIN, "{fault}: all is served after {back:?}");
    at_rest(cluster, WITHIN).await
}

/// Planes beyond loopback without TLS are in the status and in the log of the node.
async fn says_that_it_is_insecure(cluster: &Cluster, node: u16) -> Result<()> {
    let page = cluster.client().text(&format!("{}/v1/cluster", cluster.url(node)?)).await?;
    let page: serde_json::Value = serde_json::from_str(&page)?;
    ensure!(page.get("planes").is_some_and(|planes| planes == "insecure"), "{page}");
    let log = std::fs::read_to_string(cluster.directory().join(format!("node-{node}.log")))?;
    ensure!(log.contains("go beyond loopback without TLS"), "no warning in the log");
    Ok(())
}

async fn all_are_parted(arena: &mut Arena, cluster: &mut Cluster) -> Result<()> {
    at_rest(cluster, WITHIN).await?;
    says_that_it_is_insecure(cluster, 1).await?;
    let registers = Registers::new(cluster.client().clone(), cluster.urls());
    let load = registers.load(LOAD);
    progressed(&registers, 50, WITHIN).await?;
    let standing = Standing::of(cluster).await?;
    let (leader, node) = (standing.leader, standing.other);
    let link = Fault::Link(leader.min(node), leader.max(node));
    for fault in [Fault::Isolate(node), Fault::Mute(node), Fault::Deafen(node), link] {
        parts((&mut *arena, &mut *cluster), &registers, (fault, node), SERVED_WITHIN).await?;
        // A voter that hears no leader asks before it stands, and unseats nobody.
        standing.leads_on(cluster).await.with_context(|| fault.to_string())?;
    }
    for make in [Fault::Isolate, Fault::Mute, Fault::Deafen] {
        let node = Standing::of(cluster).await?.leader;
        let whom = (make(node), node);
        parts((&mut *arena, &mut *cluster), &registers, whom, SERVED_WITHIN_LED).await?;
    }
    let unanswered = load.stop().await?;
    ensure!(unanswered == 0, "{unanswered} appends were never answered");
    say(format!("{:?}", judge(cluster, &registers).await?));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn majorities_serve_minorities_refuse_and_all_is_well_when_links_are_mended() -> Result<()> {
    let (mut arena, cluster) = match Arena::build(NODES, SEED).await? {
        Ok(built) => built,
        Err(forbidden) => {
            say(format!("skipped, this machine has no network: {}", forbidden.0));
            return Ok(());
        }
    };
    cluster::run_prepared(cluster, async |cluster| all_are_parted(&mut arena, cluster).await).await
}
