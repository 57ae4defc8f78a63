//! Opens `coordinator.db` and reads it back.

use std::{path::Path, path::PathBuf, sync::Arc};

use openraft::EntryPayload;
use quarry_core::coordinator::Command;
use quarry_ports::{
    Host,
    codec::{self, CodecError, schema},
};
use serde::de::DeserializeOwned;
use sqlx::{
    Connection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqliteSynchronous},
};

use super::{
    Log, Machine,
    log::Held,
    machine,
    writer::{self, Mark},
};
use crate::{
    group::{Entry, LogId, Snapshot, Vote},
    view::Views,
};

/// The format that this program writes and the only one that it reads.
const FORMAT: i64 = 2;

const SCHEMA: &str = "
    create table log (log_index integer primary key, frame blob not null) strict;
    create table mark (name text primary key, frame blob not null) strict, without rowid;
    create table snapshot (one integer primary key check (one = 1), log_index integer not null,
        frame blob not null) strict;
    pragma user_version = 2;
";

/// Why the coordinator's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// SQLite refused.
    #[error("cannot use {path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// A record is damaged.
    #[error("{path} is damaged: {record}: {source}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which record.
        record: String,
        /// What is wrong with it.
        source: CodecError,
    },
    /// It was written by another release.
    #[error("{path} has format {found}, and this program knows {FORMAT}", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
    },
}

/// Opens or makes the file at `path` and starts its writer on the current runtime.
pub(crate) async fn open(
    path: &Path,
    host: &Host,
    views: Arc<Views>,
) -> Result<(Log, Machine), StorageError> {
    let mut file = File { path, connection: connect(path).await.map_err(|e| failed(path, e))? };
    file.prepare().await?;
    let held = file.held().await?;
    let snapshot = file.snapshot().await?;
    let (writes, queue) = writer::channel();
    let task = host.spawn("coordinator writer", writer::run(file.connection, queue));
    drop(task); // It ends by itself when log and machine are gone.
    Ok((Log::new(held, writes.clone()), Machine::new(snapshot, writes, views)))
}

/// Whether the file at `path` holds a snapshot, or the entry by which a cluster is made. A group of
/// voters alone is no cluster.
pub(crate) async fn is_known(path: &Path) -> bool {
    if !path.exists() {
        return false;
    }
    let Ok(connection) = connect(path).await else { return false };
    let mut file = File { path, connection };
    let (snapshot, held) = (file.snapshot().await, file.held().await);
    // Before the one that stays is opened, since it has the file for itself.
    drop(file.connection.close().await);
    matches!(snapshot, Ok(Some(_))) || held.is_ok_and(|held| held.entries.values().any(makes))
}

/// Whether a cluster is made by the entry.
fn makes(entry: &Entry) -> bool {
    let EntryPayload::Normal(proposal) = &entry.payload else { return false };
    matches!(proposal.command, Command::Initialize { .. } | Command::Found { .. })
}

async fn connect(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .locking_mode(SqliteLockingMode::Exclusive);
    SqliteConnection::connect_with(&options).await
}

fn failed(path: &Path, source: sqlx::Error) -> StorageError {
    StorageError::File { path: path.to_owned(), source }
}

struct File<'a> {
    path: &'a Path,
    connection: SqliteConnection,
}

impl File<'_> {
    fn failed(&self, source: sqlx::Error) -> StorageError {
        failed(self.path, source)
    }

    async fn prepare(&mut self) -> Result<(), StorageError> {
        let found: i64 = sqlx::query_scalar("pragma user_version")
            .fetch_one(&mut self.connection)
            .await
            .map_err(|error| self.failed(error))?;
        match found {
            0 => {
                let mut transaction = self
                    .connection
                    .begin_with("begin immediate")
                    .await
                    .map_err(|error| failed(self.path, error))?;
                sqlx::raw_sql(SCHEMA)
                    .execute(&mut *transaction)
                    .await
                    .map_err(|error| failed(self.path, error))?;
                transaction.commit().await.map_err(|error| failed(self.path, error))
            }
            FORMAT => Ok(()),
            found => Err(StorageError::Format { path: self.path.to_owned(), found }),
        }
    }

    fn decode<T: DeserializeOwned>(
        &self,
        schema: codec::Schema,
        record: &str,
        frame: &[u8],
    ) -> Result<T, StorageError> {
        codec::decode(schema, frame).map_err(|source| StorageError::Damaged {
            path: self.path.to_owned(),
            record: record.to_owned(),
            source,
        })
    }

    async fn mark<T: DeserializeOwned>(&mut self, mark: Mark) -> Result<Option<T>, StorageError> {
        let frame: Option<Vec<u8>> = sqlx::query_scalar("select frame from mark where name = $1")
            .bind(mark.name())
            .fetch_optional(&mut self.connection)
            .await
            .map_err(|error| failed(self.path, error))?;
        frame.map(|frame| self.decode(schema::RAFT_META, mark.name(), &frame)).transpose()
    }

    async fn held(&mut self) -> Result<Held, StorageError> {
        let mut held = Held {
            vote: self.mark::<Vote>(Mark::Vote).await?,
            committed: self.mark::<Option<LogId>>(Mark::Committed).await?.flatten(),
            purged: self.mark::<Option<LogId>>(Mark::Purged).await?.flatten(),
            ..Held::default()
        };
        let rows: Vec<(i64, Vec<u8>)> =
            sqlx::query_as("select log_index, frame from log order by log_index")
                .fetch_all(&mut self.connection)
                .await
                .map_err(|error| failed(self.path, error))?;
        for (index, frame) in rows {
            let entry: Entry =
                self.decode(schema::RAFT_ENTRY, &format!("log entry {index}"), &frame)?;
            held.sizes.insert(entry.log_id.index, u64::try_from(frame.len()).unwrap_or(u64::MAX));
            held.entries.insert(entry.log_id.index, entry);
        }
        Ok(held)
    }

    async fn snapshot(&mut self) -> Result<Option<Snapshot>, StorageError> {
        let frame: Option<Vec<u8>> = sqlx::query_scalar("select frame from snapshot where one = 1")
            .fetch_optional(&mut self.connection)
            .await
            .map_err(|error| failed(self.path, error))?;
        let Some(frame) = frame else { return Ok(None) };
        let snapshot = bytes::Bytes::from(frame);
        let meta = machine::read(&snapshot)
            .map_err(|error| StorageError::Damaged {
                path: self.path.to_owned(),
                record: "the snapshot".to_owned(),
                source: CodecError::Decode(error.to_string()),
            })?
            .meta;
        Ok(Some(Snapshot { meta, snapshot }))
    }
}
