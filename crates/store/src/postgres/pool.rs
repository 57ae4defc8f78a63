//! Connections whose every use has a time limit.
//!
//! A database or a network that falls silent without closing anything is noticed by nobody else:
//! the client library sets neither keepalive nor a limit on its sockets, and asks a connection
//! whether it lives, without a limit, before its pool takes it back. So the pool is our own. A use
//! that does not come to its end, for whatever reason, closes its connection.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use quarry_ports::StoreError;
use sqlx::{
    Connection as _, PgConnection,
    postgres::{PgConnectOptions, PgDatabaseError, PgSeverity},
};
use tokio::sync::{Semaphore, SemaphorePermit};

/// How long a connection may take to be made.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// How long a use waits for one of the pool's connections to be free.
const FREE_WITHIN: Duration = Duration::from_secs(2);

/// Why a use of a connection did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// The database, or the way to it, is silent; what was sent may have been done.
    #[error("no answer to {what} within {limit:?}")]
    Silent {
        /// What was asked.
        what: &'static str,
        /// How long was waited.
        limit: Duration,
    },
    #[error("no connection to the database was made within {limit:?}")]
    NotConnected { limit: Duration },
    #[error("the database was silent when a connection was tried less than {limit:?} ago")]
    Resting { limit: Duration },
    #[error("no connection of {size} was free within {limit:?}")]
    NoneFree { size: usize, limit: Duration },
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}

impl Failed {
    /// Whether the session was gone, so that what may be repeated can be tried on another.
    fn is_disconnection(&self) -> bool {
        match self {
            Self::Sql(sqlx::Error::Io(_)) => true,
            Self::Sql(sqlx::Error::Database(error)) => error
                .try_downcast_ref::<PgDatabaseError>()
                .is_some_and(|error| error.severity() != PgSeverity::Error),
            _ => false,
        }
    }
}

impl From<Failed> for StoreError {
    fn from(failed: Failed) -> Self {
        let reason = failed.to_string();
        match failed {
            Failed::Sql(
                sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::ColumnNotFound(_)
                | sqlx::Error::Decode(_),
            ) => Self::Corrupt { reason },
            _ => Self::Unavailable { reason },
        }
    }
}

/// What a session answers whose server, or whose settings, take no writes now (`SQLSTATE`).
const READ_ONLY: &str = "25006";

/// Whether a session takes no writes. One that is made later may: it learned that it is read-only
/// when it was made, or stands at a server that is not the first any more.
pub(super) fn is_read_only(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code == READ_ONLY)
}

/// Makes connections, and knows which of them are suspect.
pub(super) struct Connector {
    options: PgConnectOptions,
    /// Raised when a use met silence: what was connected before is not used again, since each such
    /// connection would cost a whole time limit to find out.
    generation: AtomicU64,
}

/// A connection and when it was made.
pub(super) struct Connected {
    pub(super) connection: PgConnection,
    generation: u64,
}

impl Connector {
    pub(super) fn new(options: PgConnectOptions) -> Self {
        Self { options, generation: AtomicU64::new(0) }
    }

    pub(super) async fn connect(&self) -> Result<Connected, Failed> {
        let generation = self.generation.load(Ordering::Acquire);
        let connecting = PgConnection::connect_with(&self.options);
        let connected = tokio::time::timeout(CONNECT_WITHIN, connecting).await;
        let connection =
            connected.map_err(|_| Failed::NotConnected { limit: CONNECT_WITHIN })??;
        Ok(Connected { connection, generation })
    }

    /// Lets no connection that stands now be used again.
    pub(super) fn suspect_all(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn trusts(&self, connected: &Connected) -> bool {
        connected.generation == self.generation.load(Ordering::Acquire)
    }

    /// Waits for `work` at most for `limit`. What it had in use is closed then.
    pub(super) async fn within<T, E: From<Failed>>(
        &self,
        what: &'static str,
        limit: Duration,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
            tracing::warn!(what, ?limit, "the database is silent; its connections are made anew");
            self.suspect_all();
            Err(Failed::Silent { what, limit }.into())
        })
    }
}

/// The connections of everything but the lanes.
pub(super) struct Pool {
    pub(super) connector: Arc<Connector>,
    size: usize,
    free: Semaphore,
    idle: Mutex<Vec<Connected>>,
}

/// A connection in use. Dropped before it is [`InUse::done`] it is closed.
pub(super) struct InUse<'a> {
    pool: &'a Pool,
    connected: Connected,
    /// Whether it was idle before: such a one may have died since.
    reused: bool,
    _permit: SemaphorePermit<'a>,
}

impl Pool {
    pub(super) fn new(connector: Arc<Connector>, size: u32) -> Self {
        let size = usize::try_from(size).unwrap_or(1);
        Self { connector, size, free: Semaphore::new(size), idle: Mutex::new(Vec::new()) }
    }

    /// Held for a push or a pop only, never across an await.
    fn idle(&self) -> MutexGuard<'_, Vec<Connected>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last idle connection that is not suspect; the suspect ones are closed.
    fn pop(&self) -> Option<Connected> {
        let mut idle = self.idle();
        idle.retain(|connected| self.connector.trusts(connected));
        idle.pop()
    }

    /// Waits for a connection.
    pub(super) async fn take(&self) -> Result<InUse<'_>, Failed> {
        let free = tokio::time::timeout(FREE_WITHIN, self.free.acquire()).await;
        let none_free = || Failed::NoneFree { size: self.size, limit: FREE_WITHIN };
        // The semaphore is never closed.
        let permit = free.ok().and_then(Result::ok).ok_or_else(none_free)?;
        let (connected, reused) = match self.pop() {
            Some(connected) => (connected, true),
            None => (self.connector.connect().await?, false),
        };
        Ok(InUse { pool: self, connected, reused, _permit: permit })
    }

    /// Waits for a connection and begins a transaction on it.
    pub(super) async fn begin(&self) -> Result<InUse<'_>, Failed> {
        loop {
            let mut used = self.take().await?;
            match sqlx::query("begin").execute(used.connection()).await.map_err(Failed::from) {
                Ok(_) => return Ok(used),
                Err(failed) => used.give_up(failed)?,
            }
        }
    }
}

impl InUse<'_> {
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connected.connection
    }

    /// Hands the connection back. Nothing must be under way on it.
    pub(super) fn done(self) {
        let Self { pool, connected, .. } = self;
        if pool.connector.trusts(&connected) {
            pool.idle().push(connected);
        }
    }

    /// Ends the transaction that [`Pool::begin`] began.
    pub(super) async fn end(mut self, how: Ending) -> Result<(), Failed> {
        let sql = match how {
            Ending::Commit => "commit",
            Ending::Rollback => "rollback",
        };
        sqlx::query(sql).execute(self.connection()).await?;
        self.done();
        Ok(())
    }

    /// Closes the connection after `failed`, which is handed back unless it only says that an idle
    /// connection had died: after a restart of the server all have, and asking each before its use
    /// would cost a round trip every time. What is tried again finds new ones.
    pub(super) fn give_up(self, failed: Failed) -> Result<(), Failed> {
        if matches!(&failed, Failed::Sql(error) if is_read_only(error)) {
            self.pool.connector.suspect_all();
        }
        if self.reused && failed.is_disconnection() {
            self.pool.connector.suspect_all();
            return Ok(());
        }
        Err(failed)
    }
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Commit,
    Rollback,
}
