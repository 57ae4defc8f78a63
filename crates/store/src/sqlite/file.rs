//! The adapter's face.

use std::{path::PathBuf, sync::Arc};

use quarry_ports::{FenceError, FenceRequest, Host, LeaseGuard, LoadedShard, StoreError};
use quarry_types::{ClusterId, Timestamp};
use sqlx::{AssertSqlSafe, SqlitePool, sqlite::SqliteArguments};

use super::{
    checkpoint::Checkpoints, connect, fence, machine::Machine, retire, write, writer::Writer,
};
use crate::{
    database::{Database, Fate, Refused, Row, Value, WriteError, stored_bits},
    group::{Batch, Part},
    open::{OpenError, Options},
    retire::Plan,
};

/// A SQLite file.
pub(crate) struct Sqlite {
    path: PathBuf,
    pub(super) writer: Writer,
    readers: SqlitePool,
    pub(super) host: Host,
    checkpoints: Arc<Checkpoints>,
}

impl Sqlite {
    pub(crate) async fn open(
        path: PathBuf,
        options: &Options,
        host: Host,
    ) -> Result<Self, OpenError> {
        let (writer, readers) = connect::open(&path, options, &host).await?;
        let checkpoints = Checkpoints::start(&path, writer.trust().clone(), &host);
        Ok(Self { path, writer, readers, host, checkpoints })
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.checkpoints.stop();
    }
}

impl Database for Sqlite {
    /// A transaction holds the file's lock, which every process waits for: it stays short.
    const RETIRED_AT_ONCE: u32 = 256;

    fn lanes(&self) -> usize {
        1
    }

    async fn fetch<T: Row>(&self, sql: String, values: Vec<Value>) -> Result<Vec<T>, StoreError> {
        let query = sqlx::query_as_with(AssertSqlSafe(sql), arguments(values));
        query.fetch_all(&self.readers).await.map_err(read_error)
    }

    async fn adopt(&self, cluster: ClusterId) -> Result<(), StoreError> {
        let sql = "insert into cluster_identity (only_row, cluster, machine, machine_run) \
            values (1, $1, $2, $3) on conflict (only_row) do nothing";
        let [machine, run] = Machine::here(&self.host).stored();
        self.execute(sql, &[stored_bits(cluster.0), machine, run]).await
    }

    async fn probe(&self, now: Timestamp) -> Result<(), StoreError> {
        let sql = "insert into write_probe (only_row, written) values (1, $1) \
            on conflict (only_row) do update set written = excluded.written";
        self.execute(sql, &[now.0]).await
    }

    async fn load(&self, request: FenceRequest) -> Result<LoadedShard, FenceError> {
        fence::load(&self.writer, &self.host, request).await
    }

    async fn write(&self, _lane: usize, batch: &Batch<'_>) -> Result<Vec<Refused>, WriteError> {
        let written = write::write(&self.writer, &self.host, batch).await;
        self.checkpoints.written();
        written
    }

    async fn decide(&self, part: Part) -> Result<Fate, StoreError> {
        fence::decide(&self.writer, &self.host, part).await
    }

    async fn retire(&self, plan: &Plan, lease: &LeaseGuard) -> Result<u64, StoreError> {
        let removed = retire::retire(&self.writer, &self.host, plan, lease).await;
        self.checkpoints.written();
        removed.map_err(|error| StoreError::Unavailable { reason: error.to_string() })
    }

    async fn failed(&self) -> String {
        self.writer.trust().lost().await
    }

    fn describe(&self) -> String {
        format!("sqlite {}", self.path.display())
    }
}

/// The values as SQLite binds them.
pub(super) fn arguments(values: Vec<Value>) -> SqliteArguments {
    use sqlx::Arguments as _;
    let mut arguments = SqliteArguments::default();
    for value in values {
        // None of these types can fail to be bound.
        let bound = match value {
            Value::Int(value) => arguments.add(value),
            Value::Text(value) => arguments.add(value),
            Value::Id(value) => arguments.add(value),
            Value::Bytes(value) => arguments.add(value),
            Value::NoText => arguments.add(None::<String>),
            Value::NoBytes => arguments.add(None::<Vec<u8>>),
        };
        debug_assert!(bound.is_ok(), "a value could not be bound");
    }
    arguments
}

/// What a failed read says.
fn read_error(error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::Decode(_) => StoreError::Corrupt { reason: error.to_string() },
        other => StoreError::Unavailable { reason: other.to_string() },
    }
}
