//! Connections, their settings, and the schema.

use std::{str::FromStr as _, time::Duration};

use quarry_ports::Host;
use sqlx::{
    Connection as _, PgConnection, PgPool, SqlSafeStr as _,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::{Mutex, MutexGuard};

use crate::{
    open::{OpenError, Options},
    schema,
};

/// How long a connection may take to be made.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// The oldest PostgreSQL that is known to work.
const OLDEST: i64 = 130_000;
/// The advisory lock under which the schema is changed.
const MIGRATION_LOCK: i64 = 0x7175_6172_7279;

/// One lane's connection, used by one statement at a time. Dropped after anything but an error that
/// the server answered with, and made anew by the next statement.
pub(super) struct Lane {
    options: PgConnectOptions,
    connection: Mutex<Option<PgConnection>>,
}

impl Lane {
    /// The lane's connection.
    pub(super) async fn connect(&self) -> Result<LaneTurn<'_>, sqlx::Error> {
        let mut turn = self.connection.lock().await;
        if turn.is_none() {
            let connecting = PgConnection::connect_with(&self.options);
            let connected = tokio::time::timeout(CONNECT_WITHIN, connecting).await;
            *turn = Some(connected.map_err(|_| sqlx::Error::PoolTimedOut)??);
        }
        Ok(LaneTurn(turn))
    }
}

/// A lane's connection in use.
pub(super) struct LaneTurn<'a>(MutexGuard<'a, Option<PgConnection>>);

impl LaneTurn<'_> {
    pub(super) fn connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        self.0.as_mut().ok_or(sqlx::Error::WorkerCrashed)
    }

    /// Gives the connection up.
    pub(super) fn discard(&mut self) {
        drop(self.0.take());
    }
}

/// Settings of every session, so that no owner that stops can hold a lock for long.
fn session(options: PgConnectOptions) -> PgConnectOptions {
    let over_tcp = options.get_socket().is_none() && !options.get_host().starts_with('/');
    let options = options
        .application_name("quarry")
        .options([("idle_in_transaction_session_timeout", "1000"), ("lock_timeout", "1000")]);
    if over_tcp { options.options([("tcp_user_timeout", "5000")]) } else { options }
}

/// Opens the database, checks its durability, and brings its schema up to date.
pub(super) async fn open(
    url: &str,
    options: &Options,
    host: &Host,
) -> Result<(String, Vec<Lane>, PgPool), OpenError> {
    let parsed = PgConnectOptions::from_str(url).map_err(|error| OpenError::Database {
        store: "postgres".to_owned(),
        reason: format!("its url is not understood: {error}"),
    })?;
    let store = name(&parsed);
    let failed = |error: sqlx::Error| OpenError::Database {
        store: store.clone(),
        reason: error.to_string(),
    };
    let session = session(parsed);
    let lanes = (0..options.committers.max(1))
        .map(|_| Lane { options: session.clone(), connection: Mutex::new(None) });
    let pool = PgPoolOptions::new()
        // As many loads as readers, and two to decide fates and to end blocking sessions.
        .max_connections(options.readers.max(1).saturating_mul(2).saturating_add(2))
        .acquire_timeout(CONNECT_WITHIN)
        .test_before_acquire(false)
        .connect_with(session.clone())
        .await
        .map_err(failed)?;
    check(&pool, options, &store).await?;
    migrate(&pool, host, &store).await?;
    Ok((store, lanes.collect(), pool))
}

/// Server and database, without user and password.
fn name(options: &PgConnectOptions) -> String {
    let place = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => options.get_host().to_owned(),
    };
    let database = options.get_database().unwrap_or(options.get_username());
    format!("postgres {place}:{}/{database}", options.get_port())
}

/// Refuses a server that is too old, or that may forget what it acknowledged.
async fn check(pool: &PgPool, options: &Options, store: &str) -> Result<(), OpenError> {
    let sql = "select current_setting('server_version_num')::bigint, \
        current_setting('server_version'), current_setting('fsync'), \
        current_setting('synchronous_commit')";
    let (number, version, fsync, synchronous): (i64, String, String, String) =
        sqlx::query_as(sql).fetch_one(pool).await.map_err(|error| OpenError::Database {
            store: store.to_owned(),
            reason: error.to_string(),
        })?;
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
async fn migrate(pool: &PgPool, host: &Host, store: &str) -> Result<(), OpenError> {
    let failed = |error: sqlx::Error| OpenError::Database {
        store: store.to_owned(),
        reason: error.to_string(),
    };
    let mut transaction = pool.begin().await.map_err(failed)?;
    // Others may be at it for longer than an ordinary lock is waited for.
    sqlx::query("set local lock_timeout = '60s'")
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    sqlx::query("select pg_advisory_xact_lock($1)")
        .bind(MIGRATION_LOCK)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    sqlx::query(schema::CREATE_VERSIONS).execute(&mut *transaction).await.map_err(failed)?;
    let found: Option<i64> = sqlx::query_scalar(schema::NEWEST_VERSION)
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed)?;
    let pending = schema::pending(schema::POSTGRES, found).map_err(|known| OpenError::Newer {
        store: store.to_owned(),
        found: found.unwrap_or(0),
        known,
    })?;
    for migration in pending {
        sqlx::raw_sql(migration.sql.into_sql_str())
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        sqlx::query(schema::RECORD_VERSION)
            .bind(migration.version)
            .bind(migration.name)
            .bind(host.clock.wall().0)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)
}
