//! An owner is frozen for ten seconds, anywhere or at a point inside a commit; what it left behind
//! when it wakes is checked in the data itself.
//!
//! On SQLite a frozen process may hold the lock of the one file, so these are PostgreSQL's tests,
//! but for the last one, which says what SQLite does then.

use std::time::Duration;

use anyhow::{Result, ensure};
use quarry_tests::{
    cluster::{self, Cluster},
    failover::{Fault, owner, owners, progressed, strike},
    grants::{Grants, takes_part},
    ledger::Ledger,
    process::StoreKind,
    report::say,
    wait::Stopwatch,
    workload::{Load, LoadRun, Registers},
};

const LOAD: Load = Load::endless(8, 50);
const FROZEN_FOR: Duration = Duration::from_secs(10);
const STEP_WITHIN: Duration = Duration::from_mins(1);
/// Shards of a frozen node are loaded elsewhere within its lease and some time for the loading.
const TAKEN_WITHIN: Duration = Duration::from_secs(8);
const READY_WITHIN: Duration = Duration::from_secs(30);
const REFUSED: &str = "quarry_commits_refused_total";

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

/// Lets `node` go on when it was frozen for the whole time, and checks that nothing is committed
/// under the grants that it had, ever again.
async fn wake(cluster: &mut Cluster, node: u16, grants: &Grants, frozen: &Stopwatch) -> Result<()> {
    let mut ledger = Ledger::of(cluster).await?;
    grants.superseded(&mut ledger, TAKEN_WITHIN).await?;
    say(format!("its {} shards are loaded elsewhere {:?} after", grants.count(), frozen.elapsed()));
    let before = grants.commits(&mut ledger).await?;
    frozen.reaches(FROZEN_FOR).await?;
    cluster.thaw(node)?;
    let woken = Stopwatch::start();
    cluster.ready(node, READY_WITHIN).await?;
    say(format!("node {node} is ready again {:?} after it woke up", woken.elapsed()));
    takes_part(cluster, node, READY_WITHIN).await?;
    say(format!("node {node} owns shards again {:?} after it woke up", woken.elapsed()));
    let after = grants.commits(&mut ledger).await?;
    ensure!(before == after, "node {node} committed under its old grants after it woke up");
    Ok(())
}

#[tokio::test]
async fn a_frozen_owner_changes_nothing_after_it_wakes() -> Result<()> {
    cluster::run(3, StoreKind::Postgres, async |cluster| {
        let registers = Registers::new(cluster.client().clone(), cluster.urls());
        let load = registers.load(LOAD);
        for node in [1, 2] {
            progressed(&registers, registers.done() + 200, STEP_WITHIN).await?;
            let grants = Grants::of(cluster, node).await?;
            let refused = cluster.metrics(node).await?.sum(REFUSED);
            let frozen = Stopwatch::start();
            let failover = strike(cluster, &registers, node, Fault::Freeze).await?;
            say(format!("{failover}"));
            ensure!(failover.next.owner != serde_json::json!(node), "answered by a frozen node");
            wake(cluster, node, &grants, &frozen).await?;
            let refused = cluster.metrics(node).await?.sum(REFUSED) - refused;
            say(format!("node {node} refused {refused} commits that it had begun"));
        }
        nothing_is_wrong(cluster, &registers, load).await
    })
    .await
}

/// Node 1 stops itself at `point` in one of its commits, under load.
async fn stopped_at(point: &str, reason: &str) -> Result<()> {
    let mut cluster = Cluster::prepare(3, StoreKind::Postgres).await?;
    cluster.set(1, "QUARRY_CRASH_POINT", &format!("{point}:60:stop"))?;
    cluster::run_prepared(cluster, async |cluster| {
        let registers = Registers::new(cluster.client().clone(), cluster.urls());
        let elsewhere = registers.through(cluster.urls_beside(1));
        let owned = owners(&elsewhere, LOAD.registers).await?;
        let grants = Grants::of(cluster, 1).await?;
        let refused = cluster.metrics(1).await?.sum_where(REFUSED, &[("reason", reason)]);
        let load = registers.load(LOAD);
        cluster.stopped(1, STEP_WITHIN).await?;
        let frozen = Stopwatch::start();
        for register in owned.iter().filter(|(_, owner)| **owner == 1).map(|(id, _)| id) {
            let next = owner(&elsewhere, register).await?;
            ensure!(next != 1, "Register/{register} was answered by the stopped node");
        }
        say(format!("all of its registers answered elsewhere {:?} after", frozen.elapsed()));
        wake(cluster, 1, &grants, &frozen).await?;
        let now = cluster.metrics(1).await?.sum_where(REFUSED, &[("reason", reason)]);
        say(format!("{REFUSED}{{reason={reason:?}}} rose from {refused} to {now}"));
        ensure!(now > refused, "the commit in which node 1 stopped was not refused by {reason}");
        nothing_is_wrong(cluster, &registers, load).await
    })
    .await
}

#[tokio::test]
async fn what_stops_before_its_commit_is_sent_is_refused_by_the_fence() -> Result<()> {
    stopped_at("commit-before-send", "fence").await
}

#[tokio::test]
async fn what_stops_before_it_looks_at_its_lease_is_refused_by_the_lease() -> Result<()> {
    stopped_at("commit-before-lease-check", "lease_over").await
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
