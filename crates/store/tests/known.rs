//! A process knows the newest commits that it was acknowledged, and is told what stands of them.

#![expect(clippy::unwrap_used, reason = "a test ends where it is wrong")]

mod databases;

use databases::{postgres_database, sqlite_file};
use quarry_ports::{CommitError, FoundCommit, KnownCommit};
use quarry_sim::contract::store::{Broken, OpenStore, Owner, message};
use quarry_types::{Epoch, Sequence, ShardId};
use sqlx::{Connection as _, SqliteConnection};

const SHARD: u32 = 1;

const fn at(epoch: u64, sequence: u64) -> KnownCommit {
    KnownCommit { shard: ShardId(SHARD), epoch: Epoch(epoch), sequence: Sequence(sequence) }
}

async fn write(owner: &Owner, key: &str) -> Result<(), CommitError> {
    let row = message(&owner.address("a").unwrap(), key).unwrap();
    owner.write(owner.accept(&row)).await.map(drop)
}

async fn what_was_acknowledged_is_known_and_found(database: &dyn OpenStore) -> Result<(), Broken> {
    let old = Owner::start(database, SHARD, 1).await?;
    assert_eq!(old.store.known_commits(), [], "a load is no commit");
    for key in ["a", "b"] {
        write(&old, key).await?;
    }
    assert_eq!(old.store.known_commits(), [at(1, 2)]);
    let new = Owner::start(database, SHARD, 2).await?;
    write(&new, "c").await?;
    assert_eq!(new.store.known_commits(), [at(2, 3)], "of this process");
    let other = KnownCommit { shard: ShardId(SHARD + 1), ..at(1, 1) };
    let asked = vec![at(1, 1), at(1, 2), at(1, 3), at(1, 4), other];
    let found = |epoch: Option<u64>, newest: Option<u64>| FoundCommit {
        epoch: epoch.map(Epoch),
        newest: newest.map(Sequence),
    };
    let then = [
        found(Some(1), Some(3)),
        found(Some(1), Some(3)),
        found(Some(2), Some(3)),
        found(None, Some(3)),
        found(None, None),
    ];
    assert_eq!(old.store.find_commits(asked).await?, then);
    Ok(())
}

#[tokio::test]
async fn what_was_acknowledged_is_known_and_found_on_sqlite() -> Result<(), Broken> {
    what_was_acknowledged_is_known_and_found(&sqlite_file()?).await
}

#[tokio::test]
async fn what_was_acknowledged_is_known_and_found_on_postgres() -> Result<(), Broken> {
    what_was_acknowledged_is_known_and_found(&postgres_database("known").await?).await
}

#[tokio::test]
async fn what_turns_out_to_be_gone_is_known_no_more() -> Result<(), Broken> {
    let database = sqlite_file()?;
    let owner = Owner::start(&database, SHARD, 1).await?;
    for key in ["a", "b"] {
        write(&owner, key).await?;
    }
    let mut other = SqliteConnection::connect(&database.url()).await?;
    // As the run of both commits was when it held the first only.
    let sql = "update shard_commit set sequence = 1 where sequence = 2";
    assert_eq!(sqlx::query(sql).execute(&mut other).await?.rows_affected(), 1);
    assert!(matches!(write(&owner, "c").await, Err(CommitError::Fenced { .. })));
    assert_eq!(owner.store.known_commits(), [at(1, 0)]);
    Ok(())
}
