//! A node of the real binary ends at each crash point in turn, under load, and is started again: what
//! was acknowledged stands once, in order, and the data is whole.
//!
//! `QUARRY_CRASH_POINTS=all` goes through all of them; else a few stand for the rest.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use quarry_ports::crash::POINTS;
use quarry_tests::{
    client::{Answer, Client, Message},
    cluster::{self, Cluster},
    command::Workbench,
    grants::takes_part,
    ledger::Ledger,
    process::StoreKind,
    report::say,
    wait::{Looks, Stopwatch, until},
    workload::{Load, Registers},
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const LOAD: Load = Load::endless(6, 40);
const ENDS_WITHIN: Duration = Duration::from_mins(1);
const STEP_WITHIN: Duration = Duration::from_mins(1);
/// Of each part of the program one.
const FEW: [&str; 7] = [
    "recovered",
    "accepted",
    "commit-before-send",
    "commit-inside",
    "split-inside",
    "send-answered",
    "raft-appended",
];
/// Only where a commit is a transaction of several statements: PostgreSQL takes one.
const OF_SQLITE: [&str; 1] = ["commit-inside"];
/// Passed only where shards are given away; what is said of that fills the coordinator's log, too.
const HANDING_OFF: [&str; 4] = ["shard-closed", "release-wanted", "released", "snapshot-written"];
/// So that snapshots are written, and nodes start from them.
const SNAPSHOT_AFTER: (&str, &str) = ("QUARRY_CLUSTER__SNAPSHOT_AFTER", "1KiB");
/// Passed only where shards are split.
const SPLITTING: &str = "split-inside";
/// So many that each node has some, however few shards are its own.
const PUBLISHERS: usize = 64;
const SUBSCRIBED: [&str; 2] = ["s0", "s1"];

fn points(cluster: &Cluster) -> Vec<&'static str> {
    let all = std::env::var("QUARRY_CRASH_POINTS").is_ok_and(|which| which == "all");
    let is_sqlite = cluster.store_url().starts_with("sqlite");
    let is_passed = |point: &&str| is_sqlite || !OF_SQLITE.contains(point);
    let chosen = |point: &&str| is_passed(point) && (all || FEW.contains(point));
    POINTS.iter().copied().filter(chosen).collect()
}

/// Publishes one value after the other, each until it is answered, until it is told to stop.
async fn publish(client: Client, urls: Vec<String>, stop: Arc<AtomicBool>) -> Result<Vec<String>> {
    let mut published = Vec::new();
    let mut address = urls.iter().cycle();
    while !stop.load(Ordering::Relaxed) {
        let value = format!("v{}", published.len());
        let body = json!({ "value": value, "to": SUBSCRIBED });
        let id = format!("p{}", published.len() % PUBLISHERS);
        let (entity_type, method, key) = ("Publisher", "publish", Some(value.as_str()));
        let message = Message { entity_type, id: &id, method, key, body: &body };
        let mut looks = Looks::during(STEP_WITHIN);
        loop {
            ensure!(looks.next().await, "{value} is not published");
            let url = address.next().context("no address")?;
            match client.send(url, &message).await? {
                Answer::Done { .. } => break,
                Answer::Failed(problem) => bail!("{value}: {problem:?}"),
                Answer::Refused(_) | Answer::Unknown(_) => {}
            }
        }
        published.push(value);
    }
    Ok(published)
}

/// Splits a shard that `node` owns, as soon as it has one that is not moving.
async fn split_shard_of(cluster: &Cluster, node: u16) -> Result<()> {
    let url = cluster.urls_beside(node).into_iter().next().context("no other node")?;
    until("a shard of the node is split", STEP_WITHIN, async || {
        let page = cluster.client().text(&format!("{url}/v1/cluster/shards")).await.ok()?;
        let page: Value = serde_json::from_str(&page).ok()?;
        let is_own =
            |shard: &Value| shard.get("owner").and_then(Value::as_u64) == Some(node.into());
        let stays = |shard: &Value| shard.get("movingTo").is_none_or(Value::is_null);
        let mut shards = page.get("shards")?.as_array()?.iter();
        let shard = shards.find(|shard| is_own(shard) && stays(shard))?.get("id")?.to_string();
        let arguments = ["cluster", "split-shard", &shard, "--url", &url, "-o", "json"];
        let split = Workbench::new().ok()?.quarry(&arguments).await.ok()?.ended_with(0).ok()?;
        let split: Value = serde_json::from_str(&split.stdout).ok()?;
        split.get("parts")?.as_array()?.iter().all(is_own).then_some(())
    })
    .await
}

async fn drain(cluster: &Cluster, node: u16, what: &str) -> Result<()> {
    let url = cluster.urls_beside(node).into_iter().next().context("no other node")?;
    let arguments = ["cluster", what, &node.to_string(), "--url", &url];
    let ran = Workbench::new()?.quarry(&arguments).await?;
    ran.ended_with(0).map(drop)
}

/// Drains `node`; false where it has given something away by itself and ended before it was asked.
async fn is_drained(cluster: &Cluster, node: u16) -> Result<bool> {
    match drain(cluster, node, "drain").await {
        Ok(()) => Ok(true),
        Err(error) if format!("{error:#}").contains(&format!("node {node} is down")) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Ends `node` at `point`, and starts it again.
async fn ends_at(cluster: &mut Cluster, node: u16, point: &str) -> Result<()> {
    let watch = Stopwatch::start();
    cluster.kill(node).await?;
    cluster.set(node, "QUARRY_CRASH_POINT", point)?;
    cluster.start(node)?;
    // A node that came too late for its share gives nothing away by itself; one that did has ended.
    let hands_off = HANDING_OFF.contains(&point) && cluster.ready(node, STEP_WITHIN).await.is_ok();
    let is_drained = hands_off && is_drained(cluster, node).await?;
    if point == SPLITTING {
        // Until the process has shards, those that it had before its end may still be called its own.
        cluster.ready(node, STEP_WITHIN).await?;
        takes_part(cluster, node, STEP_WITHIN).await?;
        split_shard_of(cluster, node).await?;
    }
    let status = cluster.ended(node, ENDS_WITHIN).await.with_context(|| point.to_owned())?;
    ensure!(!status.success(), "{point}: node {node} ended with {status}");
    cluster.unset(node, "QUARRY_CRASH_POINT")?;
    if is_drained {
        drain(cluster, node, "undrain").await?;
    }
    cluster.restart(node).await.with_context(|| format!("after {point}"))?;
    say(format!("{point}: node {node} is back after {:?}", watch.elapsed()));
    Ok(())
}

async fn at_each_point(cluster: &mut Cluster) -> Result<()> {
    let registers = Registers::new(cluster.client().clone(), cluster.urls());
    let load = registers.load(LOAD);
    let stop = Arc::default();
    let mut publishing = JoinSet::new();
    let client = publish(cluster.client().clone(), cluster.urls(), Arc::clone(&stop));
    publishing.spawn(client);
    let nodes = cluster.ids();
    for (point, node) in points(cluster).into_iter().zip(nodes.into_iter().cycle()) {
        ends_at(cluster, node, point).await?;
    }
    stop.store(true, Ordering::Relaxed);
    let published = publishing.join_next().await.context("nobody published")???;
    let unanswered = load.stop().await?;
    ensure!(unanswered == 0, "{unanswered} appends were never answered");
    let verified = registers.verify().await?;
    say(format!("{verified:?}, and {} published", published.len()));
    arrived(&registers, &published).await?;
    say(format!("{:?}", Ledger::of(cluster).await?.audit().await?));
    let violations = cluster.violations().await?;
    ensure!(violations == 0, "{violations} violations of invariants");
    Ok(())
}

/// What was published is in each register once.
async fn arrived(registers: &Registers, published: &[String]) -> Result<()> {
    for register in SUBSCRIBED {
        let what = format!("{register} has {} values", published.len());
        let values = until(&what, STEP_WITHIN, async || match registers.read(register, 0).await {
            Ok(values) if values.len() < published.len() => None,
            read => Some(read),
        });
        let values = values.await??;
        let once: BTreeSet<&str> = values.iter().map(|entry| entry.value.as_str()).collect();
        ensure!(values.len() == published.len(), "{register} has {} values", values.len());
        ensure!(once.len() == published.len(), "{register} has {} different", once.len());
    }
    Ok(())
}

#[test]
fn the_few_points_are_points() {
    let known = |point: &&str| POINTS.contains(point);
    assert!(FEW.iter().chain(&HANDING_OFF).chain(&OF_SQLITE).all(known));
    assert!(POINTS.len() - OF_SQLITE.len() >= 25, "{}", POINTS.len());
}

async fn run(store: StoreKind) -> Result<()> {
    let mut cluster = Cluster::prepare(3, store).await?;
    for node in cluster.ids() {
        cluster.set(node, SNAPSHOT_AFTER.0, SNAPSHOT_AFTER.1)?;
    }
    cluster::run_prepared(cluster, at_each_point).await
}

#[tokio::test]
async fn a_node_may_end_at_any_point_on_sqlite() -> Result<()> {
    run(StoreKind::Sqlite).await
}

#[tokio::test]
async fn a_node_may_end_at_any_point_on_postgres() -> Result<()> {
    run(StoreKind::Postgres).await
}
