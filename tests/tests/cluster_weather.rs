//! A node that the others hear late, and that hears them late, the one that leads too: no lease ends of
//! that, nobody else is elected, and calls are answered. Nodes that are all far from each other: the shards
//! of one that dies are taken over, be it the leader.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};
use quarry_tests::{
    chaos::{Arena, Fault, judge},
    cluster::{self, Cluster},
    failover::progressed,
    network::Weather,
    ownership::{Standing, at_rest, is_owned, shards},
    report::say,
    wait::{Stopwatch, until},
    workload::{Load, Registers},
};

const NODES: u16 = 3;
const SEED: u64 = 1;
const LOAD: Load = Load::endless(4, 40);
const WITHIN: Duration = Duration::from_mins(1);
/// Several times as long as a lease.
const LASTS: Duration = Duration::from_secs(10);
/// What is to be borne, either way: 200 ± 100 ms, and always 300 ms.
const UNSTEADY: Weather = Weather { delay: 100, jitter: 200, ..Weather::FAIR };
const LATE: Weather = Weather { delay: 300, ..Weather::FAIR };
/// A kernel sends again what was lost after pauses that double, so that what is lost four times in a row
/// comes after seconds: the node may give its shards up for a moment, and nobody takes them.
const LOSSY: Weather = Weather { loss: 200, double: 50, overtake: 50, ..Weather::FAIR };
/// Of the leader, whose answers cross twice.
const FAR: Weather = Weather { delay: 150, ..Weather::FAIR };
/// Of all nodes, which are then 100 ms apart: farther than openraft's heartbeats.
const APART: Weather = Weather { delay: 50, ..Weather::FAIR };

/// The node is in this weather for a while; appends go on.
async fn bears(
    (arena, cluster): (&mut Arena, &mut Cluster),
    registers: &Registers,
    node: u16,
    weather: Weather,
) -> Result<()> {
    let fault = Fault::Weather(node, weather);
    registers.recorder().note(format!("begins: {fault}"));
    arena.strike(cluster, &[fault]).await?;
    let (struck, done) = (Stopwatch::start(), registers.done());
    struck.reaches(LASTS).await?;
    let answered = registers.done() - done;
    arena.undo(cluster, &[fault]).await?;
    registers.recorder().note(format!("ends: {fault}"));
    say(format!("{fault}: {answered} appends in {LASTS:?}"));
    ensure!(answered >= LOAD.clients, "{fault}: {answered} appends were answered");
    Ok(())
}

async fn all_is_borne(arena: &mut Arena, cluster: &mut Cluster) -> Result<()> {
    at_rest(cluster, WITHIN).await?;
    let registers = Registers::new(cluster.client().clone(), cluster.urls());
    let load = registers.load(LOAD);
    progressed(&registers, 50, WITHIN).await?;
    let standing = Standing::of(cluster).await?;
    let Standing { leader, other, .. } = standing;
    for (node, weather) in [(other, UNSTEADY), (other, LATE), (leader, FAR)] {
        bears((&mut *arena, &mut *cluster), &registers, node, weather).await?;
        // What the coordinator decided behind it shows when it is over.
        at_rest(cluster, WITHIN).await?;
        standing.lasts(cluster).await.with_context(|| weather.to_string())?;
    }
    let standing = Standing::of(cluster).await?;
    for node in [other, leader] {
        bears((&mut *arena, &mut *cluster), &registers, node, LOSSY).await?;
        at_rest(cluster, WITHIN).await?;
        standing.nobody_takes(cluster).await.with_context(|| LOSSY.to_string())?;
    }
    let unanswered = load.stop().await?;
    ensure!(unanswered == 0, "{unanswered} appends were never answered");
    say(format!("{:?}", judge(cluster, &registers).await?));
    Ok(())
}

/// A node is killed, the others have its shards, and it comes back.
async fn is_replaced(cluster: &mut Cluster, registers: &Registers, node: u16) -> Result<()> {
    let (killed, dead) = (Stopwatch::start(), BTreeSet::from([node]));
    cluster.kill(node).await?;
    for url in cluster.urls_beside(node) {
        until("its shards have other owners", WITHIN, async || {
            let shards = shards(cluster.client(), &url).await.ok()?;
            shards.iter().all(|shard| is_owned(shard, &dead)).then_some(())
        })
        .await?;
    }
    say(format!("all shards of node {node} have other owners {:?} after", killed.elapsed()));
    progressed(registers, registers.done() + LOAD.clients, WITHIN).await?;
    cluster.restart(node).await?;
    at_rest(cluster, WITHIN).await
}

/// All nodes are far from each other; one that follows is killed, and one that leads.
async fn all_are_replaced(arena: &mut Arena, cluster: &mut Cluster) -> Result<()> {
    at_rest(cluster, WITHIN).await?;
    let registers = Registers::new(cluster.client().clone(), cluster.urls());
    let load = registers.load(LOAD);
    let standing = Standing::of(cluster).await?;
    let faults: Vec<Fault> =
        cluster.ids().into_iter().map(|node| Fault::Weather(node, APART)).collect();
    arena.strike(cluster, &faults).await?;
    progressed(&registers, registers.done() + LOAD.clients, WITHIN).await?;
    is_replaced(cluster, &registers, standing.other).await?;
    // Who leads can commit that, without standing for election for each entry.
    standing.leads_on(cluster).await?;
    is_replaced(cluster, &registers, standing.leader).await?;
    arena.undo(cluster, &faults).await?;
    let unanswered = load.stop().await?;
    ensure!(unanswered == 0, "{unanswered} appends were never answered");
    say(format!("{:?}", judge(cluster, &registers).await?));
    Ok(())
}

/// Runs `scenario` where this machine has a network of its own for the nodes.
async fn on_a_network(
    scenario: impl AsyncFnOnce(&mut Arena, &mut Cluster) -> Result<()>,
) -> Result<()> {
    let (mut arena, cluster) = match Arena::build(NODES, SEED).await? {
        Ok(built) => built,
        Err(forbidden) => {
            say(format!("skipped, this machine has no network: {}", forbidden.0));
            return Ok(());
        }
    };
    cluster::run_prepared(cluster, async |cluster| scenario(&mut arena, cluster).await).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn latency_of_a_node_ends_no_lease_and_elects_nobody() -> Result<()> {
    on_a_network(all_is_borne).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_all_nodes_are_far_one_that_dies_is_replaced() -> Result<()> {
    on_a_network(all_are_replaced).await
}
