//! SQLite among other processes, and calls that are given up half way.

mod databases;

use std::time::Duration;

use databases::{SqliteFile, sqlite_file};
use futures_util::{FutureExt as _, future::join_all};
use quarry_ports::{Commit, CommitError};
use quarry_sim::contract::store::{Broken, Owner, message, success};
use quarry_types::Sequence;
use sqlx::{Connection as _, SqliteConnection};

async fn other_process(database: &SqliteFile) -> Result<SqliteConnection, Broken> {
    Ok(SqliteConnection::connect(&database.url()).await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_waits_for_another_process_that_holds_the_lock() -> Result<(), Broken> {
    let database = sqlite_file()?;
    let owner = Owner::start(&database, 1, 1).await?;
    let row = message(&owner.address("a")?, "k")?;
    let mut other = other_process(&database).await?;
    sqlx::query("begin immediate").execute(&mut other).await?;
    let mut commit = std::pin::pin!(owner.write(owner.accept(&row)));
    let early = tokio::time::timeout(Duration::from_millis(100), commit.as_mut()).await;
    assert!(early.is_err(), "it waits");
    assert_eq!(owner.store.message(row.message_id).await?, None, "reads do not wait");
    sqlx::query("rollback").execute(&mut other).await?;
    assert_eq!(commit.await?.sequence, Sequence(1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_ends_during_the_wait_for_the_lock_is_noticed() -> Result<(), Broken> {
    let database = sqlite_file()?;
    let owner = Owner::start(&database, 1, 1).await?;
    let row = message(&owner.address("a")?, "k")?;
    let mut other = other_process(&database).await?;
    sqlx::query("begin immediate").execute(&mut other).await?;
    let mut commit = std::pin::pin!(owner.write(owner.accept(&row)));
    let early = tokio::time::timeout(Duration::from_millis(100), commit.as_mut()).await;
    assert!(early.is_err(), "it waits");
    owner.lease.end();
    sqlx::query("rollback").execute(&mut other).await?;
    assert_eq!(commit.await, Err(CommitError::LeaseOver));
    assert_eq!(owner.store.message(row.message_id).await?, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_given_up_leave_no_transaction_open() -> Result<(), Broken> {
    let database = sqlite_file()?;
    let owner = Owner::start(&database, 1, 1).await?;
    let address = owner.address("a")?;
    for number in 0..100_u64 {
        // Given up at whatever await it has come to.
        let given_up = owner.store.check_writable(Duration::from_micros(number * 20)).await;
        drop(given_up);
        let loading = Owner::load(owner.store.clone(), 2, number + 1, 1);
        assert!(loading.now_or_never().is_none(), "a load takes more than one turn");
        let done = owner.write(owner.accept(&message(&address, &format!("k{number}"))?)).await?;
        assert_eq!(done.sequence, Sequence(number + 1));
    }
    let mut other = other_process(&database).await?;
    sqlx::query("begin immediate").execute(&mut other).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_caller_went_away_is_whole_or_not_there() -> Result<(), Broken> {
    let database = sqlite_file()?;
    let owner = Owner::start(&database, 1, 1).await?;
    let address = owner.address("a")?;
    let mut rows = Vec::new();
    for number in 0..50 {
        let row = message(&address, &format!("k{number}"))?;
        let commit = Commit { outcomes: vec![success(&row)], ..owner.accept(&row) };
        assert!(owner.write(commit).now_or_never().is_none());
        rows.push(row);
    }
    // What was handed over goes before this one.
    owner.write(owner.commit()).await?;
    let records = join_all(rows.iter().map(|row| owner.store.message(row.message_id))).await;
    for record in records {
        assert!(record?.is_some(), "it was handed over, so it is there");
    }
    assert_eq!(owner.unfinished(0).await?.len(), 0);
    Ok(())
}
