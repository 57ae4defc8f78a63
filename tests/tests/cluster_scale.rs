//! Five nodes, 1,024 shards and many entities: two nodes are killed at once, three others join. Every
//! shard has an owner soon, what was accepted is handled once, and nothing is forgotten.
//! `QUARRY_SCALE_ENTITIES` says how many entities there are.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};
use quarry_tests::{
    chaos::watched,
    cluster::{self, Cluster},
    environment::number,
    failover::progressed,
    grants::{Grants, takes_part},
    ledger::Ledger,
    ownership::{Watch, shards},
    process::StoreKind,
    report::say,
    wait::{Stopwatch, until},
    workload::{Crowd, Load, Registers},
};

const NODES: u16 = 5;
const KILLED: [u16; 2] = [2, 4];
const JOINED: [u16; 3] = [6, 7, 8];
const SHARDS: u32 = 1_024;
const ENTITIES: u32 = 5_000;
/// Of so many entities one is sent its message right before the nodes are killed.
const LATE: u32 = 10;
const LOAD: Load = Load::endless(6, 50);
/// Within this every shard has to be owned, and loaded, after a node was lost.
const OWNED_WITHIN: Duration = Duration::from_secs(5);
const STEP_WITHIN: Duration = Duration::from_mins(2);

/// Waits until each of `nodes` owns its share of the shards, but for a tenth, and nothing moves.
async fn balanced(cluster: &Cluster, nodes: &[u16]) -> Result<()> {
    let url = cluster.url(1)?;
    let least = usize::try_from(SHARDS)? / nodes.len() * 9 / 10;
    until("every node owns its share", STEP_WITHIN, async || {
        let shards = shards(cluster.client(), url).await.ok()?;
        let owned = |node: &u16| {
            shards.iter().filter(|shard| shard.owner == Some(u64::from(*node))).count()
        };
        let is_still = shards.iter().all(|shard| shard.moving_to.is_none());
        (is_still && nodes.iter().all(|node| owned(node) >= least)).then_some(())
    })
    .await
}

/// No node broke an invariant, and none found a message that nothing would have woken (G9).
async fn all_is_sound(cluster: &Cluster) -> Result<()> {
    let (violations, stalls) = (cluster.violations().await?, cluster.stalls().await?);
    ensure!(violations == 0, "{violations} violations of invariants");
    ensure!(stalls == 0, "{stalls} messages had to be found");
    Ok(())
}

/// Kills two nodes at once; waits until all that they owned is loaded elsewhere.
async fn two_are_killed(cluster: &mut Cluster) -> Result<Watch> {
    let mut grants = Vec::new();
    for node in KILLED {
        grants.push(Grants::of(cluster, node).await?);
    }
    let mut ledger = Ledger::of(cluster).await?;
    // What the killed ones saw goes with them.
    all_is_sound(cluster).await?;
    for node in KILLED {
        cluster.kill(node).await?;
    }
    let killed = Stopwatch::start();
    let dead = BTreeSet::from(KILLED);
    let watch = Watch::start(cluster.client().clone(), cluster.url(1)?.to_owned(), dead);
    for granted in &grants {
        granted.superseded(&mut ledger, OWNED_WITHIN).await?;
    }
    let shards: usize = grants.iter().map(Grants::count).sum();
    let elapsed = killed.elapsed();
    say(format!("{shards} shards of two killed nodes are loaded elsewhere {elapsed:?} after"));
    ensure!(elapsed <= OWNED_WITHIN, "not within {OWNED_WITHIN:?}");
    Ok(watch)
}

async fn three_join(cluster: &mut Cluster) -> Result<()> {
    let started = Stopwatch::start();
    let voters: Vec<u16> = (1..=NODES).collect();
    for node in JOINED {
        cluster.add(node, &voters)?;
    }
    for node in JOINED {
        cluster.ready(node, STEP_WITHIN).await?;
        takes_part(cluster, node, STEP_WITHIN).await?;
    }
    say(format!("three nodes that join serve shards {:?} after their start", started.elapsed()));
    balanced(cluster, &[1, 3, 5, 6, 7, 8]).await?;
    say(format!("the shards are shared out {:?} after", started.elapsed()));
    Ok(())
}

/// Nothing is open, nothing was forgotten, and every entity of the crowd has its state.
async fn nothing_is_missing(cluster: &Cluster, entities: u32) -> Result<()> {
    let mut ledger = Ledger::of(cluster).await?;
    until("nothing is open", STEP_WITHIN, async || match ledger.open_entities().await {
        Ok(open) => open.is_empty().then_some(Ok(())),
        Err(error) => Some(Err(error)),
    })
    .await??;
    let audited = ledger.audit().await?;
    say(format!("{audited:?}"));
    let states = i64::from(entities + LOAD.registers);
    ensure!(audited.states == states, "{} of {states} entities have a state", audited.states);
    all_is_sound(cluster).await
}

async fn at_scale(cluster: &mut Cluster, entities: u32) -> Result<()> {
    balanced(cluster, &cluster.ids()).await?;
    let crowd = Crowd::new(cluster.client().clone(), cluster.urls());
    let (late, filling) = (entities / LATE, Stopwatch::start());
    crowd.append(late..entities, false).await?;
    say(format!("{} entities have their state after {:?}", entities - late, filling.elapsed()));
    let registers = Registers::new(cluster.client().clone(), cluster.urls());
    let load = registers.load(LOAD);
    progressed(&registers, LOAD.registers * 2, STEP_WITHIN).await?;
    crowd.append(0..late, true).await?;
    let watch = two_are_killed(cluster).await?;
    progressed(&registers, registers.done() + LOAD.registers, STEP_WITHIN).await?;
    three_join(cluster).await?;
    progressed(&registers, registers.done() + LOAD.registers, STEP_WITHIN).await?;
    let longest = watch.end().await?;
    say(format!("no shard was without an owner for more than {longest:?}"));
    ensure!(longest <= OWNED_WITHIN, "a shard was without an owner for {longest:?}");
    let unanswered = load.stop().await?;
    ensure!(unanswered == 0, "{unanswered} appends were never answered");
    say(format!("{:?}", registers.verify().await?));
    nothing_is_missing(cluster, entities).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_five_nodes_are_killed_and_three_join_at_scale() -> Result<()> {
    let entities = number("QUARRY_SCALE_ENTITIES")?.map_or(Ok(ENTITIES), u32::try_from);
    let entities = entities.context("QUARRY_SCALE_ENTITIES")?;
    let mut cluster = Cluster::prepare(NODES, StoreKind::Postgres).await?;
    for node in cluster.ids() {
        cluster.set(node, "QUARRY_CLUSTER__SHARDS", &SHARDS.to_string())?;
    }
    let store = cluster.store_url().to_owned();
    let all = async |cluster: &mut Cluster| {
        let ((), loads) = watched(&store, Box::pin(at_scale(cluster, entities))).await?;
        say(format!("{} loads of shards, each by one process under its epoch", loads.count()));
        Ok(())
    };
    cluster::run_prepared(cluster, all).await
}
