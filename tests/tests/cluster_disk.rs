//! Disks that are full, read-only or broken: writes are refused soon, with the reason, and readiness
//! says so; when the disk is well, so is the node, without a restart. A flush that fails ends it; one that
//! is slow does not.

use std::{collections::BTreeSet, fs, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use quarry_tests::{
    client::{Answer, Message},
    cluster::{self, Cluster},
    database::Database,
    failover::{owner, progressed},
    history::End,
    ledger::Ledger,
    machine::{Fault, Shim, Volume},
    ownership::{Standing, at_rest, is_owned, shards},
    process::StoreKind,
    report::say,
    server::{Server, own},
    wait::{Stopwatch, until},
    workload::{Load, Registers},
};
use serde_json::json;

const VOLUME: u64 = 48 << 20;
const LOAD: Load = Load::endless(6, 40);
const STEP_WITHIN: Duration = Duration::from_mins(1);
const REFUSED_WITHIN: Duration = Duration::from_secs(1);
const BACK_WITHIN: Duration = Duration::from_secs(5);
/// Several times as long as a lease.
const SLOW_FOR: Duration = Duration::from_secs(10);
/// What the log says when the store begins to refuse commits, and when it takes them again.
const BEGUN: &str = "the store refuses commits";
const OVER: &str = "the store takes commits again refused=";

/// One append of 10 KB, once.
async fn append(cluster: &Cluster, number: u32) -> Result<Answer> {
    let body = json!({ "value": format!("{number} {}", "x".repeat(10_000)) });
    let (id, key) = (format!("large-{number}"), format!("k{number}"));
    let (entity_type, method) = ("Register", "append");
    let message = Message { entity_type, id: &id, method, key: Some(&key), body: &body };
    cluster.client().send(cluster.url(1)?, &message).await
}

/// From some write on, all are refused soon and with a reason that has `says`, which readiness tells
/// too. What was accepted just before may have to wait for its outcome.
async fn refuses(cluster: &Cluster, says: &str) -> Result<()> {
    let (mut number, mut in_a_row, mut slowest) = (0_u32, 0, Duration::ZERO);
    let refused = until("writes are refused", STEP_WITHIN, async || {
        let asked = Stopwatch::start();
        let answer = append(cluster, number).await;
        number += 1;
        let Ok(Answer::Refused(problem)) = answer else {
            (in_a_row, slowest) = (0, Duration::ZERO);
            return None;
        };
        (in_a_row, slowest) = (in_a_row + 1, slowest.max(asked.elapsed()));
        (in_a_row == 20).then_some(problem)
    });
    let problem = refused.await?;
    ensure!(problem.code == "store_unavailable" && problem.retryable, "{problem:?}");
    ensure!(problem.detail.contains(says), "the reason is not told: {problem:?}");
    ensure!(slowest < REFUSED_WITHIN, "a refusal took {slowest:?}");
    let page = format!("{}/readyz", cluster.url(1)?);
    let told = until("the node is not ready", BACK_WITHIN, async || {
        let (status, text) = cluster.client().page(&page).await?;
        (status == 503).then_some(text)
    });
    let told = told.await?;
    ensure!(told.contains(says), "readiness does not tell the reason: {told}");
    say(format!("write {number} is refused, the slowest within {slowest:?}: {}", problem.detail));
    Ok(())
}

/// From now on, when all is well: the node is ready and takes writes.
async fn comes_back(cluster: &mut Cluster) -> Result<()> {
    let well = Stopwatch::start();
    until("a write is taken", STEP_WITHIN, async || {
        let answer = append(cluster, u32::MAX).await;
        matches!(answer, Ok(Answer::Done { .. })).then_some(())
    })
    .await?;
    let written = well.elapsed();
    cluster.ready(1, STEP_WITHIN).await?;
    let ready = well.elapsed();
    ensure!(ready < BACK_WITHIN, "back after {ready:?}");
    say(format!("writes are taken after {written:?}, the node is ready after {ready:?}"));
    Ok(())
}

/// A load goes on while the disk is not well; what was acknowledged is there once.
async fn struck(
    cluster: &mut Cluster,
    says: &str,
    strike: impl AsyncFnOnce() -> Result<()>,
    mend: impl AsyncFnOnce() -> Result<()>,
) -> Result<()> {
    let registers = Registers::new(cluster.client().clone(), cluster.urls());
    let load = registers.load(LOAD);
    progressed(&registers, 100, STEP_WITHIN).await?;
    strike().await?;
    refuses(cluster, says).await?;
    mend().await?;
    comes_back(cluster).await?;
    let done = registers.done();
    progressed(&registers, done + 100, STEP_WITHIN).await?;
    let unanswered = load.stop().await?;
    ensure!(unanswered == 0, "{unanswered} appends were never answered");
    say(format!("{:?}", registers.verify().await?));
    ensure!(cluster.violations().await? == 0, "an invariant was violated");
    is_logged_in_episodes(cluster).await?;
    cluster.terminate(1, STEP_WITHIN).await.map(drop)
}

/// The log has a line where refusals began and one where they were over, not one for each commit.
async fn is_logged_in_episodes(cluster: &Cluster) -> Result<()> {
    let path = cluster.directory().join("node-1.log");
    let times = |log: &str, what: &str| log.lines().filter(|line| line.contains(what)).count();
    let told = until("all episodes are over", STEP_WITHIN, async || {
        let log = fs::read_to_string(&path).ok()?;
        let begun = times(&log, BEGUN);
        (begun > 0 && begun == times(&log, OVER)).then_some((log, begun))
    });
    let (log, begun) = told.await?;
    let refused = log.lines().filter_map(|line| {
        let (_, rest) = line.split_once(OVER)?;
        rest.split(' ').next()?.parse::<u64>().ok()
    });
    let refused: u64 = refused.sum();
    let unavailable = [("reason", "unavailable")];
    let metrics = cluster.metrics(1).await?;
    let counted = metrics.sum_where("quarry_commits_refused_total", &unavailable);
    say(format!("{refused} of {counted} refused commits in {begun} episodes"));
    ensure!(begun <= 5, "{begun} episodes of one fault");
    ensure!((20..=counted).contains(&refused), "{refused} commits are told, {counted} counted");
    let of_one = |line: &&str| line.contains("a commit") && line.contains("is unavailable");
    let each = log.lines().filter(of_one).count();
    ensure!(each == 0, "{each} lines tell of one refused commit each");
    Ok(())
}

async fn audit(cluster: &Cluster) -> Result<()> {
    say(format!("{:?}", Ledger::of(cluster).await?.audit().await?));
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "it is how a test ends")]
fn skipped(forbidden: &str) -> Result<()> {
    say(format!("skipped, this machine mounts no small file system: {forbidden}"));
    Ok(())
}

#[tokio::test]
async fn a_full_disk_is_told_and_left_behind_on_sqlite() -> Result<()> {
    let mut cluster = Cluster::prepare(1, StoreKind::Sqlite).await?;
    let volume = match Volume::mount(&cluster.directory().join("volume"), VOLUME)? {
        Ok(volume) => volume,
        Err(forbidden) => return skipped(&forbidden.0),
    };
    cluster.store_on(&volume)?;
    cluster::run_prepared(cluster, async |cluster| {
        struck(cluster, "full", async || volume.fill(), async || volume.empty()).await?;
        for file in ["quarry.db", "quarry.db-wal"] {
            let from = volume.outside().join(file);
            if from.exists() {
                fs::copy(from, cluster.directory().join(file))?;
            }
        }
        audit(cluster).await
    })
    .await
}

/// The coordinator's files of all voters are on one disk, which is full when a node is killed: nobody can
/// record that, and no process ends. With room again its shards are taken over.
#[tokio::test]
async fn a_full_disk_ends_no_voter() -> Result<()> {
    let mut cluster = Cluster::prepare(3, StoreKind::Postgres).await?;
    let volume = match Volume::mount(&cluster.directory().join("volume"), VOLUME)? {
        Ok(volume) => volume,
        Err(forbidden) => return skipped(&forbidden.0),
    };
    cluster.keep_data_on(&volume)?;
    cluster::run_prepared(cluster, async |cluster| {
        at_rest(cluster, STEP_WITHIN).await?;
        let registers = Registers::new(cluster.client().clone(), cluster.urls());
        let load = registers.load(LOAD);
        progressed(&registers, 50, STEP_WITHIN).await?;
        let Standing { other, .. } = Standing::of(cluster).await?;
        volume.fill()?;
        cluster.kill(other).await?;
        until("a voter has no room", STEP_WITHIN, async || no_room(cluster).then_some(())).await?;
        let full = Stopwatch::start();
        full.reaches(SLOW_FOR).await?;
        for node in cluster.ids_beside(other) {
            ensure!(cluster.runs(node)?, "node {node} ended");
        }
        volume.empty()?;
        let room = Stopwatch::start();
        let dead = BTreeSet::from([other]);
        for url in cluster.urls_beside(other) {
            until("its shards have other owners", STEP_WITHIN, async || {
                let shards = shards(cluster.client(), &url).await.ok()?;
                shards.iter().all(|shard| is_owned(shard, &dead)).then_some(())
            })
            .await?;
        }
        let taken = room.elapsed();
        say(format!("all shards of node {other} have other owners {taken:?} after there was room"));
        ensure!(taken < BACK_WITHIN, "taken over {taken:?} after there was room");
        cluster.restart(other).await?;
        progressed(&registers, registers.done() + 50, STEP_WITHIN).await?;
        let unanswered = load.stop().await?;
        ensure!(unanswered == 0, "{unanswered} appends were never answered");
        say(format!("{:?}", registers.verify().await?));
        audit(cluster).await
    })
    .await
}

/// Whether a node says that its coordinator's file has no room.
fn no_room(cluster: &Cluster) -> bool {
    cluster.ids().into_iter().any(|node| {
        let log = fs::read_to_string(cluster.directory().join(format!("node-{node}.log")));
        log.is_ok_and(|log| log.contains("the coordinator's file has no room"))
    })
}

#[tokio::test]
async fn a_full_disk_is_told_and_left_behind_on_postgres() -> Result<()> {
    let place = tempfile::Builder::new().prefix("quarry-volume.").tempdir_in("/tmp")?;
    let volume = match Volume::mount(place.path(), VOLUME)? {
        Ok(volume) => volume,
        Err(forbidden) => return skipped(&forbidden.0),
    };
    // The tables are on the volume, the server's own log is not: a server whose log is full ends.
    let tables = volume.inside().join("tables");
    fs::create_dir(volume.outside().join("tables"))?;
    own(&volume.outside().join("tables"))?;
    let server = Server::start(volume.command()).await?;
    let database = Database::create_on(&server.url()).await?;
    let sql = format!("create tablespace small location '{}'", tables.display());
    database.administer(&sql).await?;
    database
        .administer(&format!("alter database {} set tablespace small", database.name()))
        .await?;
    let cluster = Cluster::prepare_over(1, Some(database))?;
    cluster::run_prepared(cluster, async |cluster| {
        struck(cluster, "No space left", async || volume.fill(), async || volume.empty()).await?;
        audit(cluster).await
    })
    .await
}

#[tokio::test]
async fn a_disk_that_takes_no_writes_is_told_and_left_behind_on_sqlite() -> Result<()> {
    let mut cluster = Cluster::prepare(1, StoreKind::Sqlite).await?;
    let shim = Shim::build(&cluster.directory().join("quarry.db"))?;
    cluster.put_before(1, &shim)?;
    cluster::run_prepared(cluster, async |cluster| {
        let strike = async || shim.begin(Fault::Write);
        struck(cluster, "a write failed", strike, async || shim.end(Fault::Write)).await?;
        audit(cluster).await
    })
    .await
}

#[tokio::test]
async fn a_database_that_takes_no_writes_is_told_and_left_behind_on_postgres() -> Result<()> {
    cluster::run(1, StoreKind::Postgres, async |cluster| {
        let database = Database::create().await?;
        let name = cluster.database()?.name().to_owned();
        let read_only = async |value: &str| {
            let set = format!("alter database {name} set default_transaction_read_only = {value}");
            database.administer(&set).await?;
            let end = "select pg_terminate_backend(pid) from pg_stat_activity where datname = ";
            database.administer(&format!("{end}'{name}'")).await
        };
        let mend = async || {
            let reset = format!("alter database {name} reset default_transaction_read_only");
            database.administer(&reset).await
        };
        struck(cluster, "read-only transaction", async || read_only("on").await, mend).await?;
        audit(cluster).await
    })
    .await
}

/// A register that node 1 owns.
async fn of_node_1(registers: &Registers) -> Result<String> {
    for number in 0..50 {
        let register = format!("r{number}");
        if owner(registers, &register).await? == 1 {
            return Ok(register);
        }
    }
    bail!("node 1 owns none of fifty registers")
}

#[tokio::test]
async fn a_node_that_cannot_flush_its_store_acknowledges_nothing_and_ends() -> Result<()> {
    let mut cluster = Cluster::prepare(3, StoreKind::Sqlite).await?;
    let shim = Shim::build(&cluster.directory().join("quarry.db"))?;
    cluster.put_before(1, &shim)?;
    cluster::run_prepared(cluster, async |cluster| {
        let registers = Registers::new(cluster.client().clone(), cluster.urls());
        let survivors = registers.through(cluster.urls_beside(1));
        let load = registers.load(LOAD);
        progressed(&registers, 100, STEP_WITHIN).await?;
        let register = of_node_1(&registers).await?;
        shim.begin(Fault::Flush)?;
        let (broken, stamp) = (Stopwatch::start(), registers.recorder().stamp());
        let next = survivors.append(1_000_000, &register, "after", 0).await?;
        next.context("the register stayed silent")?;
        let silent = broken.elapsed();
        let status = cluster.ended(1, STEP_WITHIN).await?;
        say(format!("others answer after {silent:?}, node 1 is gone after {:?}", broken.elapsed()));
        ensure!(!status.success(), "node 1 ended with {status}");
        ensure!(silent < BACK_WITHIN, "the register was silent for {silent:?}");
        let history = registers.recorder().history();
        let late: Vec<_> = history.calls.iter().filter(|call| {
            matches!(&call.end, End::Acknowledged { owner, .. } if call.called > stamp && *owner == json!(1))
        }).collect();
        ensure!(late.is_empty(), "acknowledged after the flush that failed: {late:?}");
        shim.end(Fault::Flush)?;
        cluster.restart(1).await?;
        let unanswered = load.stop().await?;
        ensure!(unanswered == 0, "{unanswered} appends were never answered");
        say(format!("{:?}", registers.verify().await?));
        say(format!("{:?}", Ledger::of(cluster).await?.audit().await?));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_node_that_cannot_flush_its_coordinators_file_ends_at_the_next_entry() -> Result<()> {
    let mut cluster = Cluster::prepare(3, StoreKind::Sqlite).await?;
    let shim = Shim::build(&cluster.directory().join("node-1"))?;
    cluster.put_before(1, &shim)?;
    cluster::run_prepared(cluster, async |cluster| {
        let registers = Registers::new(cluster.client().clone(), cluster.urls());
        let load = registers.load(LOAD);
        progressed(&registers, 100, STEP_WITHIN).await?;
        shim.begin(Fault::Flush)?;
        // The end of a lease and a join are entries of all voters.
        cluster.kill(2).await?;
        cluster.start(2)?;
        let status = cluster.ended(1, STEP_WITHIN).await?;
        ensure!(!status.success(), "node 1 ended with {status}");
        cluster.ready(2, STEP_WITHIN).await?;
        let done = registers.done();
        progressed(&registers, done + 100, STEP_WITHIN).await?;
        shim.end(Fault::Flush)?;
        cluster.restart(1).await?;
        let unanswered = load.stop().await?;
        ensure!(unanswered == 0, "{unanswered} appends were never answered");
        say(format!("{:?}", registers.verify().await?));
        ensure!(cluster.violations().await? == 0, "an invariant was violated");
        Ok(())
    })
    .await
}

/// A slow disk is no reason to take a lease away: renewals are not written.
#[tokio::test]
async fn disks_whose_flushes_take_half_a_second_end_no_lease() -> Result<()> {
    let mut cluster = Cluster::prepare(3, StoreKind::Sqlite).await?;
    let shim = Shim::build(cluster.directory())?;
    for node in cluster.ids() {
        cluster.put_before(node, &shim)?;
    }
    cluster::run_prepared(cluster, async |cluster| {
        at_rest(cluster, STEP_WITHIN).await?;
        let registers = Registers::new(cluster.client().clone(), cluster.urls());
        let load = registers.load(LOAD);
        progressed(&registers, 100, STEP_WITHIN).await?;
        let standing = Standing::of(cluster).await?;
        shim.begin(Fault::Slow)?;
        let (slow, done) = (Stopwatch::start(), registers.done());
        slow.reaches(SLOW_FOR).await?;
        let answered = registers.done() - done;
        // Each flush holds the one file for half a second, and every group of commits is flushed.
        let most = SLOW_FOR.as_millis() / 500 * u128::from(LOAD.clients) + u128::from(LOAD.clients);
        say(format!("{answered} appends in {SLOW_FOR:?}, {most} at most if all flushes are slow"));
        ensure!(answered > 0, "nothing was answered");
        ensure!(u128::from(answered) <= most, "the disk was not slow");
        shim.end(Fault::Slow)?;
        progressed(&registers, registers.done() + 100, STEP_WITHIN).await?;
        let unanswered = load.stop().await?;
        ensure!(unanswered == 0, "{unanswered} appends were never answered");
        say(format!("{:?}", registers.verify().await?));
        standing.owners_last(cluster).await?;
        ensure!(cluster.violations().await? == 0, "an invariant was violated");
        audit(cluster).await
    })
    .await
}
