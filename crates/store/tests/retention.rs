//! Under a constant load nothing grows once the first retention time is over: neither rows nor the
//! space that they take. Ages are handed in, so that an hour of retention takes no hour.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends where it is wrong")]

mod databases;

use databases::{postgres_database, sqlite_file, wire::Fault};
use quarry_ports::{ChunkBody, ChunkRow, Commit, CommitError, OutcomeRow, Retiring};
use quarry_sim::contract::store::{Broken, Owner, message, success};
use quarry_types::{Sequence, ShardAge};
use sqlx::{Connection as _, PgConnection, SqliteConnection};

/// Milliseconds of age per round, and rounds for which an outcome is kept.
const ROUND: u64 = 1_000;
const KEPT: u64 = 10;
/// Messages of one round.
const MESSAGES: u64 = 120;

/// One round of load: messages that begin and end in it, with chunks, and what is due goes.
async fn round(owner: &Owner, number: u64) -> Result<(), Broken> {
    let address = owner.address("a")?;
    let keep_until = ShardAge((number + KEPT) * ROUND);
    for each in 0..MESSAGES / 4 {
        let keys = (0..4).map(|of| format!("{number}-{each}-{of}"));
        let rows = keys.map(|key| message(&address, &key)).collect::<Result<Vec<_>, _>>()?;
        let chunks = rows.iter().map(|row| ChunkRow {
            message_id: row.message_id,
            address: address.clone(),
            first: 0,
            chunks: vec![ChunkBody::Made(vec![b'c'; 300].into())],
        });
        let outcomes = rows.iter().map(|row| OutcomeRow { keep_until, ..success(row) });
        let (chunks, outcomes) = (chunks.collect(), outcomes.collect());
        let low_water = Sequence(u64::MAX / 4);
        owner
            .write(Commit { messages: rows, outcomes, chunks, low_water, ..owner.commit() })
            .await?;
    }
    let (shard, epoch, age) = (owner.shard, owner.epoch, ShardAge(number * ROUND));
    for _ in 0..100 {
        let shards = vec![Retiring { shard, epoch, age, record: true }];
        if !owner.store.retire(shards, 100, &owner.lease).await?.more {
            return Ok(());
        }
    }
    Err(Broken::new("what is due does not come to its end"))
}

const COUNTS: &str = "select (select count(*) from message), (select count(*) from outcome), \
    (select count(*) from chunk), (select count(*) from shard_commit)";

fn check(number: u64, counts: (i64, i64, i64, i64)) {
    let kept = i64::try_from(KEPT * MESSAGES).unwrap();
    if number >= KEPT {
        let (messages, outcomes, chunks, commits) = counts;
        assert_eq!((messages, outcomes, chunks), (kept, kept, kept), "in round {number}");
        assert!(commits < 400, "{commits} rows of commits in round {number}");
    }
}

/// The largest of the later sizes is hardly larger than that after two retention times.
fn settled(sizes: &[i64]) {
    let early = sizes[usize::try_from(2 * KEPT).unwrap()];
    let late = sizes.iter().copied().max().unwrap();
    assert!(late <= early + early / 10, "it still grows: {sizes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_file_keeps_its_size() -> Result<(), Broken> {
    let database = sqlite_file()?;
    let owner = Owner::start(&database, 1, 1).await?;
    let mut other = SqliteConnection::connect(&database.url()).await?;
    let mut sizes = Vec::new();
    for number in 0..6 * KEPT {
        round(&owner, number).await?;
        check(number, sqlx::query_as(COUNTS).fetch_one(&mut other).await?);
        sizes.push(sqlx::query_scalar("pragma page_count").fetch_one(&mut other).await?);
    }
    settled(&sizes);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_tables_keep_their_size() -> Result<(), Broken> {
    let database = postgres_database("keeps_its_size").await?;
    let owner = Owner::start(&database, 1, 1).await?;
    let mut other: PgConnection = database.connect().await?;
    let mut sizes = Vec::new();
    for number in 0..6 * KEPT {
        round(&owner, number).await?;
        check(number, sqlx::query_as(COUNTS).fetch_one(&mut other).await?);
        // Stands for the server's own cleaning, which looks once a minute.
        sqlx::query("vacuum message, outcome, chunk, shard_commit").execute(&mut other).await?;
        let size = "select (pg_total_relation_size('message') + pg_total_relation_size('outcome') \
            + pg_total_relation_size('chunk') + pg_total_relation_size('shard_commit'))::bigint";
        sizes.push(sqlx::query_scalar(size).fetch_one(&mut other).await?);
    }
    settled(&sizes);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fate_is_not_guessed_where_its_commits_are_retired() -> Result<(), Broken> {
    let database = postgres_database("forgotten").await?;
    let (wired, wire) = database.behind_wire().await?;
    let old = Owner::start(&wired, 1, 1).await?;
    round(&old, 0).await?;
    // Of this kind too, so that the connection knows the statement.
    let known = message(&old.address("a")?, "known")?;
    old.write(old.accept(&known)).await?;
    // The answer to a commit is lost, and nobody can ask what became of it for a while.
    let row = message(&old.address("a")?, "lost")?;
    wire.arm(Fault::LoseAnswerAndSilence);
    let commit = old.write(old.accept(&row));
    let meanwhile = async {
        wire.silenced().await;
        // Another owner goes on, and what was then is retired.
        let new = Owner::start(&database, 1, 2).await?;
        for number in 1..8 {
            round(&new, number).await?;
        }
        wire.silence(false);
        Ok::<_, Broken>(new)
    };
    let (lost, new) = tokio::join!(commit, meanwhile);
    let is_undecided = matches!(lost, Err(CommitError::Undecided { .. }));
    assert!(is_undecided, "nobody knows whether it was written: {lost:?}");
    assert!(new?.store.message(row.message_id).await?.is_some(), "it was");
    Ok(())
}
