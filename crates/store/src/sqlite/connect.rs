//! Connections to a file, and its schema.

use std::{path::Path, time::Duration};

use quarry_ports::Host;
use quarry_types::Monotonic;
use sqlx::{
    ConnectOptions as _, Connection as _, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::{
    open::{OpenError, Options},
    schema,
};

use super::{
    checkpoint,
    machine::{self, Machine},
    tally,
    trust::Trust,
    writer::{LOCK_WAIT, Turn, Writer, is_busy, pause},
};

/// How a connection to the file is made.
pub(super) fn connect_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(false)
        .busy_timeout(Duration::ZERO)
        .statement_cache_capacity(256)
        .pragma("wal_autocheckpoint", "0")
        .pragma("temp_store", "memory")
        .thread_name(|number| format!("sqlite-{number}"))
}

/// Makes the write connection.
pub(super) async fn connect(
    options: &SqliteConnectOptions,
    host: &Host,
    until: Monotonic,
) -> Result<SqliteConnection, sqlx::Error> {
    loop {
        match connect_once(options).await {
            // Switching to WAL and recovering it take the lock for a moment.
            Err(error) if is_busy(&error) && host.now() < until => pause(host).await,
            result => return result,
        }
    }
}

async fn connect_once(options: &SqliteConnectOptions) -> Result<SqliteConnection, sqlx::Error> {
    let mut connection = SqliteConnection::connect_with(options).await?;
    sqlx::raw_sql(tally::TABLES).execute(&mut connection).await?;
    Ok(connection)
}

/// Opens the file, brings its schema up to date, and connects its readers.
pub(super) async fn open(
    path: &Path,
    options: &Options,
    host: &Host,
) -> Result<(Writer, SqlitePool), OpenError> {
    let store = format!("sqlite {}", path.display());
    let failed = failed_at(&store);
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        tokio::fs::create_dir_all(parent)
            .await
            .map_err(|source| OpenError::Directory { path: parent.to_owned(), source })?;
    }
    // The text of its statements would be that of whole groups.
    let quiet = connect_options(path).disable_statement_logging();
    let writer = Writer::new(quiet, Trust::new(path));
    migrate(&writer, options, host, &store).await?;
    let turn = writer.begin(host).await.map_err(&failed)?;
    if let Err(error) = checkpoint::reserve(path).await {
        tracing::warn!(%error, "the log of the store was not given its size; commits are slower");
    }
    turn.rollback().await;
    let readers = SqlitePoolOptions::new()
        .min_connections(1)
        .test_before_acquire(false)
        .max_connections(options.readers.max(1))
        .connect_with(connect_options(path).pragma("query_only", "1").busy_timeout(LOCK_WAIT))
        .await
        .map_err(&failed)?;
    Ok((writer, readers))
}

/// What is said of a database that did not do as it should.
fn failed_at(store: &str) -> impl Fn(sqlx::Error) -> OpenError {
    |error| OpenError::Database { store: store.to_owned(), reason: error.to_string() }
}

/// Applies what is missing of the schema, and records whom the file serves, in one transaction, whose
/// lock keeps other processes out.
async fn migrate(
    writer: &Writer,
    options: &Options,
    host: &Host,
    store: &str,
) -> Result<(), OpenError> {
    let failed = failed_at(store);
    let mut turn = writer.begin(host).await.map_err(&failed)?;
    let prepared = match apply(&mut turn, host, store).await {
        Ok(()) => take(&mut turn, options, host, store).await,
        failed => failed,
    };
    match prepared {
        Ok(()) => turn.commit().await.map_err(&failed),
        Err(error) => {
            turn.rollback().await;
            Err(error)
        }
    }
}

/// Makes the file this machine's; refuses that of another one, unless it may be taken.
async fn take(
    turn: &mut Turn<'_>,
    options: &Options,
    host: &Host,
    store: &str,
) -> Result<(), OpenError> {
    let failed = failed_at(store);
    let here = Machine::here(host);
    let connection = turn.connection().map_err(&failed)?;
    if !options.take_from_other_host
        && machine::serves_another(connection, here).await.map_err(&failed)?
    {
        return Err(OpenError::OtherHost { store: store.to_owned() });
    }
    machine::record(connection, here, options.take_from_other_host).await.map_err(&failed)
}

async fn apply(turn: &mut Turn<'_>, host: &Host, store: &str) -> Result<(), OpenError> {
    let failed = failed_at(store);
    let connection = turn.connection().map_err(&failed)?;
    sqlx::query(schema::CREATE_VERSIONS).execute(&mut *connection).await.map_err(&failed)?;
    let found = schema::found!(connection, schema::SQLITE).await.map_err(&failed)?;
    let pending = schema::pending(schema::SQLITE, found).map_err(|known| OpenError::Newer {
        store: store.to_owned(),
        found: found.version.unwrap_or(0),
        known,
    })?;
    for migration in pending {
        schema::migrate!(connection, migration, host.clock.wall().0).await.map_err(&failed)?;
    }
    Ok(())
}
