//! Connections to a file, the schema, and the one way to its write lock.

use std::{path::Path, time::Duration};

use quarry_ports::{Host, StoreError};
use quarry_types::Monotonic;
use sqlx::{
    Connection as _, SqlSafeStr as _, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::{Mutex, MutexGuard};

use crate::{
    open::{OpenError, Options},
    schema,
};

use super::Sqlite;

/// How long a write waits for other processes that hold the file's lock.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// The result codes that mean *locked by another connection*, extended ones included.
const BUSY: i32 = 5;

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

/// The write connection, used by one transaction at a time. After an error whose rollback failed
/// it is dropped and made anew.
pub(super) struct Writer {
    options: SqliteConnectOptions,
    connection: Mutex<Option<SqliteConnection>>,
}

/// The write connection in use.
pub(super) struct Turn<'a>(MutexGuard<'a, Option<SqliteConnection>>);

impl Writer {
    /// Waits for the connection, makes it where it is missing, and begins a transaction that holds
    /// the file's write lock.
    pub(super) async fn begin(&self, host: &Host) -> Result<Turn<'_>, sqlx::Error> {
        let mut turn = Turn(self.connection.lock().await);
        let until = host.now().after(LOCK_WAIT);
        if turn.0.is_none() {
            *turn.0 = Some(connect(&self.options, host, until).await?);
        }
        loop {
            match turn.execute("begin immediate").await {
                Err(error) if is_busy(&error) && host.now() < until => pause(host).await,
                Err(error) => return Err(error),
                Ok(()) => return Ok(turn),
            }
        }
    }
}

impl Turn<'_> {
    /// The connection.
    pub(super) fn connection(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        self.0.as_mut().ok_or(sqlx::Error::WorkerCrashed)
    }

    /// Runs a statement without parameters.
    pub(super) async fn execute(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        sqlx::query(sql).execute(self.connection()?).await.map(drop)
    }

    /// Undoes the transaction.
    pub(super) async fn rollback(mut self) {
        if self.execute("rollback").await.is_err() {
            self.discard();
        }
    }

    /// Gives the connection up: whatever it had begun is undone by closing it.
    pub(super) fn discard(&mut self) {
        drop(self.0.take());
    }
}

impl Sqlite {
    /// One statement in a transaction of its own.
    pub(super) async fn execute(&self, sql: &'static str, value: i64) -> Result<(), StoreError> {
        let unavailable =
            |error: sqlx::Error| StoreError::Unavailable { reason: error.to_string() };
        let mut turn = self.writer.begin(&self.host).await.map_err(unavailable)?;
        let result = async {
            sqlx::query(sql).bind(value).execute(turn.connection()?).await?;
            turn.execute("commit").await
        }
        .await;
        if result.is_err() {
            turn.rollback().await;
        }
        result.map_err(unavailable)
    }
}

/// Whether another connection holds the lock; nothing was done then.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    primary_code(error) == Some(BUSY)
}

/// SQLite's primary result code of an error.
pub(super) fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?;
    code.parse::<i32>().ok().map(|code| code & 0xff)
}

/// Waits between 0.2 and 1.2 ms before the lock is tried again.
pub(super) async fn pause(host: &Host) {
    let jitter = host.random.next_u64() % 1_000;
    tokio::time::sleep(Duration::from_micros(200 + jitter)).await;
}

async fn connect(
    options: &SqliteConnectOptions,
    host: &Host,
    until: Monotonic,
) -> Result<SqliteConnection, sqlx::Error> {
    loop {
        match SqliteConnection::connect_with(options).await {
            // Switching to WAL and recovering it take the lock for a moment.
            Err(error) if is_busy(&error) && host.now() < until => pause(host).await,
            result => return result,
        }
    }
}

/// Opens the file, brings its schema up to date, and connects its readers.
pub(super) async fn open(
    path: &Path,
    options: &Options,
    host: &Host,
) -> Result<(Writer, SqlitePool), OpenError> {
    let store = format!("sqlite {}", path.display());
    let failed = |error: sqlx::Error| OpenError::Database {
        store: store.clone(),
        reason: error.to_string(),
    };
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        tokio::fs::create_dir_all(parent)
            .await
            .map_err(|source| OpenError::Directory { path: parent.to_owned(), source })?;
    }
    let writer = Writer { options: connect_options(path), connection: Mutex::new(None) };
    migrate(&writer, host, &store).await?;
    let readers = SqlitePoolOptions::new()
        .min_connections(1)
        .max_connections(options.readers.max(1))
        .connect_with(connect_options(path).pragma("query_only", "1").busy_timeout(LOCK_WAIT))
        .await
        .map_err(failed)?;
    Ok((writer, readers))
}

/// Applies what is missing of the schema in one transaction, whose lock keeps other processes out.
async fn migrate(writer: &Writer, host: &Host, store: &str) -> Result<(), OpenError> {
    let failed = |error: sqlx::Error| OpenError::Database {
        store: store.to_owned(),
        reason: error.to_string(),
    };
    let mut turn = writer.begin(host).await.map_err(failed)?;
    let applied =
        async {
            turn.execute(schema::CREATE_VERSIONS).await.map_err(failed)?;
            let connection = turn.connection().map_err(failed)?;
            let found: Option<i64> = sqlx::query_scalar(schema::NEWEST_VERSION)
                .fetch_one(connection)
                .await
                .map_err(failed)?;
            let pending = schema::pending(schema::SQLITE, found).map_err(|known| {
                OpenError::Newer { store: store.to_owned(), found: found.unwrap_or(0), known }
            })?;
            for migration in pending {
                let connection = turn.connection().map_err(failed)?;
                sqlx::raw_sql(migration.sql.into_sql_str())
                    .execute(&mut *connection)
                    .await
                    .map_err(failed)?;
                sqlx::query(schema::RECORD_VERSION)
                    .bind(migration.version)
                    .bind(migration.name)
                    .bind(host.clock.wall().0)
                    .execute(connection)
                    .await
                    .map_err(failed)?;
            }
            turn.execute("commit").await.map_err(failed)
        }
        .await;
    if applied.is_err() {
        turn.rollback().await;
    }
    applied
}
