//! A file, a database of the test server, and one behind a wire.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use quarry_ports::{Host, Metrics, Store};
use quarry_sim::contract::store::{Broken, OpenStore};
use quarry_store::{Options, open};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tempfile::TempDir;

use super::wire;

/// A SQLite file in a directory of its own, which goes with it.
pub(crate) struct SqliteFile {
    directory: TempDir,
}

/// A file that is not there yet, in a directory that is not there yet.
pub(crate) fn sqlite_file() -> Result<SqliteFile, Broken> {
    Ok(SqliteFile { directory: tempfile::tempdir()? })
}

impl SqliteFile {
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("not-there-yet").join("quarry.db")
    }

    pub(crate) fn url(&self) -> String {
        format!("sqlite:{}", self.path().display())
    }
}

#[async_trait]
impl OpenStore for SqliteFile {
    async fn open(&self) -> Result<Arc<dyn Store>, Broken> {
        Ok(open(&self.url(), Options::default(), Host::system(), Metrics::new()?).await?)
    }
}

/// A PostgreSQL database of its own. It goes with the server that the tests are run beside.
pub(crate) struct PostgresDatabase {
    url: String,
}

/// Makes an empty database on the server that `QUARRY_TEST_POSTGRES` names.
pub(crate) async fn postgres_database(name: &str) -> Result<PostgresDatabase, Broken> {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let server = std::env::var("QUARRY_TEST_POSTGRES").map_err(|_| {
        Broken::new(
            "QUARRY_TEST_POSTGRES names no PostgreSQL server: run the tests as \
             `scripts/with-postgres.sh cargo test …`",
        )
    })?;
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let short: String = name.chars().take(40).collect();
    let name = format!("q{}_{number}_{short}", std::process::id());
    let mut connection = PgConnection::connect(&server).await?;
    let create = format!("create database \"{name}\"");
    sqlx::query(AssertSqlSafe(create)).execute(&mut connection).await?;
    let (place, parameters) = server.split_once('?').unwrap_or((&server, ""));
    let (place, _) = place.rsplit_once('/').unwrap_or((place, ""));
    let question = if parameters.is_empty() { "" } else { "?" };
    Ok(PostgresDatabase { url: format!("{place}/{name}{question}{parameters}") })
}

impl PostgresDatabase {
    /// The same database behind a wire that a test can cut.
    pub(crate) async fn behind_wire(&self) -> Result<(Self, wire::Wire), Broken> {
        let tcp = std::env::var("QUARRY_TEST_POSTGRES_TCP").map_err(|_| {
            Broken::new(
                "QUARRY_TEST_POSTGRES_TCP names no PostgreSQL server: run the tests as \
                 `scripts/with-postgres.sh cargo test …`",
            )
        })?;
        let unknown = || Broken::new(format!("{tcp} is not postgres://USER@HOST:PORT/DATABASE"));
        let (user, place) = tcp.split_once('@').ok_or_else(unknown)?;
        let (server, _) = place.split_once('/').ok_or_else(unknown)?;
        let (_, name) = self.url.rsplit_once('/').ok_or_else(unknown)?;
        let wire = wire::Wire::start(server.to_owned()).await?;
        let url = format!("{user}@127.0.0.1:{}/{name}", wire.port);
        Ok((Self { url }, wire))
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) async fn connect(&self) -> Result<PgConnection, Broken> {
        Ok(PgConnection::connect(&self.url).await?)
    }
}

#[async_trait]
impl OpenStore for PostgresDatabase {
    async fn open(&self) -> Result<Arc<dyn Store>, Broken> {
        Ok(open(&self.url, Options::default(), Host::system(), Metrics::new()?).await?)
    }
}
