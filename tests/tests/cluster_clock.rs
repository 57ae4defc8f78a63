//! The wall clock of a node jumps, while it runs and before it takes its shards over: no key is
//! forgotten early, no message is handled before its time, and none much later.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use quarry_tests::{
    client::{Answer, Message},
    cluster::{self, Cluster},
    machine::{Fault, Shim},
    process::StoreKind,
    report::say,
    wait::{Stopwatch, until},
    workload::Registers,
};
use serde_json::json;

const HOURS_25: i64 = 25 * 3_600;
const RETENTION: &str = "12s";
/// When messages are due that are sent at the start: before and behind the takeover.
const FIRST: Duration = Duration::from_secs(3);
const SECOND: Duration = Duration::from_secs(8);
/// How late a message may be handled here.
const LATE: Duration = Duration::from_secs(2);

/// Appends `value` to its own register, once; whether the outcome was there already.
async fn append(cluster: &Cluster, value: &str, query: &str) -> Result<bool> {
    let body = json!({ "value": value });
    let (entity_type, method) = ("Register", "append");
    let message = Message { entity_type, id: value, method, key: Some(value), body: &body };
    match cluster.client().send_with(cluster.url(1)?, &message, query).await? {
        Answer::Done { replayed, .. } => Ok(replayed),
        other => bail!("{value}: {other:?}"),
    }
}

/// Waits until the message that was to be handled `after` the start is; it is not before.
async fn is_in_time(
    cluster: &Cluster,
    value: &str,
    watch: &Stopwatch,
    after: Duration,
) -> Result<()> {
    let registers = Registers::new(cluster.client().clone(), cluster.urls());
    until("a delayed message is handled", after + LATE, async || {
        let entries = registers.read(value, 0).await.ok()?;
        (!entries.is_empty()).then_some(())
    })
    .await?;
    let took = watch.elapsed();
    say(format!("{value}, due after {after:?}, is handled within {took:?}"));
    ensure!(took >= after, "{value} is early: {took:?}");
    ensure!(took < after + LATE, "{value} is late: {took:?}");
    Ok(())
}

async fn jumps(store: StoreKind, seconds: i64) -> Result<()> {
    let mut cluster = Cluster::prepare(1, store).await?;
    let shim = Shim::build(cluster.directory())?;
    cluster.put_before(1, &shim)?;
    cluster.set(1, "QUARRY_STORE__RETENTION", RETENTION)?;
    cluster::run_prepared(cluster, async |cluster| {
        ensure!(!append(cluster, "keyed", "").await?, "the key is new");
        let watch = Stopwatch::start();
        append(cluster, "first", "?delay=3s").await?;
        append(cluster, "second", "?delay=8s").await?;
        shim.begin(Fault::Clock(seconds))?;
        is_in_time(cluster, "first", &watch, FIRST).await?;
        ensure!(append(cluster, "keyed", "").await?, "a key was forgotten when the clock jumped");
        cluster.kill(1).await?;
        cluster.restart(1).await?;
        ensure!(append(cluster, "keyed", "").await?, "a key was forgotten by the next owner");
        is_in_time(cluster, "second", &watch, SECOND).await?;
        // What is sent now counts from now.
        let watch = Stopwatch::start();
        append(cluster, "third", "?delay=1s").await?;
        is_in_time(cluster, "third", &watch, Duration::from_secs(1)).await?;
        ensure!(cluster.violations().await? == 0, "an invariant was violated");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_makes_nothing_early_on_sqlite() -> Result<()> {
    jumps(StoreKind::Sqlite, HOURS_25).await
}

#[tokio::test]
async fn a_clock_that_jumps_back_makes_nothing_late_on_sqlite() -> Result<()> {
    jumps(StoreKind::Sqlite, -HOURS_25).await
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_makes_nothing_early_on_postgres() -> Result<()> {
    jumps(StoreKind::Postgres, HOURS_25).await
}

#[tokio::test]
async fn a_clock_that_jumps_back_makes_nothing_late_on_postgres() -> Result<()> {
    jumps(StoreKind::Postgres, -HOURS_25).await
}
