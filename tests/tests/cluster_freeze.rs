//! An owner is frozen for ten seconds, anywhere or at a place inside a commit; what it left behind
//! when it wakes is checked in the data itself.
//!
//! On SQLite a frozen process may hold the lock of the one file, so these are PostgreSQL's tests,
//! but for the last one, which says what SQLite does then.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, ensure};
use quarry_tests::{
    cluster::{self, Cluster},
    failover::{Fault, SILENT_AT_MOST, owner, owners, progressed, strike},
    grants::{Grants, takes_part},
    ledger::Ledger,
    metrics::Metrics,
    process::StoreKind,
    report::say,
    wait::{Stopwatch, until},
    wire::{Hold, Wire},
    workload::{Load, LoadRun, Registers},
};

const LOAD: Load = Load::endless(8, 50);
const FROZEN_FOR: Duration = Duration::from_secs(10);
const STEP_WITHIN: Duration = Duration::from_mins(1);
/// Shards of a frozen node are loaded elsewhere within its lease and some time for the loading.
const TAKEN_WITHIN: Duration = Duration::from_secs(8);
const READY_WITHIN: Duration = Duration::from_secs(30);
const HELD_WITHIN: Duration = Duration::from_secs(5);
const REFUSED: &str = "quarry_commits_refused_total";
const REASONS: [&str; 5] = ["fence", "lease_over", "rejected", "unavailable", "undecided"];

/// Commits that a node refused, by reason.
type Refusals = BTreeMap<&'static str, u64>;

fn refusals(page: &Metrics) -> Refusals {
    REASONS.map(|reason| (reason, page.sum_where(REFUSED, &[("reason", reason)]))).into()
}

/// Ends the load and checks everything that is left.
async fn nothing_is_wrong(cluster: &Cluster, registers: &Registers, load: LoadRun) -> Result<()> {
    let unanswered = load.stop().await?;
    ensure!(unanswered == 0, "{unanswered} appends were never answered");
    say(format!("{:?}", registers.verify().await?));
    say(format!("{:?}", Ledger::of(cluster).await?.audit().await?));
    let violations = cluster.violations().await?;
    ensure!(violations == 0, "{violations} violations of invariants");
    Ok(())
}

/// Lets `node` go on when it was frozen for the whole time, and what `wire` holds of it when it is
/// ready again; checks that nothing is committed under the grants that it had, ever again. The
/// commits that it refused meanwhile.
async fn wake(
    cluster: &mut Cluster,
    node: u16,
    (grants, refused): (&Grants, Refusals),
    frozen: &Stopwatch,
    wire: Option<&Wire>,
) -> Result<Refusals> {
    let mut ledger = Ledger::of(cluster).await?;
    grants.superseded(&mut ledger, TAKEN_WITHIN).await?;
    say(format!("its {} shards are loaded elsewhere {:?} after", grants.count(), frozen.elapsed()));
    let before = grants.commits(&mut ledger).await?;
    frozen.reaches(FROZEN_FOR).await?;
    cluster.thaw(node)?;
    let woken = Stopwatch::start();
    cluster.ready(node, READY_WITHIN).await?;
    say(format!("node {node} is ready again {:?} after it woke up", woken.elapsed()));
    wire.into_iter().for_each(Wire::release);
    takes_part(cluster, node, READY_WITHIN).await?;
    say(format!("node {node} owns shards again {:?} after it woke up", woken.elapsed()));
    let after = grants.commits(&mut ledger).await?;
    ensure!(before == after, "node {node} committed under its old grants after it woke up");
    let mut rise = refusals(&cluster.metrics(node).await?);
    for (reason, count) in &mut rise {
        *count -= refused.get(reason).unwrap_or(&0);
    }
    say(format!("node {node} refused commits that it had begun: {rise:?}"));
    Ok(rise)
}

#[tokio::test]
async fn a_frozen_owner_changes_nothing_after_it_wakes() -> Result<()> {
    cluster::run(3, StoreKind::Postgres, async |cluster| {
        let registers = Registers::new(cluster.client().clone(), cluster.urls());
        let load = registers.load(LOAD);
        for node in [1, 2] {
            progressed(&registers, registers.done() + 200, STEP_WITHIN).await?;
            let grants = Grants::of(cluster, node).await?;
            let refused = refusals(&cluster.metrics(node).await?);
            let frozen = Stopwatch::start();
            let failover = strike(cluster, &registers, node, Fault::Freeze).await?;
            say(format!("{failover}"));
            ensure!(failover.next.owner != serde_json::json!(node), "answered by a frozen node");
            wake(cluster, node, (&grants, refused), &frozen, None).await?;
        }
        nothing_is_wrong(cluster, &registers, load).await
    })
    .await
}

/// Lets `stop` bring node 1 to stand still inside one of its commits, under load, and follows it
/// until it takes part again. The commits that it refused then.
async fn stands_still(
    cluster: &mut Cluster,
    wire: Option<&Wire>,
    stop: impl AsyncFnOnce(&mut Cluster) -> Result<()>,
) -> Result<Refusals> {
    let registers = Registers::new(cluster.client().clone(), cluster.urls());
    let elsewhere = registers.through(cluster.urls_beside(1));
    let owned = owners(&elsewhere, LOAD.registers).await?;
    let grants = Grants::of(cluster, 1).await?;
    let refused = refusals(&cluster.metrics(1).await?);
    let load = registers.load(LOAD);
    stop(cluster).await?;
    let frozen = Stopwatch::start();
    for register in owned.iter().filter(|(_, owner)| **owner == 1).map(|(id, _)| id) {
        let next = owner(&elsewhere, register).await?;
        ensure!(next != 1, "Register/{register} was answered by the stopped node");
    }
    let silent = frozen.elapsed();
    say(format!("all of its registers answered elsewhere {silent:?} after"));
    ensure!(silent <= SILENT_AT_MOST, "its registers were silent for {silent:?}");
    let refused = wake(cluster, 1, (&grants, refused), &frozen, wire).await?;
    nothing_is_wrong(cluster, &registers, load).await?;
    Ok(refused)
}

/// Node 1 stops itself at `point` in one of its commits.
async fn stopped_at(point: &str) -> Result<Refusals> {
    let mut cluster = Cluster::prepare(3, StoreKind::Postgres).await?;
    cluster.set(1, "QUARRY_CRASH_POINT", &format!("{point}:60:stop"))?;
    let mut refused = Refusals::new();
    let stop = async |cluster: &mut Cluster| cluster.stopped(1, STEP_WITHIN).await;
    cluster::run_prepared(cluster, async |cluster| {
        refused = stands_still(cluster, None, stop).await?;
        Ok(())
    })
    .await?;
    Ok(refused)
}

/// Node 1 is frozen while one of its commits is on its way to or from PostgreSQL.
async fn frozen_while(hold: Hold) -> Result<Refusals> {
    let mut cluster = Cluster::prepare(3, StoreKind::Postgres).await?;
    let wire = cluster.wire(1).await?;
    let mut refused = Refusals::new();
    let stop = async |cluster: &mut Cluster| {
        wire.arm(hold);
        wire.held(HELD_WITHIN).await?;
        cluster.freeze(1)?;
        let mut ledger = Ledger::of(cluster).await?;
        let expected = i64::from(hold == Hold::BeforeSync);
        let what = format!("{expected} sessions stand inside a commit");
        until(&what, HELD_WITHIN, async || match ledger.sessions_in_commit().await {
            Ok(sessions) => (sessions == expected).then_some(Ok(())),
            Err(error) => Some(Err(error)),
        })
        .await?
    };
    cluster::run_prepared(cluster, async |cluster| {
        refused = stands_still(cluster, Some(&wire), stop).await?;
        Ok(())
    })
    .await?;
    Ok(refused)
}

fn is_refused(refused: &Refusals, reason: &str) -> Result<()> {
    let count = refused.get(reason).copied().unwrap_or_default();
    ensure!(count > 0, "the commit in which node 1 stood still was not refused by {reason}");
    Ok(())
}

#[tokio::test]
async fn what_stops_before_its_commit_is_sent_is_refused_by_the_fence() -> Result<()> {
    is_refused(&stopped_at("commit-before-send").await?, "fence")
}

#[tokio::test]
async fn what_stops_before_it_looks_at_its_lease_is_refused_by_the_lease() -> Result<()> {
    is_refused(&stopped_at("commit-before-lease-check").await?, "lease_over")
}

/// The server holds the fence for the stopped node until a takeover ends its session.
#[tokio::test]
async fn what_stops_inside_its_commit_is_undone_and_refused_by_the_fence() -> Result<()> {
    is_refused(&frozen_while(Hold::BeforeSync).await?, "fence")
}

/// The commit stands. Nobody heard of it, and all who ask again hear the same.
#[tokio::test]
async fn what_stops_before_its_answer_comes_is_decided_and_done_once() -> Result<()> {
    let refused = frozen_while(Hold::BeforeAnswer).await?;
    for reason in ["fence", "undecided"] {
        ensure!(refused.get(reason) == Some(&0), "the commit that stands was refused: {reason}");
    }
    Ok(())
}

#[tokio::test]
async fn what_stops_after_its_commit_is_done_once() -> Result<()> {
    let refused = stopped_at("committed").await?;
    ensure!(refused.get("fence") == Some(&0), "something was sent after the lease");
    Ok(())
}

/// While one process holds the file's lock nobody can commit; nothing is lost by that, and all go
/// on when it wakes up.
#[tokio::test]
async fn a_cluster_on_sqlite_outlasts_a_process_that_stops_inside_its_commit() -> Result<()> {
    let mut cluster = Cluster::prepare(3, StoreKind::Sqlite).await?;
    cluster.set(1, "QUARRY_CRASH_POINT", "commit-inside:60:stop")?;
    cluster::run_prepared(cluster, async |cluster| {
        let registers = Registers::new(cluster.client().clone(), cluster.urls());
        let load = registers.load(LOAD);
        cluster.stopped(1, STEP_WITHIN).await?;
        let frozen = Stopwatch::start();
        frozen.reaches(FROZEN_FOR).await?;
        let done = registers.done();
        cluster.thaw(1)?;
        let woken = Stopwatch::start();
        for node in cluster.ids() {
            cluster.ready(node, READY_WITHIN).await?;
        }
        say(format!("all nodes are ready {:?} after it woke up", woken.elapsed()));
        progressed(&registers, done + 200, STEP_WITHIN).await?;
        nothing_is_wrong(cluster, &registers, load).await
    })
    .await
}
