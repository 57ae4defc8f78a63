//! PostgreSQL cuts its sessions, is restarted, crashes and stays away, under load: nothing is lost,
//! nothing is done twice, and nodes go on by themselves.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use quarry_tests::{
    client::Answer,
    cluster::{self, Cluster},
    database::Database,
    failover::progressed,
    ledger::Ledger,
    report::say,
    server::Server,
    wait::{Stopwatch, until},
    workload::{Load, Registers},
};

const NODES: u16 = 3;
const LOAD: Load = Load::endless(8, 50);
const STEP_WITHIN: Duration = Duration::from_mins(1);
/// How soon calls are answered after the database answers again.
const RESUMED_WITHIN: Duration = Duration::from_secs(3);
/// How soon calls are refused while the database is away.
const REFUSED_WITHIN: Duration = Duration::from_secs(1);
const CUTS: u32 = 10;
/// Longer than fates of commits are asked for, so that shards change their epochs.
const LONG_OUTAGE: Duration = Duration::from_secs(12);

/// Runs `strike` under load, then checks all that was done.
async fn under_load(
    server: Server,
    strike: impl AsyncFnOnce(&Cluster, &Registers, &mut Server) -> Result<()>,
) -> Result<()> {
    let mut server = server;
    let database = Database::create_on(&server.url()).await?;
    let cluster = Cluster::prepare_over(NODES, Some(database))?;
    cluster::run_prepared(cluster, async |cluster| {
        let registers = Registers::new(cluster.client().clone(), cluster.urls());
        let load = registers.load(LOAD);
        progressed(&registers, 100, STEP_WITHIN).await?;
        strike(cluster, &registers, &mut server).await?;
        progressed(&registers, registers.done() + 100, STEP_WITHIN).await?;
        let unanswered = load.stop().await?;
        ensure!(unanswered == 0, "{unanswered} appends were not answered in 30 s");
        say(format!("{:?}", registers.verify().await?));
        say(format!("{:?}", Ledger::of(cluster).await?.audit().await?));
        let violations = cluster.violations().await?;
        ensure!(violations == 0, "{violations} violations of invariants");
        // The nodes that were started are those that run.
        for node in cluster.ids() {
            cluster.ready(node, STEP_WITHIN).await?;
        }
        Ok(())
    })
    .await
}

/// Until an append through each node is answered, from now on.
async fn resumed(cluster: &Cluster, registers: &Registers) -> Result<Duration> {
    let watch = Stopwatch::start();
    for (client, url) in (1_000_000..).zip(cluster.urls()) {
        let through = registers.through(vec![url]);
        let value = registers.next_value(client);
        let appended = through.append(client, &format!("p{client}"), &value, 0).await?;
        appended.context("a node stays silent")?;
    }
    Ok(watch.elapsed())
}

/// An append through each node is refused soon, with the reason. The fate of what was under way when the
/// server went may be unknown.
async fn refused(cluster: &Cluster, registers: &Registers) -> Result<()> {
    for (client, url) in (2_000_000..).zip(cluster.urls()) {
        let through = registers.through(vec![url]);
        let register = format!("p{client}");
        let (problem, took) = until("an append is refused", STEP_WITHIN, async || {
            let asked = Stopwatch::start();
            match through.append_once(client, &register).await {
                Ok(Answer::Refused(problem)) => Some((problem, asked.elapsed())),
                _ => None,
            }
        })
        .await?;
        say(format!("refused after {took:?}: {} {}", problem.code, problem.detail));
        ensure!(problem.code == "store_unavailable" && problem.retryable, "{problem:?}");
        ensure!(took < REFUSED_WITHIN, "refused after {took:?}");
    }
    Ok(())
}

#[tokio::test]
async fn sessions_that_are_cut_lose_nothing() -> Result<()> {
    under_load(Server::start(Vec::new()).await?, async |cluster, registers, _| {
        let database = cluster.database()?;
        let mut slowest = Duration::ZERO;
        for _ in 0..CUTS {
            let end = "select pg_terminate_backend(pid) from pg_stat_activity where datname = ";
            database.administer(&format!("{end}'{}'", database.name())).await?;
            slowest = slowest.max(resumed(cluster, registers).await?);
        }
        say(format!("{CUTS} cuts; three appends were answered within {slowest:?} at most"));
        ensure!(slowest < RESUMED_WITHIN, "resumed after {slowest:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_server_that_is_restarted_or_crashes_loses_nothing() -> Result<()> {
    under_load(Server::start(Vec::new()).await?, async |cluster, registers, server| {
        for crashes in [false, true] {
            let down = Stopwatch::start();
            if crashes {
                server.crash().await?;
            } else {
                server.stop().await?;
            }
            server.resume().await?;
            let down = down.elapsed();
            let resumed = resumed(cluster, registers).await?;
            say(format!("crash {crashes}: down for {down:?}, resumed {resumed:?} after that"));
            ensure!(resumed < RESUMED_WITHIN, "resumed after {resumed:?}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_server_that_stays_away_is_gone_on_with_when_it_comes() -> Result<()> {
    under_load(Server::start(Vec::new()).await?, async |cluster, registers, server| {
        server.stop().await?;
        let away = Stopwatch::start();
        refused(cluster, registers).await?;
        away.reaches(LONG_OUTAGE).await?;
        refused(cluster, registers).await?;
        server.resume().await?;
        let resumed = resumed(cluster, registers).await?;
        say(format!("down for {LONG_OUTAGE:?}, resumed {resumed:?} after that"));
        ensure!(resumed < RESUMED_WITHIN, "resumed after {resumed:?}");
        Ok(())
    })
    .await
}
