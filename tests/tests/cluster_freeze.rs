//! An owner is frozen for ten seconds, anywhere or at a place inside a commit; what it left behind
//! when it wakes is checked in the data itself.
//!
//! On SQLite a frozen process may hold the lock of the one file, so these are PostgreSQL's tests,
//! but for the last one, which says what SQLite does then.

use std::time::Duration;

use anyhow::{Result, ensure};
use quarry_tests::{
    chaos::{judge, watched},
    cluster::{self, Cluster},
    failover::{Fault, progressed, strike},
    freeze::{
        Before, FROZEN_FOR, LOAD, READY_WITHIN, Refusals, STEP_WITHIN, Stood, nothing_is_wrong,
        stands_still, wake, wakes_in_quiet,
    },
    ledger::Ledger,
    process::StoreKind,
    report::say,
    wait::{Stopwatch, until},
    wire::{Hold, Wire},
    workload::Registers,
};

const HELD_WITHIN: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_frozen_owner_changes_nothing_after_it_wakes() -> Result<()> {
    cluster::run(3, StoreKind::Postgres, async |cluster| {
        let registers = Registers::new(cluster.client().clone(), cluster.urls());
        let load = registers.load(LOAD);
        for node in [1, 2] {
            progressed(&registers, registers.done() + 200, STEP_WITHIN).await?;
            let before = Before::of(cluster, node).await?;
            let frozen = Stopwatch::start();
            let failover = strike(cluster, &registers, node, Fault::Freeze).await?;
            say(format!("{failover}"));
            ensure!(failover.next.owner != serde_json::json!(node), "answered by a frozen node");
            let woken = wake(cluster, node, &before, &frozen, None).await?;
            woken.gave_up_at_once()?;
            woken.nothing_is_late()?;
        }
        nothing_is_wrong(cluster, &registers, load).await
    })
    .await
}

/// As [`stands_still`], and everything that is left is checked; the fences are looked at meanwhile.
async fn comes_through(
    cluster: &mut Cluster,
    wire: Option<&Wire>,
    stop: impl AsyncFnOnce(&mut Cluster) -> Result<()>,
) -> Result<Refusals> {
    let store = cluster.store_url().to_owned();
    let all = async {
        let Stood { woken, registers, load } = stands_still(cluster, wire, stop).await?;
        woken.gave_up_at_once()?;
        woken.nothing_is_late()?;
        nothing_is_wrong(cluster, &registers, load).await?;
        Ok(woken.refused)
    };
    Ok(watched(&store, all).await?.0)
}

/// Node 1 stops itself at `point` in one of its commits.
async fn stopped_at(point: &str) -> Result<Refusals> {
    let mut cluster = Cluster::prepare(3, StoreKind::Postgres).await?;
    cluster.set(1, "QUARRY_CRASH_POINT", &format!("{point}:60:stop"))?;
    let mut refused = Refusals::new();
    let stop = async |cluster: &mut Cluster| cluster.stopped(1, STEP_WITHIN).await;
    cluster::run_prepared(cluster, async |cluster| {
        refused = comes_through(cluster, None, stop).await?;
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
        refused = comes_through(cluster, Some(&wire), stop).await?;
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

/// Nobody writes over what it sends, and all is read from what is stored.
#[tokio::test]
async fn what_wakes_when_nobody_writes_any_more_leaves_all_as_it_was() -> Result<()> {
    let mut cluster = Cluster::prepare(3, StoreKind::Postgres).await?;
    cluster.set(1, "QUARRY_CRASH_POINT", "commit-before-send:60:stop")?;
    cluster::run_prepared(cluster, async |cluster| {
        let registers = wakes_in_quiet(cluster).await?;
        say(format!("{:?}", judge(cluster, &registers).await?));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_stops_before_it_looks_at_its_lease_is_refused_by_the_lease() -> Result<()> {
    is_refused(&stopped_at("commit-before-lease-check").await?, "lease_over")
}

/// The server holds the fence for the stopped node until a takeover ends its session. When the node
/// wakes it asks for the fate of its commit: the fence answers, unless its successor has retired the
/// rows of that time, as it does under load; then the fate is unknown to all but the messages.
#[tokio::test]
async fn what_stops_inside_its_commit_is_undone_and_refused() -> Result<()> {
    let refused = frozen_while(Hold::BeforeSync).await?;
    is_refused(&refused, "fence").or_else(|_| is_refused(&refused, "undecided"))
}

/// The commit stands. Nobody heard of it, and all who ask again hear the same. Where the node gives up
/// the answer when it wakes, it asks for the fate of the commit, which the rows of that time tell it,
/// unless its successor has retired them.
#[tokio::test]
async fn what_stops_before_its_answer_comes_is_decided_and_done_once() -> Result<()> {
    let refused = frozen_while(Hold::BeforeAnswer).await?;
    ensure!(refused.get("fence") == Some(&0), "the commit that stands was refused by the fence");
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
