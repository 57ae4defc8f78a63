//! Shards are split under load, again and again, and one while its owner is killed: what was
//! acknowledged stands once and in order, and nothing of the whole follows its halves.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};
use quarry_tests::{
    cluster::{self, Cluster},
    command::{Ran, Workbench},
    failover::{owner, progressed},
    ledger::Ledger,
    phases::Place,
    process::StoreKind,
    report::say,
    wait::{Stopwatch, until},
    workload::{Load, Registers},
};
use serde_json::Value;

const LOAD: Load = Load::endless(6, 40);
const STEP_WITHIN: Duration = Duration::from_mins(1);
const ANSWERS: u32 = 60;
const PROBE: u32 = 1_000_000;
/// Registers whose shards are split, each so often.
const SPLITTING: [&str; 4] = ["r0", "r1", "r2", "r3"];
const DEPTH: u32 = 2;

async fn quarry(url: &str, command: &[&str]) -> Result<Ran> {
    let arguments = [&["cluster"], command, &["--url", url, "-o", "json"]].concat();
    Workbench::new()?.quarry(&arguments).await
}

async fn split(url: &str, shard: i64) -> Result<Ran> {
    quarry(url, &["split-shard", &shard.to_string()]).await
}

fn parts_of(split: &Value) -> Result<&Vec<Value>> {
    split.get("parts").and_then(Value::as_array).with_context(|| format!("no parts: {split}"))
}

/// Splits the shard of a register as soon as it is not moving, and waits until a half answers.
/// Returns the shard and how long that took.
async fn split_shard_of(
    cluster: &Cluster,
    registers: &Registers,
    register: &str,
) -> Result<(i64, Duration)> {
    let url = cluster.url(1)?;
    let (shard, document) = until("a shard is split", STEP_WITHIN, async || {
        let place = Place::of(cluster.client(), url, register).await.ok()?;
        let ran = split(url, place.shard()).await.ok()?;
        let document: Value = serde_json::from_str(&ran.stdout).ok()?;
        (ran.code == Some(0)).then_some((place.shard(), document))
    })
    .await?;
    let watch = Stopwatch::start();
    let parts = parts_of(&document)?;
    ensure!(parts.len() == 2, "{document}");
    let epochs = parts.iter().filter_map(|part| part.get("epoch")?.as_u64());
    let least = epochs.min().context("no epoch")?;
    loop {
        let value = registers.next_value(PROBE);
        let appended = registers.append(PROBE, register, &value, 0).await?;
        let appended = appended.with_context(|| format!("Register/{register} is silent"))?;
        if appended.epoch >= least {
            return Ok((shard, watch.elapsed()));
        }
        ensure!(watch.elapsed() < STEP_WITHIN, "no half of shard {shard} answers");
    }
}

/// Splits a shard at the moment at which its owner is killed; the halves are served elsewhere.
async fn split_beside_a_kill(cluster: &mut Cluster, registers: &Registers) -> Result<i64> {
    let victim = owner(registers, "r7").await?;
    let url = cluster.urls_beside(victim).into_iter().next().context("no other node")?;
    let place = Place::of(cluster.client(), &url, "r7").await?;
    let (asked, killed) = tokio::join!(split(&url, place.shard()), cluster.kill(victim));
    killed?;
    let ran = asked?.ended_with(0)?;
    let survivors = registers.through(cluster.urls_beside(victim));
    let watch = Stopwatch::start();
    let next = owner(&survivors, "r7").await?;
    say(format!(
        "shard {} was split while node {victim} was killed: node {next} answered after {:?}",
        place.shard(),
        watch.elapsed()
    ));
    ensure!(next != victim, "{}", ran.stdout);
    cluster.restart(victim).await?;
    Ok(place.shard())
}

async fn shards_are_split_under_load(cluster: &mut Cluster) -> Result<()> {
    let registers = Registers::new(cluster.client().clone(), cluster.urls());
    let load = registers.load(LOAD);
    progressed(&registers, ANSWERS, STEP_WITHIN).await?;
    let mut wholes = BTreeSet::new();
    let mut longest = Duration::ZERO;
    for _ in 0..DEPTH {
        for register in SPLITTING {
            let (shard, took) = split_shard_of(cluster, &registers, register).await?;
            ensure!(wholes.insert(shard), "shard {shard} was split twice");
            longest = longest.max(took);
        }
    }
    say(format!("{} splits; a half answered after {longest:?} at most", wholes.len()));
    let url = cluster.url(2)?;
    let again = split(url, *wholes.first().context("no split")?).await?.ended_with(0)?;
    let parts = serde_json::from_str::<Value>(&again.stdout)?;
    ensure!(parts_of(&parts)?.len() >= 2, "{parts}");
    split(url, 999_999).await?.ended_with(3)?.said("no shard 999999")?;
    progressed(&registers, registers.done() + ANSWERS, STEP_WITHIN).await?;
    let mut counted = 0;
    for node in cluster.ids() {
        counted += cluster.metrics(node).await?.sum("quarry_shard_splits_total");
    }
    ensure!(counted >= u64::try_from(wholes.len())?, "{counted} splits are counted");
    wholes.insert(split_beside_a_kill(cluster, &registers).await?);
    progressed(&registers, registers.done() + ANSWERS, STEP_WITHIN).await?;
    let unanswered = load.stop().await?;
    ensure!(unanswered == 0, "{unanswered} appends were never answered");
    let verified = registers.verify().await?;
    let mut ledger = Ledger::of(cluster).await?;
    let audited = ledger.audit().await?;
    say(format!("{verified:?}, {audited:?}"));
    let closed = ledger.split_shards().await?;
    ensure!(closed == wholes, "closed are {closed:?}, split were {wholes:?}");
    let violations = cluster.violations().await?;
    ensure!(violations == 0, "{violations} violations of invariants");
    Ok(())
}

#[tokio::test]
async fn a_split_loses_and_repeats_nothing_on_sqlite() -> Result<()> {
    cluster::run(3, StoreKind::Sqlite, shards_are_split_under_load).await
}

#[tokio::test]
async fn a_split_loses_and_repeats_nothing_on_postgres() -> Result<()> {
    cluster::run(3, StoreKind::Postgres, shards_are_split_under_load).await
}

/// A shard that `node` owns while no shard is moving.
async fn at_rest(cluster: &Cluster, node: u16) -> Result<i64> {
    let url = cluster.url(node)?;
    until("a shard of the node, and none is moving", STEP_WITHIN, async || {
        let ran = quarry(url, &["shards"]).await.ok()?;
        let shards: Vec<Value> = serde_json::from_str(&ran.stdout).ok()?;
        let stays = |shard: &Value| shard.get("movingTo").is_none_or(Value::is_null);
        let is_own =
            |shard: &&Value| shard.get("owner").and_then(Value::as_u64) == Some(node.into());
        let own = shards.iter().find(is_own).filter(|_| shards.iter().all(stays))?;
        own.get("id")?.as_i64()
    })
    .await
}

#[tokio::test]
async fn a_shard_that_is_moving_is_split_when_it_is_there() -> Result<()> {
    cluster::run(3, StoreKind::Sqlite, async |cluster| {
        let status = quarry(cluster.url(1)?, &["status"]).await?.ended_with(0)?;
        let leader = serde_json::from_str::<Value>(&status.stdout)?;
        let leader = leader.get("leader").and_then(Value::as_u64).context("no leader")?;
        let is_beside = |id: &u16| u64::from(*id) != leader;
        let frozen = cluster.ids().into_iter().find(is_beside).context("no follower")?;
        let url = cluster.url(u16::try_from(leader)?)?;
        let shard = at_rest(cluster, frozen).await?;
        // It gives nothing away before its lease has ended.
        cluster.freeze(frozen)?;
        quarry(url, &["drain", &frozen.to_string()]).await?.ended_with(0)?;
        split(url, shard).await?.ended_with(5)?.said("is moving to node")?.said("--wait")?;
        let watch = Stopwatch::start();
        let waited = ["split-shard", &shard.to_string(), "--wait=30s"];
        let ran = quarry(url, &waited).await?.ended_with(0)?;
        say(format!("shard {shard} was split after {:?}, when it was there", watch.elapsed()));
        let document: Value = serde_json::from_str(&ran.stdout)?;
        let is_elsewhere =
            |part: &Value| part.get("owner").and_then(Value::as_u64) != Some(frozen.into());
        ensure!(parts_of(&document)?.iter().all(is_elsewhere), "{document}");
        cluster.thaw(frozen)
    })
    .await
}
