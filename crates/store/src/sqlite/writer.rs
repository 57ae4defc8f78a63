//! The one way of this process to the file's write lock.

use std::{sync::OnceLock, time::Duration};

use quarry_ports::{Host, StoreError};
use sqlx::{SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::{Mutex, MutexGuard};

use super::{Sqlite, connect::connect};

/// How long a write waits for other processes that hold the file's lock.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(5);

/// The result code that means *locked by another connection*.
const BUSY: i32 = 5;
/// The extended result codes of a failed flush, of the file and of its directory.
const FLUSH_FAILED: [i32; 2] = [1_034, 1_290];

/// The write connection, used by one transaction at a time.
pub(super) struct Writer {
    options: SqliteConnectOptions,
    connection: Mutex<Option<SqliteConnection>>,
    /// After a failed flush the system may have forgotten what it did not write, and a later flush
    /// that succeeds proves nothing: nothing is acknowledged any more.
    broken: OnceLock<String>,
}

/// The write connection in use, inside a transaction. Dropped before [`Turn::commit`] or
/// [`Turn::rollback`] is done, it takes the connection along, and the transaction with it.
pub(super) struct Turn<'a> {
    connection: MutexGuard<'a, Option<SqliteConnection>>,
    broken: &'a OnceLock<String>,
    ended: bool,
}

impl Writer {
    pub(super) fn new(options: SqliteConnectOptions) -> Self {
        Self { options, connection: Mutex::new(None), broken: OnceLock::new() }
    }

    /// Why nothing can be written any more, until the process is started anew.
    pub(super) fn broken(&self) -> Option<&str> {
        self.broken.get().map(String::as_str)
    }

    /// Waits for the connection, makes it where it is missing, and begins a transaction that holds
    /// the file's write lock.
    pub(super) async fn begin(&self, host: &Host) -> Result<Turn<'_>, sqlx::Error> {
        let connection = self.connection.lock().await;
        if let Some(reason) = self.broken() {
            return Err(sqlx::Error::Io(std::io::Error::other(reason.to_owned())));
        }
        let mut turn = Turn { connection, broken: &self.broken, ended: false };
        let until = host.now().after(LOCK_WAIT);
        if turn.connection.is_none() {
            *turn.connection = Some(connect(&self.options, host, until).await?);
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
        self.connection.as_mut().ok_or(sqlx::Error::WorkerCrashed)
    }

    async fn execute(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        sqlx::query(sql).execute(self.connection()?).await.map(drop)
    }

    /// Makes the transaction durable. After an error it may be there all the same, unless the file
    /// was locked or full.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        let done = self.execute("commit").await;
        match &done {
            Ok(()) => self.ended = true,
            Err(error) => {
                if code(error).is_some_and(|code| FLUSH_FAILED.contains(&code)) {
                    let reason = format!("a flush of the file failed, restart the node: {error}");
                    tracing::error!(reason, "the store takes no more writes");
                    self.broken.get_or_init(|| reason);
                }
                self.rollback().await;
            }
        }
        done
    }

    /// Undoes the transaction.
    pub(super) async fn rollback(mut self) {
        self.ended = self.execute("rollback").await.is_ok();
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.ended {
            drop(self.connection.take());
        }
    }
}

impl Sqlite {
    /// One statement in a transaction of its own.
    pub(super) async fn execute(&self, sql: &'static str, value: i64) -> Result<(), StoreError> {
        let unavailable =
            |error: sqlx::Error| StoreError::Unavailable { reason: error.to_string() };
        let mut turn = self.writer.begin(&self.host).await.map_err(unavailable)?;
        let connection = turn.connection().map_err(unavailable)?;
        let done = sqlx::query(sql).bind(value).execute(connection).await;
        match done {
            Ok(_) => turn.commit().await.map_err(unavailable),
            Err(error) => {
                turn.rollback().await;
                Err(unavailable(error))
            }
        }
    }
}

/// Whether another connection holds the lock; nothing was done then.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    primary_code(error) == Some(BUSY)
}

/// SQLite's extended result code of an error.
fn code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

/// SQLite's primary result code of an error.
pub(super) fn primary_code(error: &sqlx::Error) -> Option<i32> {
    code(error).map(|code| code & 0xff)
}

/// Waits between 0.2 and 1.2 ms before the lock is tried again.
pub(super) async fn pause(host: &Host) {
    let jitter = host.random.next_u64() % 1_000;
    tokio::time::sleep(Duration::from_micros(200 + jitter)).await;
}
