//! A handler's own statements: of its commit alone, under its fence, together with all else of it.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is wrong")]

mod databases;

use std::time::Duration;

use databases::{postgres_database, sqlite_file};
use futures_util::future::join_all;
use quarry_ports::{Commit, CommitError};
use quarry_sim::contract::store::{Broken, OpenStore, Owner, message, success};
use quarry_types::{OWN_TABLES, Param, Statement};
use sqlx::{Connection as _, PgConnection, SqliteConnection};

const CREATE: &str =
    "create table orders (id bigint primary key, note text, price double precision)";
const INSERT: &str = "insert into orders (id, note, price) values ($1, $2, $3)";

fn order(id: i64, note: Option<&str>) -> Statement {
    let values = vec![id.into(), note.into(), Param::Real(1.5.into())];
    Statement::new(INSERT, values).unwrap()
}

/// A commit that finishes a message of `key` with these statements.
fn commit(owner: &Owner, key: &str, statements: Vec<Statement>) -> Result<Commit, Broken> {
    let row = message(&owner.address("a")?, key)?;
    Ok(Commit { outcomes: vec![success(&row)], statements, ..owner.accept(&row) })
}

/// Commits with statements and without, all at once; one of them breaks a rule.
async fn write(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 3, 1).await?;
    let other = Owner::load(owner.store.clone(), 4, 1, 1).await?;
    let update = Statement::new(
        "update orders set note = $1 where id = $2",
        vec!["changed".into(), 1_i64.into()],
    );
    let mut commits = vec![commit(&owner, "first", vec![order(1, Some("one")), update.unwrap()])?];
    for number in 0..10 {
        commits.push(commit(&other, &format!("plain {number}"), Vec::new())?);
    }
    commits.push(commit(&owner, "culprit", vec![order(2, None), order(1, Some("again"))])?);
    commits.push(commit(&owner, "null", vec![order(3, None)])?);
    let of = |commit: &Commit| if commit.shard == owner.shard { &owner } else { &other };
    let written = join_all(commits.into_iter().map(|commit| of(&commit).write(commit))).await;
    let failed: Vec<_> = written.iter().filter_map(|done| done.as_ref().err()).collect();
    let [CommitError::Rejected { reason }] = failed.as_slice() else {
        panic!("one of them fails, alone: {failed:?}")
    };
    assert!(reason.starts_with("statement 2 of the transaction: "), "{reason}");
    // A newer owner: nothing of the old one goes in any more (G3).
    Owner::start(database, 3, 2).await?;
    let fenced = owner.write(commit(&owner, "late", vec![order(9, None)])?).await;
    assert!(matches!(fenced, Err(CommitError::Fenced { .. })), "{fenced:?}");
    Ok(())
}

/// What stands in the end.
fn check(orders: &[(i64, Option<String>, Option<f64>)], outcomes: i64) {
    let changed = (1, Some("changed".to_owned()), Some(1.5));
    assert_eq!(orders, [changed, (3, None, Some(1.5))]);
    assert_eq!(outcomes, 12, "together with their statements, or not at all (G2)");
}

const ORDERS: &str = "select id, note, price from orders order by id";
const OUTCOMES: &str = "select count(*) from outcome";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_are_of_their_commit_alone_on_sqlite() -> Result<(), Broken> {
    let database = sqlite_file()?;
    Owner::start(&database, 1, 1).await?;
    let mut own = SqliteConnection::connect(&database.url()).await?;
    sqlx::query(CREATE).execute(&mut own).await?;
    write(&database).await?;
    let orders: Vec<_> = sqlx::query_as(ORDERS).fetch_all(&mut own).await?;
    check(&orders, sqlx::query_scalar(OUTCOMES).fetch_one(&mut own).await?);
    let tables = "select name from sqlite_master where type in ('table', 'view')";
    own_tables_are_known(&sqlx::query_scalar::<_, String>(tables).fetch_all(&mut own).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_are_of_their_commit_alone_on_postgres() -> Result<(), Broken> {
    let database = postgres_database("transactions").await?;
    Owner::start(&database, 1, 1).await?;
    let mut own: PgConnection = database.connect().await?;
    sqlx::query(CREATE).execute(&mut own).await?;
    write(&database).await?;
    let orders: Vec<_> = sqlx::query_as(ORDERS).fetch_all(&mut own).await?;
    check(&orders, sqlx::query_scalar(OUTCOMES).fetch_one(&mut own).await?);
    let tables = "select table_name::text from information_schema.tables \
        where table_schema = current_schema()";
    own_tables_are_known(&sqlx::query_scalar::<_, String>(tables).fetch_all(&mut own).await?);
    Ok(())
}

/// Statements that take far too long, one or many together: their commit is rejected, and others do not
/// wait for long. `epoch` is a new one.
async fn stops(
    database: &dyn OpenStore,
    epoch: u64,
    statements: Vec<Statement>,
) -> Result<(), Broken> {
    let owner = Owner::start(database, 3, epoch).await?;
    let late = owner.write(commit(&owner, &format!("long {epoch}"), statements)?);
    let others = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut others = Vec::new();
        for shard in [4, 5, 6, 7] {
            let other = Owner::load(owner.store.clone(), shard, epoch, 1).await?;
            let plain = commit(&other, &format!("plain {shard} {epoch}"), Vec::new())?;
            others.push(other.write(plain).await);
        }
        Ok::<_, Broken>(others)
    };
    let both = tokio::time::timeout(OTHERS_WITHIN, async { tokio::join!(late, others) });
    let (late, others) = both.await.expect("others waited for it");
    let Err(CommitError::Rejected { reason }) = late else { panic!("{late:?}") };
    assert!(reason.contains("took longer than 2s"), "{reason}");
    assert!(others?.iter().all(Result::is_ok));
    let next = order(i64::try_from(epoch)?, Some("next"));
    owner.write(commit(&owner, &format!("next {epoch}"), vec![next])?).await?;
    Ok(())
}

fn statement(sql: &str) -> Statement {
    Statement::new(sql, vec![]).unwrap()
}

/// The limit of all statements of a commit is 2 s.
const OTHERS_WITHIN: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_does_not_end_is_stopped_on_sqlite() -> Result<(), Broken> {
    let database = sqlite_file()?;
    Owner::start(&database, 1, 1).await?;
    let mut own = SqliteConnection::connect(&database.url()).await?;
    sqlx::query(CREATE).execute(&mut own).await?;
    let insert = |limit: &str| {
        statement(&format!(
            "insert into orders (id, note) values ((with recursive c(x) as \
            (select 1 union all select x + 1 from c {limit}) select -count(*) from c), 'long')"
        ))
    };
    stops(&database, 1, vec![insert("")]).await?;
    let many = (0..50).map(|number| insert(&format!("where x < 2000000 + {number}")));
    stops(&database, 2, many.collect()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_does_not_end_is_stopped_on_postgres() -> Result<(), Broken> {
    let database = postgres_database("long").await?;
    Owner::start(&database, 1, 1).await?;
    let mut own: PgConnection = database.connect().await?;
    sqlx::query(CREATE).execute(&mut own).await?;
    let sleep = "insert into orders (id, note) select -9, pg_sleep(600)::text";
    stops(&database, 1, vec![statement(sleep)]).await?;
    // One order stands.
    let sleep = "update orders set note = pg_sleep(1.2)::text";
    stops(&database, 2, vec![statement(sleep); 50]).await
}

/// No table of the store's may be named by a handler.
fn own_tables_are_known(tables: &[String]) {
    let of_store = tables.iter().filter(|table| *table != "orders");
    let unknown: Vec<_> = of_store.filter(|table| !OWN_TABLES.contains(&table.as_str())).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
