//! Opening a store by its URL.

use std::{path::PathBuf, sync::Arc};

use quarry_ports::{Host, Metrics, Store};

use crate::{adapter::SqlStore, postgres::Postgres, sqlite::Sqlite};

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Take a database that may forget what it acknowledged (`fsync` or `synchronous_commit` off).
    pub allow_unsafe_durability: bool,
    /// Take a SQLite file that another machine used last.
    pub take_from_other_host: bool,
    /// Connections for reads; at least 1.
    pub readers: u32,
    /// Lanes that write side by side on PostgreSQL; at least 1. SQLite has one.
    pub committers: u32,
    /// Commits that wait in one lane; more are refused as unavailable.
    pub queued_commits: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            allow_unsafe_durability: false,
            take_from_other_host: false,
            readers: 4,
            committers: 2,
            queued_commits: 16_384,
        }
    }
}

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL names no database that Quarry knows.
    #[error(
        "store url {url:?} is not understood: write sqlite:PATH or postgres://USER@HOST/DATABASE"
    )]
    Url {
        /// What was given, without a password.
        url: String,
    },
    /// The directory of a SQLite file is not there and cannot be made.
    #[error("cannot make the directory {path} of the store: {source}", path = path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database does not answer as it should.
    #[error("cannot open the store {store}: {reason}")]
    Database {
        /// Which one.
        store: String,
        /// What it said.
        reason: String,
    },
    /// A newer program has changed the schema.
    #[error(
        "the store {store} has schema version {found}, newer than version {known} that this \
         program knows: start a program at least as new as the one that wrote it"
    )]
    Newer {
        /// Which one.
        store: String,
        /// What it has.
        found: i64,
        /// What this program knows.
        known: i64,
    },
    /// The database may forget what it acknowledged.
    #[error(
        "the store {store} is set to {setting}, which loses acknowledged messages in a crash: turn \
         it on, or allow it with store.allow_unsafe_durability"
    )]
    Unsafe {
        /// Which one.
        store: String,
        /// The setting and its value.
        setting: String,
    },
    /// A SQLite file serves another machine.
    #[error(
        "the store {store} serves another host: the nodes of several hosts would break a SQLite file; \
         use PostgreSQL for them. If the file was moved here and nothing else uses it, take it with \
         store.take_from_other_host"
    )]
    OtherHost {
        /// Which one.
        store: String,
    },
    /// The server is too old.
    #[error("the store {store} runs PostgreSQL {found}; Quarry needs 13 or newer")]
    Old {
        /// Which one.
        store: String,
        /// What it runs.
        found: String,
    },
}

/// Opens the store at `url` (`sqlite:PATH`, `sqlite://PATH` or `postgres://…`), makes the SQLite
/// file and its directory where they are missing, and brings the schema up to date.
///
/// # Errors
/// [`OpenError`] says what stands in the way and what to do.
pub async fn open(
    url: &str,
    options: Options,
    host: Host,
    metrics: Metrics,
) -> Result<Arc<dyn Store>, OpenError> {
    if let Some(path) = sqlite_path(url)? {
        let database = Sqlite::open(path, &options, host.clone()).await?;
        Ok(Arc::new(SqlStore::start(database, &options, host, &metrics)))
    } else {
        let database = Postgres::open(url, &options, &host).await?;
        Ok(Arc::new(SqlStore::start(database, &options, host, &metrics)))
    }
}

/// The file that `url` names; none where it names a server of PostgreSQL.
///
/// # Errors
/// [`OpenError::Url`] where it names neither.
pub fn sqlite_path(url: &str) -> Result<Option<PathBuf>, OpenError> {
    if let Some(path) = url.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path.starts_with(":memory:") {
            return Err(OpenError::Url { url: url.to_owned() });
        }
        return Ok(Some(PathBuf::from(path)));
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok(None);
    }
    let scheme = url.split_once("://").map_or(url, |(scheme, _)| scheme);
    Err(OpenError::Url { url: scheme.chars().take(64).collect() })
}
