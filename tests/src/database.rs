//! A fresh PostgreSQL database per test.

use std::{env, net::SocketAddr, str::FromStr};

use anyhow::{Context, Result};
use quarry_ports::Host;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor,
    postgres::{PgConnectOptions, PgConnection},
};

/// The URL of a server whose role may create databases.
const SERVER: &str = "QUARRY_TEST_POSTGRES";
/// The same server over loopback TCP.
const SERVER_TCP: &str = "QUARRY_TEST_POSTGRES_TCP";

/// How long a session may take to end.
const SESSIONS_END_WITHIN_MS: u32 = 5_000;

/// A database of one test. It goes with the server, or earlier by [`Database::remove`].
#[derive(Debug)]
pub struct Database {
    server: String,
    name: String,
    url: String,
}

impl Database {
    /// Creates one on the server of the test run.
    pub async fn create() -> Result<Self> {
        Self::create_on(&server_url(SERVER)?).await
    }

    /// Creates one, with a URL that goes over TCP, so that a proxy can stand in between.
    pub async fn create_over_tcp() -> Result<Self> {
        Self::create_on(&server_url(SERVER_TCP)?).await
    }

    /// Creates one on the server at this URL, whose role may do that.
    pub async fn create_on(server: &str) -> Result<Self> {
        let name = format!("quarry_{:016x}", Host::system().random.next_u64());
        connect(server)
            .await?
            .execute(AssertSqlSafe(format!("create database {name}")))
            .await
            .with_context(|| format!("create database {name}"))?;
        let url = with_database(server, &name);
        Ok(Self { server: server.to_owned(), name, url })
    }

    /// Does `sql` on its server, beside all databases.
    pub async fn administer(&self, sql: &str) -> Result<()> {
        let sql = AssertSqlSafe(sql.to_owned());
        connect(&self.server).await?.execute(sql).await.map(drop).context("administer the server")
    }

    /// Ends every client's session in it, and waits until they are gone. The server's own workers, which
    /// only its superuser may end, go on.
    pub async fn end_sessions(&self) -> Result<()> {
        let sql = format!(
            "select pg_terminate_backend(pid, {SESSIONS_END_WITHIN_MS}) from pg_stat_activity \
             where backend_type = 'client backend' and datname = '{}'",
            self.name,
        );
        self.administer(&sql).await
    }

    /// Its name on the server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The URL for `--store`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The URL through something that listens at `address` and passes on to the server.
    pub fn url_through(&self, address: SocketAddr) -> Result<String> {
        let server = PgConnectOptions::from_str(&self.server)?;
        Ok(format!("postgres://{}@{address}/{}", server.get_username(), self.name))
    }

    /// Where the server listens on loopback.
    pub fn server_address() -> Result<String> {
        let server = PgConnectOptions::from_str(&server_url(SERVER_TCP)?)?;
        Ok(format!("{}:{}", server.get_host(), server.get_port()))
    }

    /// Lets nobody write to one of its tables until [`TableLock::release`]; who reads is not held.
    pub async fn lock(&self, table: &str) -> Result<TableLock> {
        let mut session = connect(&self.url).await?;
        let lock = format!("begin; lock table {table} in exclusive mode");
        session.execute(AssertSqlSafe(lock)).await.with_context(|| format!("lock {table}"))?;
        Ok(TableLock(session))
    }

    /// Drops the database and ends the sessions that are still in it.
    pub async fn remove(self) -> Result<()> {
        let statement = format!("drop database if exists {} with (force)", self.name);
        connect(&self.server).await?.execute(AssertSqlSafe(statement)).await?;
        Ok(())
    }
}

/// A table that nobody writes to.
#[derive(Debug)]
pub struct TableLock(PgConnection);

impl TableLock {
    /// Whether somebody waits for a lock that another session has.
    pub async fn is_waited_for(&mut self) -> Result<bool> {
        let sql = "select exists (select from pg_locks where not granted)";
        Ok(sqlx::query_scalar(sql).fetch_one(&mut self.0).await?)
    }

    /// Lets all go on.
    pub async fn release(self) -> Result<()> {
        Ok(self.0.close().await?)
    }
}

fn server_url(variable: &str) -> Result<String> {
    env::var(variable).with_context(|| {
        format!("{variable} is not set; run the test below scripts/with-postgres.sh")
    })
}

async fn connect(url: &str) -> Result<PgConnection> {
    let options = PgConnectOptions::from_str(url)?.disable_statement_logging();
    PgConnection::connect_with(&options).await.context("connect to the test server")
}

/// `url` with `name` in place of its database.
fn with_database(url: &str, name: &str) -> String {
    let (before, query) =
        url.split_once('?').map_or((url, None), |(url, query)| (url, Some(query)));
    let authority = before.rfind('/').filter(|at| !before[..*at].ends_with('/'));
    let server = authority.map_or(before, |at| &before[..at]);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{server}/{name}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_of_a_url_is_replaced() {
        for (url, expected) in [
            ("postgres://a@127.0.0.1:5432/old", "postgres://a@127.0.0.1:5432/new"),
            ("postgres://a@%2Ftmp%2Fx:5432/old", "postgres://a@%2Ftmp%2Fx:5432/new"),
            ("postgres://127.0.0.1", "postgres://127.0.0.1/new"),
            ("postgres://h/old?sslmode=disable", "postgres://h/new?sslmode=disable"),
        ] {
            assert_eq!(with_database(url, "new"), expected);
        }
    }
}
