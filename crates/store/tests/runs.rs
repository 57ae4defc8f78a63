//! What a SQLite file holds of commits: a row per run of them; and of positions: those that are asked for.
//! And how a database goes on that an older program left without either.

mod databases;

use std::fmt::Write as _;

use databases::{postgres_database, sqlite_file};
use quarry_ports::{Commit, FoundCommit, KnownCommit, MessageRow, OpenRow, OpenState};
use quarry_sim::contract::store::{Broken, OpenStore, Owner, address_in, message, success};
use quarry_types::{Epoch, Sequence, ShardId};
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

const SHARD: u32 = 1;

/// Sequence, the first of the run where it is more than one, and epoch.
type Run = (i64, Option<i64>, i64);

async fn runs(connection: &mut SqliteConnection) -> Result<Vec<Run>, Broken> {
    let sql = "select sequence, first, epoch from shard_commit where shard = 1 order by sequence";
    Ok(sqlx::query_as(sql).fetch_all(connection).await?)
}

async fn finish(owner: &Owner, key: &str) -> Result<MessageRow, Broken> {
    let row = message(&owner.address("a")?, key)?;
    owner.write(Commit { outcomes: vec![success(&row)], ..owner.accept(&row) }).await?;
    Ok(row)
}

/// The epochs of these commits, as the store has them.
async fn epochs(owner: &Owner, sequences: &[u64]) -> Result<Vec<Option<u64>>, Broken> {
    let known = |sequence: &u64| {
        let sequence = Sequence(*sequence);
        KnownCommit { shard: ShardId(SHARD), epoch: Epoch(0), sequence }
    };
    let found = owner.store.find_commits(sequences.iter().map(known).collect()).await?;
    let epoch = |found: &FoundCommit| found.epoch.map(|epoch| epoch.0);
    Ok(found.iter().map(epoch).collect())
}

#[tokio::test]
async fn the_commits_of_an_epoch_are_one_row() -> Result<(), Broken> {
    let database = sqlite_file()?;
    let mut connection = None;
    for (epoch, newest) in [(1, 30), (2, 60), (3, 61)] {
        let owner = Owner::start(&database, SHARD, epoch).await?;
        for number in owner.loaded.sequence.0..newest {
            finish(&owner, &format!("k{number}")).await?;
        }
        connection = Some(SqliteConnection::connect(&database.url()).await?);
    }
    let mut connection = connection.unwrap();
    let wanted = [(0, None, 1), (30, Some(1), 1), (60, Some(31), 2), (61, None, 3)];
    assert_eq!(runs(&mut connection).await?, wanted);
    let owner = Owner::start(&database, SHARD, 4).await?;
    assert_eq!(owner.loaded.sequence, Sequence(61));
    let asked = [0, 1, 29, 30, 31, 60, 61, 62];
    let (one, two, three) = (Some(1), Some(2), Some(3));
    let found = [one, one, one, one, two, two, three, None];
    assert_eq!(epochs(&owner, &asked).await?, found);

    // What is below the mark goes, run by run; a run that reaches above it stays whole.
    for number in 61..250 {
        finish(&owner, &format!("k{number}")).await?;
    }
    owner.write(Commit { low_water: Sequence(200), ..owner.commit() }).await?;
    let shards = vec![quarry_ports::Retiring {
        shard: owner.shard,
        epoch: owner.epoch,
        age: quarry_types::ShardAge(0),
        record: false,
    }];
    owner.store.retire(shards, 100, &owner.lease).await?;
    assert_eq!(runs(&mut connection).await?, [(251, Some(62), 4)]);
    assert_eq!(epochs(&owner, &[61, 62, 251, 252]).await?, [None, Some(4), Some(4), None]);
    finish(&owner, "last").await?;
    assert_eq!(runs(&mut connection).await?, [(252, Some(62), 4)]);
    Ok(())
}

/// The message copied to the open ones.
fn copied(row: &MessageRow) -> OpenRow {
    OpenRow {
        message: row.clone(),
        position: None,
        attempts: 0,
        lost: 0,
        due: row.accepted_at,
        state: OpenState::Waiting,
        errors: Vec::new(),
    }
}

#[tokio::test]
async fn positions_are_kept_of_what_outlives_its_commit() -> Result<(), Broken> {
    let database = sqlite_file()?;
    let owner = Owner::start(&database, SHARD, 1).await?;
    let mut open = Vec::new();
    for number in 0..5 {
        finish(&owner, &format!("done{number}")).await?;
        let row = message(&owner.address("a")?, &format!("open{number}"))?;
        owner.write(owner.accept(&row)).await?;
        open.push(row.message_id);
        let row = message(&owner.address("a")?, &format!("copied{number}"))?;
        owner.write(Commit { open: vec![copied(&row)], ..owner.accept(&row) }).await?;
        open.push(row.message_id);
    }
    // One of each ends in a later commit.
    for id in [open.remove(0), open.remove(0)] {
        let row = owner.store.message(id).await?.unwrap().message;
        owner.write(Commit { outcomes: vec![success(&row)], ..owner.commit() }).await?;
    }
    let mut connection = SqliteConnection::connect(&database.url()).await?;
    let sql = "select key from message where settled = 0 order by shard, sequence, ordinal";
    let positions: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut connection).await?;
    assert_eq!(positions, ["open0", "open1", "open2", "open3", "open4"]);
    let new = Owner::start(&database, SHARD, 2).await?;
    let unfinished = new.unfinished(0).await?;
    let found: Vec<_> = unfinished.iter().map(|open| open.message.message_id).collect();
    assert_eq!(found, open);
    Ok(())
}

/// How a database writes what both write differently.
struct Dialect {
    migrations: &'static str,
    id: fn(&str) -> String,
    bytes: fn(&str) -> String,
}

const SQLITE: Dialect = Dialect {
    migrations: concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite"),
    id: |hex| format!("x'{hex}'"),
    bytes: |hex| format!("x'{hex}'"),
};
const POSTGRES: Dialect = Dialect {
    migrations: concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres"),
    id: |hex| format!("'{hex}'::uuid"),
    bytes: |hex| format!("'\\x{hex}'::bytea"),
};

/// Makes a database as version 10 left it, with these commits of epoch 1: the first finished a message,
/// the second accepted one.
fn version_10(of: &Dialect, rows: &[MessageRow; 2]) -> Result<String, Broken> {
    let names = std::fs::read_dir(of.migrations)?.map(|entry| entry.map(|entry| entry.path()));
    let mut names = names.collect::<Result<Vec<_>, _>>()?;
    names.sort();
    let old = names.into_iter().take(10).map(std::fs::read_to_string);
    let mut sql = old.collect::<Result<Vec<_>, _>>()?.join("\n");
    sql.push_str(
        "create table schema_version \
            (version bigint not null primary key, name text not null, applied_at bigint not null); \
        insert into schema_version values (10, 'suspects', 0); \
        insert into shard_fence (shard, first_slot, last_slot, epoch, boot, loaded_at) \
            values (1, 8192, 16383, 1, 1, 0); \
        insert into shard_commit (shard, sequence, epoch, low_water, now_ms, void) \
            values (1, 0, 1, 0, 0, 1), (1, 1, 1, 0, 5, 0), (1, 2, 1, 0, 6, 0);",
    );
    let id = |row: &MessageRow| {
        let bits = u128::from_be_bytes(row.message_id.to_bytes());
        (of.id)(&format!("{bits:032x}"))
    };
    for (sequence, row) in (1..).zip(rows) {
        let (slot, name, key) = (row.address.slot().0, row.address.id.as_str(), row.key.as_str());
        let (id, payload, at) = (id(row), (of.bytes)("7b7d"), row.accepted_at.0);
        writeln!(
            sql,
            "insert into message (shard, sequence, ordinal, message_id, tenant, slot, entity_type, \
            entity_id, method, key, payload, accepted_at) values (1, {sequence}, 0, {id}, 'default', \
            {slot}, 'Counter', '{name}', 'add', '{key}', {payload}, {at});",
        )?;
    }
    let (id, slot, body) = (id(&rows[0]), rows[0].address.slot().0, (of.bytes)("31"));
    writeln!(
        sql,
        "insert into outcome (message_id, shard, sequence, tenant, slot, kind, body, attempts, \
        finished_at, keep_until) values ({id}, 1, 1, 'default', {slot}, 0, {body}, 1, 0, 0);",
    )?;
    Ok(sql)
}

fn old_rows() -> Result<[MessageRow; 2], Broken> {
    let address = address_in(ShardId(SHARD), "a")?;
    Ok([message(&address, "finished")?, message(&address, "open")?])
}

/// What `rows` of the version before are to this one, and that it goes on behind them.
async fn goes_on(database: &dyn OpenStore, rows: &[MessageRow; 2]) -> Result<(), Broken> {
    let owner = Owner::start(database, SHARD, 2).await?;
    assert_eq!(owner.loaded.sequence, Sequence(2));
    let unfinished = owner.unfinished(0).await?;
    let found: Vec<_> = unfinished.iter().map(|open| open.message.message_id).collect();
    assert_eq!(found, [rows[1].message_id]);
    for row in rows {
        assert!(owner.store.message(row.message_id).await?.is_some());
        let again = Commit { outcomes: vec![success(row)], ..owner.accept(row) };
        assert!(owner.write(again).await.is_err(), "its key is taken");
    }
    owner.write(Commit { outcomes: vec![success(&rows[1])], ..owner.commit() }).await?;
    finish(&owner, "new").await?;
    assert_eq!(owner.unfinished(0).await?, []);
    assert_eq!(
        epochs(&owner, &[0, 1, 2, 3, 4, 5]).await?,
        [Some(1), Some(1), Some(1), Some(2), Some(2), None]
    );
    Ok(())
}

#[tokio::test]
async fn a_postgres_database_of_the_version_before_goes_on() -> Result<(), Broken> {
    let (database, rows) = (postgres_database("before").await?, old_rows()?);
    let mut connection = database.connect().await?;
    sqlx::raw_sql(AssertSqlSafe(version_10(&POSTGRES, &rows)?)).execute(&mut connection).await?;
    goes_on(&database, &rows).await
}

#[tokio::test]
async fn a_file_of_the_version_before_goes_on() -> Result<(), Broken> {
    let (database, rows) = (sqlite_file()?, old_rows()?);
    std::fs::create_dir_all(database.path().parent().unwrap())?;
    let url = format!("{}?mode=rwc", database.url());
    let mut connection = SqliteConnection::connect(&url).await?;
    sqlx::raw_sql(AssertSqlSafe(version_10(&SQLITE, &rows)?)).execute(&mut connection).await?;
    connection.close().await?;
    goes_on(&database, &rows).await?;
    let mut connection = SqliteConnection::connect(&database.url()).await?;
    let wanted = [(0, None, 1), (1, None, 1), (2, None, 1), (4, Some(3), 2)];
    assert_eq!(runs(&mut connection).await?, wanted);
    Ok(())
}
