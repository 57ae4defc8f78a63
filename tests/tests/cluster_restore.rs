//! A database that is set back to an older state, beneath running nodes or while none runs, is
//! noticed: what it acknowledged and forgot is reported, and what is served from then on is what it
//! holds.

use std::{fs, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use quarry_tests::{
    client::{Answer, Message},
    cluster::{self, Cluster},
    database::Database,
    ledger::{Ledger, change},
    process::StoreKind,
    report::say,
    wait::{Stopwatch, until},
};
use serde_json::{Value, json};

const STEP_WITHIN: Duration = Duration::from_secs(30);
const TOLD: &str = "the store holds less than it acknowledged";

async fn send(cluster: &Cluster, node: u16, method: &str, value: &str) -> Result<Answer> {
    let is_append = method == "append";
    let body = if is_append { json!({ "value": value }) } else { json!({}) };
    let key = is_append.then_some(value);
    let message = Message { entity_type: "Register", id: "r", method, key, body: &body };
    cluster.client().send(cluster.url(node)?, &message).await
}

async fn append(cluster: &Cluster, node: u16, value: &str) -> Result<Value> {
    match send(cluster, node, "append", value).await? {
        Answer::Done { body, .. } => Ok(body),
        other => bail!("{value}: {other:?}"),
    }
}

/// Appends until it is answered with success.
async fn append_again(cluster: &Cluster, node: u16, value: &str) -> Result<Duration> {
    let watch = Stopwatch::start();
    until("an append is answered", STEP_WITHIN, async || append(cluster, node, value).await.ok())
        .await?;
    Ok(watch.elapsed())
}

async fn values(cluster: &Cluster, node: u16) -> Result<Vec<String>> {
    let read = async || match send(cluster, node, "read", "").await {
        Ok(Answer::Done { body, .. }) => Some(body),
        _ => None,
    };
    let body = until("a read is answered", STEP_WITHIN, read).await?;
    let values = body.get("values").and_then(Value::as_array).context("no values")?;
    let of = |entry: &Value| entry.get("value").and_then(Value::as_str).map(str::to_owned);
    Ok(values.iter().filter_map(of).collect())
}

/// The copy of the database is put back under its name; its sessions end.
async fn put_back(database: &Database, copy: &str) -> Result<()> {
    let name = database.name();
    database.administer(&format!("alter database {name} allow_connections false")).await?;
    database.end_sessions().await?;
    database.administer(&format!("alter database {name} rename to {name}_old")).await?;
    database.administer(&format!("alter database {copy} rename to {name}")).await
}

#[tokio::test]
async fn a_database_that_is_restored_beneath_its_nodes_is_noticed_on_postgres() -> Result<()> {
    cluster::run(2, StoreKind::Postgres, async |cluster| {
        append(cluster, 1, "before").await?;
        let database = cluster.database()?;
        let copy = format!("{}_copy", database.name());
        copy_to(cluster, &copy).await?;
        append(cluster, 1, "forgotten").await?;
        put_back(database, &copy).await?;
        let took = append_again(cluster, 2, "after").await?;
        say(format!("an append is answered {took:?} after the restore"));
        ensure!(values(cluster, 1).await? == ["before", "after"], "not what the database holds");
        let violations = cluster.violations().await?;
        ensure!(violations > 0, "nobody has noticed");
        say(format!("{violations} violations were counted"));
        say(format!("{:?}", Ledger::of(cluster).await?.audit().await?));
        database.administer(&format!("drop database {}_old with (force)", database.name())).await
    })
    .await
}

/// A copy of the database as it stands, while nobody is in it for a moment.
async fn copy_to(cluster: &Cluster, copy: &str) -> Result<()> {
    let database = cluster.database()?;
    let name = database.name();
    until("a copy is made", STEP_WITHIN, async || {
        database.end_sessions().await.ok()?;
        database.administer(&format!("create database {copy} template {name}")).await.ok()
    })
    .await?;
    append_again(cluster, 1, "before").await.map(drop)
}

/// Rows of the last commits are gone, as after a file system that was set back.
async fn newest_rows_are_gone(store: StoreKind) -> Result<()> {
    cluster::run(2, store, async |cluster| {
        append(cluster, 1, "before").await?;
        append(cluster, 1, "forgotten").await?;
        // The register's shard has two commits, the others have none.
        for table in ["message", "outcome"] {
            change(cluster, &format!("delete from {table} where sequence = 2")).await?;
        }
        change(cluster, "delete from shard_commit where sequence = 2 and first is null").await?;
        // One row for both, on SQLite.
        change(cluster, "update shard_commit set sequence = 1 where sequence = 2").await?;
        let took = append_again(cluster, 2, "after").await?;
        let violations = cluster.violations().await?;
        say(format!("{violations} violations were counted, answered after {took:?}"));
        ensure!(violations > 0, "nobody has noticed");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn commits_that_are_gone_are_noticed_on_sqlite() -> Result<()> {
    newest_rows_are_gone(StoreKind::Sqlite).await
}

#[tokio::test]
async fn commits_that_are_gone_are_noticed_on_postgres() -> Result<()> {
    newest_rows_are_gone(StoreKind::Postgres).await
}

/// An older copy is moved to the place of the file: who has the old one open acknowledges nothing
/// more, says why and ends, and the next start serves what is there.
#[tokio::test]
async fn a_file_that_is_put_back_beneath_its_nodes_ends_them() -> Result<()> {
    cluster::run(2, StoreKind::Sqlite, async |cluster| {
        append(cluster, 1, "before").await?;
        let file = cluster.directory().join("quarry.db");
        let copy = cluster.directory().join("copy.db");
        let made = format!("vacuum into '{}'", copy.display());
        change(cluster, &made).await?;
        append(cluster, 1, "forgotten").await?;
        fs::rename(&copy, &file)?;
        for of_old in ["-wal", "-shm"] {
            fs::remove_file(cluster.directory().join(format!("quarry.db{of_old}")))?;
        }
        let answer = send(cluster, 1, "append", "late").await?;
        ensure!(!matches!(answer, Answer::Done { .. }), "acknowledged into a file that is gone");
        for node in [1, 2] {
            let status = cluster.ended(node, STEP_WITHIN).await?;
            ensure!(!status.success(), "node {node} ended with {status}");
        }
        let log = fs::read_to_string(cluster.directory().join("node-1.log"))?;
        ensure!(log.contains("another file stands in its place"), "the log does not say why");
        cluster.start_all().await?;
        ensure!(told(cluster)? == 1, "the next start says what is missing");
        append_again(cluster, 2, "after").await?;
        ensure!(values(cluster, 1).await? == ["before", "after"], "not what the file holds");
        say(format!("{:?}", Ledger::of(cluster).await?.audit().await?));
        Ok(())
    })
    .await
}

/// How all nodes end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Asked,
    Killed,
}

async fn end_all(cluster: &mut Cluster, ends: Ends) -> Result<()> {
    for node in cluster.ids() {
        match ends {
            Ends::Asked => cluster.terminate(node, STEP_WITHIN).await.map(drop)?,
            Ends::Killed => cluster.kill(node).await?,
        }
    }
    Ok(())
}

/// How often the logs of all nodes tell that the store was set back.
fn told(cluster: &Cluster) -> Result<usize> {
    let mut times = 0;
    for node in cluster.ids() {
        let log = fs::read_to_string(cluster.directory().join(format!("node-{node}.log")))?;
        times += log.lines().filter(|line| line.contains(TOLD)).count();
    }
    Ok(times)
}

/// The newest sequence that a node remembers of a shard, and 0 where none remembers one.
fn remembered(cluster: &Cluster) -> u64 {
    let marks = cluster.ids().into_iter().map(|node| cluster.home(node).join("store.mark"));
    let texts: Vec<String> = marks.filter_map(|mark| fs::read_to_string(mark).ok()).collect();
    let commits = texts.iter().flat_map(|text| text.lines().filter(|line| !line.contains('s')));
    commits.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).max().unwrap_or(0)
}

/// Waits until a node remembers a newer commit. An append that takes long is two: accepted and done.
async fn remember_more_than(cluster: &Cluster, sequence: u64) -> Result<()> {
    let newer = async || (remembered(cluster) > sequence).then_some(());
    until("a newer commit is remembered", STEP_WITHIN, newer).await
}

/// An older copy is moved to the place of the file while no node runs.
async fn put_back_while_no_node_runs(ends: Ends) -> Result<()> {
    cluster::run(2, StoreKind::Sqlite, async |cluster| {
        append(cluster, 1, "before").await?;
        remember_more_than(cluster, 0).await?;
        end_all(cluster, ends).await?;
        cluster.start_all().await?;
        ensure!(told(cluster)? == 0, "a file that nobody touched was told");
        let (file, copy) =
            (cluster.directory().join("quarry.db"), cluster.directory().join("copy.db"));
        change(cluster, &format!("vacuum into '{}'", copy.display())).await?;
        let before = remembered(cluster);
        append_again(cluster, 1, "forgotten").await?;
        remember_more_than(cluster, before).await?;
        end_all(cluster, ends).await?;
        fs::rename(&copy, &file)?;
        for of_old in ["-wal", "-shm"] {
            // They go with the last process that had the file open, unless it was killed.
            let _ = fs::remove_file(cluster.directory().join(format!("quarry.db{of_old}")));
        }
        cluster.start_all().await?;
        ensure!(told(cluster)? == 1, "told {} times", told(cluster)?);
        ensure!(cluster.violations().await? == 1, "of one shard");
        append_again(cluster, 2, "after").await?;
        ensure!(values(cluster, 1).await? == ["before", "after"], "not what the file holds");
        end_all(cluster, Ends::Asked).await?;
        cluster.start_all().await?;
        ensure!(told(cluster)? == 1, "it is told once");
        ensure!(cluster.violations().await? == 0, "what is told is forgotten");
        say(format!("{:?}", Ledger::of(cluster).await?.audit().await?));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_file_that_is_put_back_while_no_node_runs_is_noticed_at_the_start() -> Result<()> {
    put_back_while_no_node_runs(Ends::Asked).await
}

#[tokio::test]
async fn a_file_that_is_put_back_behind_killed_nodes_is_noticed_at_the_start() -> Result<()> {
    put_back_while_no_node_runs(Ends::Killed).await
}
