//! The wall clock of a node jumps, while it runs and before it takes its shards over: no key is
//! forgotten early, no message is handled before its time, and none much later. Where one of three nodes
//! has another time than the others, no lease ends either.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use quarry_tests::{
    chaos::judge,
    client::{Answer, Message},
    cluster::{self, Cluster},
    failover::progressed,
    machine::{Fault, Shim},
    ownership::{Standing, at_rest},
    process::StoreKind,
    report::say,
    wait::{Looks, Stopwatch, until},
    workload::{Load, Registers},
};
use serde_json::json;

const HOUR: i64 = 3_600;
const HOURS_25: i64 = 25 * HOUR;
const RETENTION: &str = "12s";
/// When messages are due that are sent at the start: before and behind the takeover.
const FIRST: Duration = Duration::from_secs(3);
const SECOND: Duration = Duration::from_secs(8);
/// How late a message may be handled here.
const LATE: Duration = Duration::from_secs(2);
/// Messages to entities of all nodes.
const DELAYED: u32 = 12;
/// Longer than any node counts a lease.
const LEASE_AND_MORE: Duration = Duration::from_secs(4);
const LOAD: Load = Load::endless(3, 20);
const WITHIN: Duration = Duration::from_mins(1);

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

/// None of these registers holds anything before the time since `watch` began, and all do soon after.
async fn are_in_time(
    registers: &Registers,
    values: &[String],
    watch: &Stopwatch,
    after: Duration,
) -> Result<()> {
    let mut open: BTreeSet<&String> = values.iter().collect();
    let mut looks = Looks::during(after + LATE);
    while !open.is_empty() && looks.next().await {
        for value in open.clone() {
            let is_handled = !registers.read(value, 0).await?.is_empty();
            ensure!(!is_handled || watch.elapsed() >= after, "{value} is early");
            if is_handled {
                open.remove(value);
            }
        }
    }
    let took = watch.elapsed();
    ensure!(open.is_empty() && took < after + LATE, "{open:?} are late: {took:?}");
    say(format!("{} messages, due after {after:?}, are handled within {took:?}", values.len()));
    Ok(())
}

/// The clock of `node` is off for longer than a lease lasts; messages to entities of all nodes come before
/// and behind that.
async fn is_off(
    cluster: &Cluster,
    registers: &Registers,
    (node, shim): (u16, &Shim),
    seconds: i64,
) -> Result<()> {
    let values: Vec<String> = (0..DELAYED).map(|number| format!("n{node}-{number}")).collect();
    let (before, behind) = values.split_at(values.len() / 2);
    let watch = Stopwatch::start();
    for value in before {
        append(cluster, value, "?delay=3s").await?;
    }
    shim.begin(Fault::Clock(seconds))?;
    let off = Stopwatch::start();
    for value in behind {
        append(cluster, value, "?delay=3s").await?;
    }
    let sent = watch.elapsed();
    ensure!(sent < Duration::from_secs(1), "the messages took {sent:?} to send");
    are_in_time(registers, &values, &watch, FIRST).await?;
    off.reaches(LEASE_AND_MORE).await?;
    shim.end(Fault::Clock(seconds))
}

/// The leader of the coordinator is an hour ahead, then another node an hour behind.
async fn one_of_three(store: StoreKind) -> Result<()> {
    let mut cluster = Cluster::prepare(3, store).await?;
    let mut shims = BTreeMap::new();
    for node in cluster.ids() {
        let shim = Shim::build(cluster.directory())?;
        cluster.put_before(node, &shim)?;
        shims.insert(node, shim);
    }
    cluster::run_prepared(cluster, async |cluster| {
        at_rest(cluster, WITHIN).await?;
        let registers = Registers::new(cluster.client().clone(), cluster.urls());
        let load = registers.load(LOAD);
        progressed(&registers, 50, WITHIN).await?;
        let standing = Standing::of(cluster).await?;
        for (node, seconds) in [(standing.leader, HOUR), (standing.other, -HOUR)] {
            let shim = shims.get(&node).context("a shim")?;
            is_off(cluster, &registers, (node, shim), seconds).await?;
        }
        let done = registers.done();
        progressed(&registers, done + 50, WITHIN).await?;
        let unanswered = load.stop().await?;
        ensure!(unanswered == 0, "{unanswered} appends were never answered");
        let failed = registers.failed();
        ensure!(failed.is_empty(), "attempts failed: {failed:#?}");
        standing.lasts(cluster).await?;
        say(format!("{:?}", judge(cluster, &registers).await?));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_node_of_three_that_is_an_hour_off_loses_no_lease_on_sqlite() -> Result<()> {
    one_of_three(StoreKind::Sqlite).await
}

#[tokio::test]
async fn a_node_of_three_that_is_an_hour_off_loses_no_lease_on_postgres() -> Result<()> {
    one_of_three(StoreKind::Postgres).await
}
