//! Connections, their settings, and the schema.

use std::{str::FromStr as _, sync::Arc, time::Duration};

use quarry_ports::Host;
use quarry_types::Monotonic;
use sqlx::{PgConnection, postgres::PgConnectOptions};
use tokio::sync::{Mutex, MutexGuard};

use crate::{
    lookup,
    open::{OpenError, Options},
    schema,
};

use super::{
    loads::TURNS,
    pool::{Connected, Connector, Ending, Failed, Pool},
};

/// How long one look at the database may take while it is opened.
pub(crate) const LOOK_WITHIN: Duration = Duration::from_secs(5);
/// How long the schema may take to be brought up to date, the wait for others that do so included.
const MIGRATE_WITHIN: Duration = Duration::from_mins(10);
/// After a connection could not be made in time, none is tried for this long: what waits in the lane
/// is refused at once instead of waiting in turn.
const CONNECT_AGAIN: Duration = Duration::from_secs(1);
/// The oldest PostgreSQL that is known to work.
const OLDEST: i64 = 130_000;
/// The advisory lock under which the schema is changed.
const MIGRATION_LOCK: i64 = 0x7175_6172_7279;

/// One lane's connection, used by one statement at a time. Dropped after anything but an error that
/// the server answered with, and made anew by the next statement.
pub(super) struct Lane {
    pub(super) connector: Arc<Connector>,
    host: Host,
    state: Mutex<LaneState>,
}

#[derive(Default)]
struct LaneState {
    connected: Option<Connected>,
    /// Not to be connected before this instant.
    not_before: Option<Monotonic>,
}

impl Lane {
    fn new(connector: Arc<Connector>, host: Host) -> Self {
        Self { connector, host, state: Mutex::new(LaneState::default()) }
    }

    /// The lane's connection.
    pub(super) async fn connect(&self) -> Result<LaneTurn<'_>, Failed> {
        let mut turn = self.state.lock().await;
        let connected = turn.connected.take().filter(|made| self.connector.trusts(made));
        let connected = match connected {
            Some(connected) => connected,
            None => self.connect_anew(&mut turn).await?,
        };
        turn.connected = Some(connected);
        Ok(LaneTurn(turn))
    }

    async fn connect_anew(&self, state: &mut LaneState) -> Result<Connected, Failed> {
        if state.not_before.is_some_and(|instant| self.host.now() < instant) {
            return Err(Failed::Resting { limit: CONNECT_AGAIN });
        }
        let connected = self.connector.connect().await;
        let silent = matches!(connected, Err(Failed::NotConnected { .. }));
        state.not_before = silent.then(|| self.host.now().after(CONNECT_AGAIN));
        connected
    }
}

/// A lane's connection in use.
pub(super) struct LaneTurn<'a>(MutexGuard<'a, LaneState>);

impl LaneTurn<'_> {
    pub(super) fn connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        let connected = self.0.connected.as_mut().ok_or(sqlx::Error::WorkerCrashed)?;
        Ok(&mut connected.connection)
    }

    /// Gives the connection up.
    pub(super) fn discard(&mut self) {
        drop(self.0.connected.take());
    }
}

/// Settings of every session, so that neither an owner that stops nor one that cannot be reached any
/// more holds a lock for long: the server ends the session, or cancels a statement whose answer
/// nobody waits for any more. Our own end of a silent connection is seen to by time limits alone,
/// since the client library sets no options on its sockets.
fn session(options: PgConnectOptions) -> PgConnectOptions {
    let over_tcp = options.get_socket().is_none() && !options.get_host().starts_with('/');
    let options = options.application_name("quarry").options([
        ("idle_in_transaction_session_timeout", "1000"),
        ("lock_timeout", "1000"),
        ("statement_timeout", "15000"),
    ]);
    if !over_tcp {
        return options;
    }
    options.options([
        ("tcp_user_timeout", "5000"),
        ("tcp_keepalives_idle", "5"),
        ("tcp_keepalives_interval", "2"),
        ("tcp_keepalives_count", "3"),
    ])
}

/// An open database: its name, and the connections to it.
pub(super) struct Opened {
    pub(super) name: String,
    pub(super) lanes: Vec<Lane>,
    /// For loads and fates, which never wait for a read.
    pub(super) fences: Pool,
    /// For everything else.
    pub(super) pool: Pool,
}

/// Opens the database, checks its durability, and brings its schema up to date.
pub(super) async fn open(url: &str, options: &Options, host: &Host) -> Result<Opened, OpenError> {
    let parsed = parse(url)?;
    let store = name(&parsed);
    let failed =
        |failed: Failed| OpenError::Database { store: store.clone(), reason: failed.to_string() };
    let connector = Arc::new(Connector::new(session(parsed)));
    let lanes = (0..options.committers.max(1))
        .map(|_| Lane::new(Arc::clone(&connector), host.clone()))
        .collect();
    // Reads, the probe and a retirement, and all who look for what many ask for.
    let readers = options.readers.max(1).saturating_add(2 + lookup::CONNECTIONS);
    let pool = Pool::new(Arc::clone(&connector), readers);
    // Beside the loads, one to decide fates and one to end blocking sessions.
    let fences = Pool::new(Arc::clone(&connector), TURNS.saturating_add(2));
    let looking =
        connector.within("the first look at the database", LOOK_WITHIN, durability(&pool));
    check(looking.await.map_err(failed)?, options, &store)?;
    let migrating = migrate(&pool, host, &store);
    let migrated = connector.within("the change of the schema", MIGRATE_WITHIN, migrating).await;
    match migrated {
        Ok(()) => Ok(Opened { name: store, lanes, fences, pool }),
        Err(Opening::Open(error)) => Err(error),
        Err(Opening::Failed(error)) => Err(failed(error)),
    }
}

/// What a URL says.
pub(crate) fn parse(url: &str) -> Result<PgConnectOptions, OpenError> {
    PgConnectOptions::from_str(url).map_err(|error| OpenError::Database {
        store: "postgres".to_owned(),
        reason: format!("its url is not understood: {error}"),
    })
}

/// Why a step of opening did not come to its end.
enum Opening {
    Open(OpenError),
    Failed(Failed),
}

impl From<Failed> for Opening {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

/// Server and database, without user and password.
pub(crate) fn name(options: &PgConnectOptions) -> String {
    let place = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => options.get_host().to_owned(),
    };
    let database = options.get_database().unwrap_or(options.get_username());
    format!("postgres {place}:{}/{database}", options.get_port())
}

/// Version as a number and in words, `fsync`, `synchronous_commit`.
pub(crate) type Durability = (i64, String, String, String);

/// Asks for what [`Durability`] holds.
pub(crate) const DURABILITY: &str = "select current_setting('server_version_num')::bigint, \
    current_setting('server_version'), current_setting('fsync'), \
    current_setting('synchronous_commit')";

async fn durability(pool: &Pool) -> Result<Durability, Failed> {
    let mut used = pool.take().await?;
    let found = sqlx::query_as(DURABILITY).fetch_one(used.connection()).await?;
    used.done();
    Ok(found)
}

/// Refuses a server that is too old, or that may forget what it acknowledged.
pub(crate) fn check(found: Durability, options: &Options, store: &str) -> Result<(), OpenError> {
    let (number, version, fsync, synchronous) = found;
    if number < OLDEST {
        return Err(OpenError::Old { store: store.to_owned(), found: version });
    }
    for (setting, value) in [("fsync", fsync), ("synchronous_commit", synchronous)] {
        if value == "off" && !options.allow_unsafe_durability {
            let setting = format!("{setting}=off");
            return Err(OpenError::Unsafe { store: store.to_owned(), setting });
        }
    }
    Ok(())
}

/// Applies what is missing of the schema in one transaction, under a lock that keeps others out.
async fn migrate(pool: &Pool, host: &Host, store: &str) -> Result<(), Opening> {
    let mut used = pool.begin().await?;
    apply(used.connection(), host, store).await?;
    Ok(used.end(Ending::Commit).await?)
}

async fn apply(connection: &mut PgConnection, host: &Host, store: &str) -> Result<(), Opening> {
    let failed = |error: sqlx::Error| Opening::Failed(error.into());
    // Others may be at it for longer than an ordinary lock is waited for.
    for setting in ["set local lock_timeout = '60s'", "set local statement_timeout = 0"] {
        sqlx::query(setting).execute(&mut *connection).await.map_err(failed)?;
    }
    sqlx::query("select pg_advisory_xact_lock($1)")
        .bind(MIGRATION_LOCK)
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    sqlx::query(schema::CREATE_VERSIONS).execute(&mut *connection).await.map_err(failed)?;
    let found = schema::found!(connection, schema::POSTGRES).await.map_err(failed)?;
    let pending = schema::pending(schema::POSTGRES, found).map_err(|known| {
        Opening::Open(OpenError::Newer {
            store: store.to_owned(),
            found: found.version.unwrap_or(0),
            known,
        })
    })?;
    for migration in pending {
        schema::migrate!(connection, migration, host.clock.wall().0).await.map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_old_or_may_forget_is_refused() {
        let check = |number, fsync: &str, synchronous: &str, allowed| {
            let found = (number, "13.1".to_owned(), fsync.to_owned(), synchronous.to_owned());
            let options = Options { allow_unsafe_durability: allowed, ..Options::default() };
            check(found, &options, "s").map_err(|error| error.to_string())
        };
        assert_eq!(check(OLDEST, "on", "on", false), Ok(()));
        assert_eq!(check(OLDEST, "on", "local", false), Ok(()));
        let said =
            |number, fsync, synchronous| check(number, fsync, synchronous, false).unwrap_err();
        assert!(said(OLDEST - 1, "on", "on").contains("13.1"));
        assert!(said(OLDEST, "off", "on").contains("fsync=off"));
        assert!(said(OLDEST, "on", "off").contains("synchronous_commit=off"));
        assert_eq!(check(OLDEST, "off", "off", true), Ok(()));
        assert!(check(OLDEST - 1, "on", "on", true).is_err(), "no option makes it known to work");
    }
}
