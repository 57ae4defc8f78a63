//! Nodes are killed with SIGKILL under load; nothing acknowledged is lost, nothing is done twice.

use std::{ops::RangeInclusive, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use quarry_tests::{
    client::{Answer, Client, Message},
    cluster::{self, Cluster},
    failover::{Failover, Fault, owned_by, owner, progressed, strike},
    ledger::Ledger,
    ownership::at_rest,
    process::StoreKind,
    report::say,
    wait::{Looks, Stopwatch, until},
    workload::{Load, Registers, Verified},
};
use serde_json::json;

const LOAD: Load = Load { clients: 8, registers: 50, appends: 1_000 };
const STEP_WITHIN: Duration = Duration::from_mins(1);
const REFUSED_WITHIN: Duration = Duration::from_secs(1);
/// How soon all nodes are ready that were killed together.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// Who sends what the test sends.
const PROBE: u32 = 1_000_001;
/// What is left of a lease of 2.55 s whose last heartbeat was 0.5 s ago at most; the kills take time too.
const LEASE_LEFT: RangeInclusive<Duration> =
    Duration::from_millis(1_500)..=Duration::from_millis(2_550);
/// How soon a node that starts refuses: it holds requests for 10 s.
const STARTING_WITHIN: Duration = Duration::from_secs(12);
/// How soon entities answer when there is a quorum again.
const BACK_WITHIN: Duration = Duration::from_secs(5);

async fn each_node_in_turn(cluster: &mut Cluster) -> Result<(Vec<Failover>, Verified)> {
    let registers = Registers::new(cluster.client().clone(), cluster.urls());
    let load = registers.load(LOAD);
    let mut failovers = Vec::new();
    for (turn, node) in (1..).zip(cluster.ids()) {
        progressed(&registers, turn * LOAD.appends / 4, STEP_WITHIN).await?;
        failovers.push(strike(cluster, &registers, node, Fault::Kill).await?);
        cluster.restart(node).await?;
    }
    let unanswered = load.finish().await?;
    ensure!(unanswered == 0, "{unanswered} appends were never answered");
    let verified = registers.verify().await?;
    ensure!(verified.epochs_most > 1, "no register ever moved: {verified:?}");
    let violations = cluster.violations().await?;
    ensure!(violations == 0, "{violations} violations of invariants");
    say(format!("{:?}", Ledger::of(cluster).await?.audit().await?));
    Ok((failovers, verified))
}

#[tokio::test]
async fn appends_outlive_the_kill_of_each_node_on_sqlite() -> Result<()> {
    cluster::run(3, StoreKind::Sqlite, async |cluster| {
        let (failovers, verified) = each_node_in_turn(cluster).await?;
        for failover in failovers {
            println!("SQLite: {failover}");
        }
        println!("SQLite: {verified:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn appends_outlive_the_kill_of_each_node_on_postgres() -> Result<()> {
    cluster::run(3, StoreKind::Postgres, async |cluster| {
        let (failovers, verified) = each_node_in_turn(cluster).await?;
        for failover in failovers {
            println!("PostgreSQL: {failover}");
        }
        println!("PostgreSQL: {verified:?}");
        Ok(())
    })
    .await
}

/// Every node is gone at once, and every node comes back by itself.
async fn all_at_once(cluster: &mut Cluster) -> Result<Verified> {
    let registers = Registers::new(cluster.client().clone(), cluster.urls());
    let load = registers.load(LOAD);
    progressed(&registers, LOAD.appends / 2, STEP_WITHIN).await?;
    for node in cluster.ids() {
        cluster.kill(node).await?;
    }
    let started = Stopwatch::start();
    cluster.start_all().await?;
    let ready = started.elapsed();
    say(format!("all nodes are ready {ready:?} after their start"));
    ensure!(ready < READY_WITHIN, "all nodes were ready after {ready:?}");
    let unanswered = load.finish().await?;
    ensure!(unanswered == 0, "{unanswered} appends were never answered");
    let verified = registers.verify().await?;
    say(format!("{:?}", Ledger::of(cluster).await?.audit().await?));
    Ok(verified)
}

#[tokio::test]
async fn a_cluster_comes_back_after_the_kill_of_all_nodes_on_sqlite() -> Result<()> {
    cluster::run(3, StoreKind::Sqlite, async |cluster| {
        println!("SQLite: {:?}", all_at_once(cluster).await?);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_cluster_comes_back_after_the_kill_of_all_nodes_on_postgres() -> Result<()> {
    cluster::run(3, StoreKind::Postgres, async |cluster| {
        println!("PostgreSQL: {:?}", all_at_once(cluster).await?);
        Ok(())
    })
    .await
}

/// How long a node that owns `register` goes on serving it, from now on; it refuses it then.
async fn serves_on(node: &Registers, register: &str) -> Result<Duration> {
    let (watch, mut served, mut is_over) = (Stopwatch::start(), Duration::ZERO, false);
    let mut looks = Looks::during(STEP_WITHIN);
    while looks.next().await {
        let (asked, answer) = (watch.elapsed(), Stopwatch::start());
        match node.append_once(PROBE, register).await? {
            Answer::Done { .. } if !is_over => served = asked,
            // The lease may end under a call; the next one is refused.
            Answer::Unknown(_) if !is_over => is_over = true,
            Answer::Refused(problem) => {
                let took = answer.elapsed();
                ensure!(problem.status == 503 && took < REFUSED_WITHIN, "{took:?}: {problem:?}");
                return Ok(served);
            }
            other => bail!("Register/{register}: {other:?}"),
        }
    }
    bail!("Register/{register} is still served after {STEP_WITHIN:?}")
}

/// Two of three are gone: what is left serves what it owns until its lease ends, refuses then, soon and
/// with a hint, and serves again with one more.
#[tokio::test]
async fn a_node_without_a_quorum_serves_its_lease_out_refuses_and_serves_again_with_one()
-> Result<()> {
    cluster::run(3, StoreKind::Sqlite, async |cluster| {
        at_rest(cluster, STEP_WITHIN).await?;
        let client = cluster.client().clone();
        let left = cluster.url(3)?.to_owned();
        let registers = Registers::new(client.clone(), vec![left.clone()]);
        let owned = owned_by(&registers, 3).await?;
        for node in [1, 2] {
            cluster.kill(node).await?;
        }
        let served = serves_on(&registers, &owned).await?;
        say(format!("Register/{owned} was served for {served:?} without a quorum"));
        ensure!(LEASE_LEFT.contains(&served), "served for {served:?} without a quorum");
        let page = format!("{left}/readyz");
        until("the node that is left is not ready", STEP_WITHIN, async || {
            (client.status(&page).await? == 503).then_some(())
        })
        .await?;
        for register in ["r0", "r1", "r2", "r3"] {
            let body = json!({ "value": "v" });
            let message = Message {
                entity_type: "Register",
                id: register,
                method: "append",
                key: Some("k"),
                body: &body,
            };
            let asked = Stopwatch::start();
            let answer = client.send(&left, &message).await?;
            let took = asked.elapsed();
            say(format!("Register/{register} without a quorum: {answer:?} after {took:?}"));
            let Answer::Refused(problem) = answer else { bail!("not refused: {answer:?}") };
            let is_for_now = problem.retryable && problem.retry_after_ms.is_some();
            ensure!(problem.status == 503 && is_for_now, "{problem:?}");
            ensure!(took < REFUSED_WITHIN, "refused after {took:?}");
        }
        cluster.start(1)?;
        let back = Stopwatch::start();
        for register in 0..20 {
            owner(&registers, &format!("r{register}")).await?;
        }
        let back = back.elapsed();
        say(format!(
            "twenty registers answer {back:?} after the start of a node that makes a quorum"
        ));
        ensure!(back < BACK_WITHIN, "twenty registers answered after {back:?}");
        registers.verify().await.map(drop)
    })
    .await
}

/// All voters are gone, and a node comes in that does not know the cluster yet: it is alive, says that it
/// waits for a quorum, refuses, and serves as soon as there is one.
#[tokio::test]
async fn a_node_that_starts_without_a_quorum_says_so_until_there_is_one() -> Result<()> {
    cluster::run(3, StoreKind::Sqlite, async |cluster| {
        let voters = cluster.ids();
        for node in &voters {
            cluster.kill(*node).await?;
        }
        cluster.add(4, &voters)?;
        let (client, url) = (Client::patient()?, cluster.url(4)?.to_owned());
        let page = async |path: &str| client.page(&format!("{url}{path}")).await;
        until("node 4 is alive", STEP_WITHIN, async || {
            (page("/livez").await?.0 == 200).then_some(())
        })
        .await?;
        until("node 4 waits for a quorum", STEP_WITHIN, async || {
            let (status, said) = page("/readyz").await?;
            (status == 503 && said.contains("quorum")).then_some(())
        })
        .await?;
        let asked = Stopwatch::start();
        let (status, said) = page("/v1/cluster").await.context("no answer")?;
        let took = asked.elapsed();
        ensure!(status == 503 && said.contains("quorum"), "{status} {said}");
        ensure!(took < STARTING_WITHIN, "refused after {took:?}");
        for node in voters {
            cluster.start(node)?;
        }
        cluster.ready(4, READY_WITHIN).await
    })
    .await
}
