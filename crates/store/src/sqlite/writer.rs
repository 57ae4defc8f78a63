//! The one way of this process to the file's write lock.

use std::time::Duration;

use quarry_ports::{Host, StoreError};
use sqlx::{SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::{Mutex, MutexGuard};

use super::{Sqlite, connect::connect, script::Script, trust::Trust};

/// How long a write waits for other processes that hold the file's lock.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(5);

/// The result code that means *locked by another connection*.
const BUSY: i32 = 5;
/// The extended result code of a write that failed (`SQLITE_IOERR_WRITE`): the log lacks at least the
/// page that closes the commit.
pub(super) const WRITE_FAILED: i32 = 778;
/// That of an index of the log that cannot grow (`SQLITE_IOERR_SHMSIZE`).
const INDEX_FULL: i32 = 4_874;

/// The write connection, used by one transaction at a time.
pub(super) struct Writer {
    options: SqliteConnectOptions,
    connection: Mutex<Option<SqliteConnection>>,
    trust: Trust,
}

/// The write connection in use. Dropped inside a transaction, before [`Turn::commit`] or
/// [`Turn::rollback`] is done, it takes the connection along, and the transaction with it.
pub(super) struct Turn<'a> {
    connection: MutexGuard<'a, Option<SqliteConnection>>,
    trust: &'a Trust,
    ended: bool,
}

/// Why a transaction did not reach its end; nothing of it is left but maybe where the commit failed.
pub(super) enum Stopped {
    /// Another process holds the lock.
    Busy,
    /// It could not begin.
    AtBegin(sqlx::Error),
    /// One of its statements failed.
    Inside(sqlx::Error),
    /// The commit failed.
    AtCommit(sqlx::Error),
}

impl Writer {
    pub(super) fn new(options: SqliteConnectOptions, trust: Trust) -> Self {
        Self { options, connection: Mutex::new(None), trust }
    }

    /// Whether what is written can be trusted.
    pub(super) const fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Waits for the connection, and makes it where it is missing.
    pub(super) async fn take(&self, host: &Host) -> Result<Turn<'_>, sqlx::Error> {
        let mut connection = self.connection.lock().await;
        self.trust.check().map_err(lost_trust)?;
        if connection.is_none() {
            let until = host.now().after(LOCK_WAIT);
            *connection = Some(connect(&self.options, host, until).await?);
        }
        Ok(Turn { connection, trust: &self.trust, ended: true })
    }

    /// As [`Writer::take`], and begins a transaction that holds the file's write lock.
    pub(super) async fn begin(&self, host: &Host) -> Result<Turn<'_>, sqlx::Error> {
        let mut turn = self.take(host).await?;
        turn.ended = false;
        let until = host.now().after(LOCK_WAIT);
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
    /// was locked or full. What went into a file that is not the store any more counts as lost.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        let done = self.execute("commit").await;
        match &done {
            Ok(()) => self.ended = true,
            Err(error) => {
                self.trust.heard(error);
                self.rollback().await;
                return done;
            }
        }
        self.trust.look().map_err(lost_trust)
    }

    /// Runs the statements of `body` and makes them durable, in one exchange with the thread of the
    /// connection, in which the transaction begins too where it has not yet. About errors of the commit
    /// see [`Turn::commit`].
    pub(super) async fn transact(&mut self, body: Script) -> Result<(), Stopped> {
        let begins = self.ended;
        let mut script = Script::default();
        if begins {
            script.add_text("begin immediate", Vec::new());
        }
        script.append(body);
        script.add_text("commit", Vec::new());
        let (last, mut done) = (script.statements() - 1, Vec::new());
        self.ended = false;
        let connection = self.connection().map_err(Stopped::AtBegin)?;
        let Err(error) = script.run_into(connection, &mut done).await else {
            self.ended = true;
            return self.trust.look().map_err(lost_trust).map_err(Stopped::AtCommit);
        };
        if begins && done.is_empty() && is_busy(&error) {
            self.ended = true;
            return Err(Stopped::Busy);
        }
        self.trust.heard(&error);
        self.ended = self.execute("rollback").await.is_ok();
        Err(match done.len() {
            // How far its thread came is not known.
            _ if matches!(error, sqlx::Error::WorkerCrashed) => Stopped::AtCommit(error),
            0 if begins => Stopped::AtBegin(error),
            done if done == last => Stopped::AtCommit(error),
            _ => Stopped::Inside(error),
        })
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
    pub(super) async fn execute(
        &self,
        sql: &'static str,
        values: &[i64],
    ) -> Result<(), StoreError> {
        let unavailable = |error: sqlx::Error| StoreError::Unavailable { reason: reason(&error) };
        let mut turn = self.writer.begin(&self.host).await.map_err(unavailable)?;
        let connection = turn.connection().map_err(unavailable)?;
        let query = values.iter().fold(sqlx::query(sql), |query, value| query.bind(*value));
        let done = query.execute(connection).await;
        match done {
            Ok(_) => turn.commit().await.map_err(unavailable),
            Err(error) => {
                turn.rollback().await;
                Err(unavailable(error))
            }
        }
    }
}

fn lost_trust(reason: String) -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::other(reason))
}

/// Whether another connection holds the lock; nothing was done then.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    primary_code(error) == Some(BUSY)
}

/// What an error says, in words that name what to look at.
pub(super) fn reason(error: &sqlx::Error) -> String {
    let hint = match code(error) {
        Some(WRITE_FAILED) => "a write failed: is the file system read-only, or the disk broken?",
        Some(INDEX_FULL) => "the index of the log cannot grow: is the disk full?",
        _ => return error.to_string(),
    };
    format!("{error}; {hint}")
}

/// SQLite's extended result code of an error.
pub(super) fn code(error: &sqlx::Error) -> Option<i32> {
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
