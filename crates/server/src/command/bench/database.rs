//! A database of the run's own, so that nothing of another cluster is touched.

use std::str::FromStr;

use anyhow::Context;
use quarry_ports::Host;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor,
    postgres::{PgConnectOptions, PgConnection},
};

/// A fresh PostgreSQL database on the server of a URL.
pub(crate) struct Database {
    server: String,
    name: String,
    /// Its URL.
    pub(crate) url: String,
}

impl Database {
    /// Makes one; the role of `server` must be allowed to.
    pub(crate) async fn create(server: &str, host: &Host) -> anyhow::Result<Self> {
        let name = format!("quarry_bench_{:016x}", host.random.next_u64());
        let mut connection = connect(server).await?;
        connection
            .execute(AssertSqlSafe(format!("create database {name}")))
            .await
            .with_context(|| format!("cannot make the database {name}"))?;
        let url = with_database(server, &name);
        Ok(Self { server: server.to_owned(), name, url })
    }

    /// Drops it. Sessions that stay are ended by force; that fails where the server's own vacuum is among
    /// them, which our role may not end.
    pub(crate) async fn remove(self) -> anyhow::Result<()> {
        let mut connection = connect(&self.server).await?;
        let statement = format!("drop database if exists {}", self.name);
        if connection.execute(AssertSqlSafe(statement.clone())).await.is_err() {
            connection.execute(AssertSqlSafe(format!("{statement} with (force)"))).await?;
        }
        Ok(())
    }
}

/// A session of its own, beside those of the node.
pub(crate) async fn connect(url: &str) -> anyhow::Result<PgConnection> {
    let options = PgConnectOptions::from_str(url).context("--store")?.disable_statement_logging();
    PgConnection::connect_with(&options).await.context("cannot reach the server of --store")
}

/// `url` with `name` in place of its database.
fn with_database(url: &str, name: &str) -> String {
    let (before, query) = match url.split_once('?') {
        Some((before, query)) => (before, format!("?{query}")),
        None => (url, String::new()),
    };
    let (scheme, rest) = before.split_once("://").unwrap_or(("postgres", before));
    let authority = rest.split_once('/').map_or(rest, |(authority, _)| authority);
    format!("{scheme}://{authority}/{name}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_of_a_url_is_replaced() {
        for (url, wanted) in [
            ("postgres://a@h:1/old?x=y", "postgres://a@h:1/new?x=y"),
            ("postgres://h", "postgres://h/new"),
            ("postgres:///old?host=/tmp", "postgres:///new?host=/tmp"),
        ] {
            assert_eq!(with_database(url, "new"), wanted);
        }
    }
}
