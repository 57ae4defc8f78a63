//! A rolling restart under load: every node is asked to go, goes, and comes back; one that is asked twice; and
//! nodes that are drained together. With
//! `QUARRY_FAILOVER_CHECKED`, longer gaps than the promised ones are a failure: they are promised for a
//! release build on a machine with nothing else to do.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use quarry_tests::{
    client::Client,
    cluster::{self, Cluster},
    command::answered,
    environment::figures_are_checked,
    failover::progressed,
    ledger::Ledger,
    ownership::at_rest,
    process::StoreKind,
    report::say,
    wait::{Stopwatch, until},
    wire::Hold,
    workload::{Counters, Load, Pace, Registers, Timed, Verified, quantile},
};

const LOAD: Load = Load { clients: 8, registers: 50, appends: 1_000 };
const STEP_WITHIN: Duration = Duration::from_mins(1);
const GONE_WITHIN: Duration = Duration::from_secs(40);
/// How long a node may take to be gone that was asked twice.
const GONE_AT_ONCE: Duration = Duration::from_secs(10);

/// Counters that are called all the time, each by a client of its own for either kind of call.
const COUNTERS: u32 = 40;
/// Calls of either kind to all counters go on until all nodes are back, and so long at most.
const CALLED_FOR: Duration = Duration::from_mins(3);
/// Between two restarts.
const SETTLED: Duration = Duration::from_secs(2);
/// The longest gap of all but one in a hundred.
const GAP: Duration = Duration::from_millis(250);

async fn one_after_the_other(cluster: &mut Cluster) -> Result<Verified> {
    let registers = Registers::new(cluster.client().clone(), cluster.urls());
    let load = registers.load(LOAD);
    for (turn, node) in (1..).zip(cluster.ids()) {
        progressed(&registers, turn * LOAD.appends / 4, STEP_WITHIN).await?;
        let status = cluster.terminate(node, GONE_WITHIN).await?;
        ensure!(status.success(), "node {node} went with {status}");
        cluster.restart(node).await?;
    }
    let unanswered = load.finish().await?;
    ensure!(unanswered == 0, "{unanswered} appends were never answered");
    let verified = registers.verify().await?;
    ensure!(verified.acknowledged == verified.stored, "not all is there once: {verified:?}");
    say(format!("{:?}", Ledger::of(cluster).await?.audit().await?));
    Ok(verified)
}

/// From when to when something lasted.
type Span = (Duration, Duration);

/// Drains two nodes at once, so that one is left, and lets them come back; from when to when either lasted,
/// since `watch` was started.
async fn drains(cluster: &mut Cluster, watch: &Stopwatch) -> Result<Vec<Span>> {
    let mut spans = Vec::new();
    for line in ["cluster drain 2 3 --wait=60s", "cluster undrain 2,3"] {
        watch.reaches(watch.elapsed() + SETTLED).await?;
        let begun = watch.elapsed();
        answered(cluster.url(1)?, line).await?;
        if !spans.is_empty() {
            at_rest(cluster, STEP_WITHIN).await?;
        }
        spans.push((begun, watch.elapsed() + SETTLED));
    }
    watch.reaches(watch.elapsed() + SETTLED).await?;
    Ok(spans)
}

/// Restarts all nodes in turn, and waits for what follows; from when to when each restart lasted, since
/// `watch` was started.
async fn restarts(cluster: &mut Cluster, watch: &Stopwatch) -> Result<Vec<Span>> {
    let mut spans = Vec::new();
    for node in cluster.ids() {
        watch.reaches(watch.elapsed() + SETTLED).await?;
        let begun = watch.elapsed();
        let status = cluster.terminate(node, GONE_WITHIN).await?;
        ensure!(status.success(), "node {node} went with {status}");
        cluster.restart(node).await?;
        spans.push((begun, watch.elapsed() + SETTLED));
    }
    watch.reaches(watch.elapsed() + SETTLED).await?;
    Ok(spans)
}

/// The longest that each counter was silent in each of the spans.
fn gaps(timed: &[Timed], spans: &[Span]) -> Vec<Duration> {
    let mut longest: BTreeMap<(u32, usize), Duration> = BTreeMap::new();
    for call in timed {
        for (span, (from, to)) in spans.iter().enumerate() {
            if (*from..*to).contains(&call.at) {
                let gap = longest.entry((call.number % COUNTERS, span)).or_default();
                *gap = call.took.max(*gap);
            }
        }
    }
    longest.into_values().collect()
}

/// The middle, the promised part and the longest of the gaps.
fn seen(what: &str, gaps: &[Duration]) -> Result<Duration> {
    let at = |share| quantile(gaps.to_vec(), share).context("no gaps");
    let (middle, most, longest) = (at(0.5)?, at(0.99)?, at(1.0)?);
    say(format!(
        "{what}: {} gaps, p50 {middle:.1?}, p99 {most:.1?}, longest {longest:.1?}",
        gaps.len()
    ));
    Ok(most)
}

/// Calls of either kind to all counters. What is asked of any machine is that none fails: a debug build on
/// a busy one is not to be found out of breath, nor the client out of patience.
fn pace() -> Pace {
    let per_second = if figures_are_checked() { 200.0 } else { 50.0 };
    Pace { clients: COUNTERS, per_second, time: CALLED_FOR }
}

/// What became of the attempts of these calls; those that failed.
fn attempts(what: &str, timed: &[Timed], counters: &Counters) -> Vec<String> {
    let (failed, broken) = (counters.failed(), counters.broken());
    say(format!(
        "{what}: {} calls, {} attempts failed, {} broke and were repeated under their key, {} met a \
         closed port and went on to the next node",
        timed.len(),
        failed.len(),
        broken.len(),
        counters.passed_over(),
    ));
    for attempt in broken {
        say(attempt);
    }
    failed
}

#[tokio::test]
async fn a_rolling_restart_loses_nothing_on_sqlite() -> Result<()> {
    cluster::run(3, StoreKind::Sqlite, async |cluster| {
        println!("SQLite: {:?}", one_after_the_other(cluster).await?);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_rolling_restart_loses_nothing_on_postgres() -> Result<()> {
    cluster::run(3, StoreKind::Postgres, async |cluster| {
        println!("PostgreSQL: {:?}", one_after_the_other(cluster).await?);
        Ok(())
    })
    .await
}

/// Makes sure that none of the calls fails that are made while `work` is done to the nodes.
async fn no_call_fails(
    cluster: &mut Cluster,
    work: impl AsyncFnOnce(&mut Cluster, &Stopwatch) -> Result<Vec<Span>>,
) -> Result<()> {
    let registers = Registers::new(Client::patient()?, cluster.urls());
    // Attempts of either kind are noted by themselves.
    let elsewhere = registers.through(cluster.urls());
    let (durable, volatile) =
        (Counters::beside(&registers, "d"), Counters::beside(&elsewhere, "d"));
    let watch = Stopwatch::start();
    let (added, asked, spans) = tokio::try_join!(
        durable.paced(pace(), COUNTERS),
        volatile.asked(pace(), COUNTERS),
        async {
            let spans = work(&mut *cluster, &watch).await?;
            durable.end();
            volatile.end();
            Ok(spans)
        },
    )?;
    let over = spans.last().context("nothing was done")?.1;
    ensure!(over < CALLED_FOR, "it took {over:?}");
    let failed = [attempts("durable", &added, &durable), attempts("volatile", &asked, &volatile)];
    let gap = seen("durable", &gaps(&added, &spans))?.max(seen("volatile", &gaps(&asked, &spans))?);
    say(format!("{:?}", durable.verify().await?));
    say(format!("{:?}", Ledger::of(cluster).await?.audit().await?));
    ensure!(failed.iter().all(Vec::is_empty), "attempts failed: {failed:#?}");
    ensure!(!figures_are_checked() || gap < GAP, "the gaps are longer than promised");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_fails_no_call() -> Result<()> {
    cluster::run(3, StoreKind::Postgres, async |cluster| no_call_fails(cluster, restarts).await)
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_are_drained_together_fail_no_call() -> Result<()> {
    cluster::run(3, StoreKind::Postgres, async |cluster| no_call_fails(cluster, drains).await).await
}

/// It does not hear what became of a commit, so that it cannot hand its shards over meanwhile.
#[tokio::test]
async fn a_second_signal_ends_a_node_at_once_and_loses_nothing() -> Result<()> {
    let mut cluster = Cluster::prepare(3, StoreKind::Postgres).await?;
    let wire = cluster.wire(1).await?;
    cluster::run_prepared(cluster, async |cluster| {
        let registers = Registers::new(cluster.client().clone(), cluster.urls());
        let load = registers.load(Load::endless(8, 50));
        progressed(&registers, 100, STEP_WITHIN).await?;
        wire.arm(Hold::BeforeAnswer);
        wire.held(STEP_WITHIN).await?;
        cluster.ask_to_go(1)?;
        let readiness = format!("{}/readyz", cluster.url(1)?);
        until("it says that it goes", STEP_WITHIN, async || {
            let status = cluster.client().status(&readiness).await?;
            (status.as_u16() == 503).then_some(())
        })
        .await?;
        ensure!(cluster.runs(1)?, "it went without handing its shards over");
        cluster.ask_to_go(1)?;
        let status = cluster.ended(1, GONE_AT_ONCE).await?;
        ensure!(status.code() == Some(1), "asked twice it went with {status}");
        progressed(&registers, registers.done() + 100, STEP_WITHIN).await?;
        wire.release();
        cluster.restart(1).await?;
        let unanswered = load.stop().await?;
        ensure!(unanswered == 0, "{unanswered} appends were never answered");
        say(format!("{:?}", registers.verify().await?));
        say(format!("{:?}", Ledger::of(cluster).await?.audit().await?));
        Ok(())
    })
    .await
}
