//! Three nodes under half of the load that they can bear, with a retention of 10 s: memory and tables
//! stay as large as they were, and calls take as long as they did. A minute on PostgreSQL, or as long as
//! `QUARRY_SOAK_SECONDS` says on both databases.

use std::{fmt, time::Duration};

use anyhow::{Context, Result, ensure};
use quarry_tests::{
    cluster::{self, Cluster},
    environment::number,
    ledger::Ledger,
    process::StoreKind,
    report::say,
    wait::Stopwatch,
    workload::{Counters, Load, Pace, Registers, Timed, quantile},
};

const NODES: u16 = 3;
const CLIENTS: u32 = 32;
const COUNTERS: u32 = 200;
const SECONDS: u64 = 60;
/// Until the retention has set in, and what is allocated once is allocated.
const WARMING: Duration = Duration::from_secs(20);
/// From and to when calls are counted to find what the nodes can bear.
const FASTEST: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(8));
const SAMPLED_EVERY: Duration = Duration::from_secs(1);

/// What is held at a time.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Duration,
    resident: u64,
    rows: u64,
}

/// What was seen in a part of the time.
struct Seen {
    resident: u64,
    rows: u64,
    median: Duration,
    p99: Duration,
    calls: usize,
}

impl fmt::Display for Seen {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resident, rows, median, p99, calls } = self;
        let mib = resident >> 20;
        write!(out, "{calls} calls, p50 {median:.1?}, p99 {p99:.1?}; {mib} MiB, {rows} rows")
    }
}

impl Seen {
    fn of(samples: &[Sample], timed: &[Timed], (from, to): (Duration, Duration)) -> Result<Self> {
        let is_within = |at: Duration| at >= from && at < to;
        let within: Vec<&Sample> = samples.iter().filter(|sample| is_within(sample.at)).collect();
        let calls = timed.iter().filter(|call| is_within(call.at));
        let took: Vec<Duration> = calls.map(|call| call.took).collect();
        let at = |share| quantile(took.clone(), share).context("no calls");
        Ok(Self {
            resident: within.iter().map(|sample| sample.resident).max().context("no sample")?,
            rows: within.iter().map(|sample| sample.rows).max().context("no sample")?,
            median: at(0.5)?,
            p99: at(0.99)?,
            calls: took.len(),
        })
    }
}

/// Calls per second that the nodes answer when every client calls again at once.
async fn most(registers: &Registers) -> Result<f64> {
    let counters = Counters::beside(registers, "m");
    let (load, watch) = (counters.load(Load::endless(CLIENTS, COUNTERS)), Stopwatch::start());
    watch.reaches(FASTEST.0).await?;
    let (begun, from) = (counters.done(), watch.elapsed());
    watch.reaches(FASTEST.1).await?;
    let (done, time) = (counters.done() - begun, watch.elapsed().saturating_sub(from));
    let unanswered = load.stop().await?;
    ensure!(unanswered == 0, "{unanswered} calls were never answered");
    Ok(f64::from(done) / time.as_secs_f64())
}

async fn sampled(cluster: &Cluster, time: Duration) -> Result<Vec<Sample>> {
    let (mut ledger, watch, mut samples) =
        (Ledger::of(cluster).await?, Stopwatch::start(), Vec::new());
    let mut looks = tokio::time::interval(SAMPLED_EVERY);
    while watch.elapsed() < time {
        looks.tick().await;
        let kept = ledger.kept().await?;
        let rows = u64::try_from(kept.messages + kept.outcomes + kept.commits)?;
        samples.push(Sample { at: watch.elapsed(), resident: cluster.resident()?, rows });
    }
    Ok(samples)
}

/// Nothing grew from the first half of the time behind the warming to the second.
fn is_flat(samples: &[Sample], timed: &[Timed], time: Duration) -> Result<()> {
    let half = WARMING + time.saturating_sub(WARMING) / 2;
    let first = Seen::of(samples, timed, (WARMING, half))?;
    let second = Seen::of(samples, timed, (half, time))?;
    say(format!("first half:  {first}\nsecond half: {second}"));
    let mib = 1 << 20;
    ensure!(second.resident <= first.resident / 10 * 11 + 16 * mib, "memory grows");
    ensure!(second.rows <= first.rows / 10 * 12 + 1_000, "tables grow");
    let allowed = first.median * 3 / 2 + Duration::from_millis(5);
    ensure!(second.median <= allowed, "calls take longer and longer");
    Ok(())
}

async fn soak(store: StoreKind, time: Duration) -> Result<()> {
    let mut cluster = Cluster::prepare(NODES, store).await?;
    for node in cluster.ids() {
        cluster.set(node, "QUARRY_STORE__RETENTION", "10s")?;
    }
    cluster::run_prepared(cluster, async |cluster| {
        let registers = Registers::new(cluster.client().clone(), cluster.urls());
        let most = most(&registers).await?;
        let pace = Pace { clients: CLIENTS, per_second: most / 2.0, time };
        say(format!("{store:?}: at most {most:.0} calls/s; now {:.0}/s", pace.per_second));
        let counters = Counters::beside(&registers, "s");
        let (timed, samples) =
            tokio::try_join!(counters.paced(pace, COUNTERS), sampled(cluster, time))?;
        is_flat(&samples, &timed, time)?;
        say(format!("{:?}", counters.verify().await?));
        let (violations, stalls) = (cluster.violations().await?, cluster.stalls().await?);
        ensure!(violations == 0 && stalls == 0, "{violations} violations, {stalls} stalls");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_grows_under_half_of_what_the_nodes_can_bear() -> Result<()> {
    let Some(seconds) = number("QUARRY_SOAK_SECONDS")? else {
        return soak(StoreKind::Postgres, Duration::from_secs(SECONDS)).await;
    };
    ensure!(seconds >= SECONDS, "a soak lasts {SECONDS} s at least");
    for store in [StoreKind::Postgres, StoreKind::Sqlite] {
        soak(store, Duration::from_secs(seconds)).await?;
    }
    Ok(())
}
