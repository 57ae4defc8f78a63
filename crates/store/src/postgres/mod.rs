//! PostgreSQL 13 or newer: a few lanes, each with a connection of its own, and a pool for the rest.
//!
//! A batch is one statement, so that no lock outlives it: the fence rows of its shards are read
//! `for share`, the rows of `shard_commit` go in where the fence and the sequence fit, and all other
//! rows join to those that did.

mod connect;
mod fence;
mod write;

use quarry_ports::{FenceError, FenceRequest, Host, LoadedShard, StoreError};
use quarry_types::{ClusterId, Timestamp};
use sqlx::{
    AssertSqlSafe, PgPool,
    postgres::{PgArguments, PgDatabaseError, PgSeverity},
};
use tokio::sync::Semaphore;

use crate::{
    database::{Database, Fate, Refused, Row, Value, WriteError, stored_bits},
    group::{Batch, Part},
    open::{OpenError, Options},
};
use connect::Lane;

/// A PostgreSQL database.
pub(crate) struct Postgres {
    name: String,
    lanes: Vec<Lane>,
    pool: PgPool,
    /// Loads that may wait for a fence at once, so that they never use up the pool.
    loads: Semaphore,
}

impl Postgres {
    pub(crate) async fn open(url: &str, options: &Options, host: &Host) -> Result<Self, OpenError> {
        let (name, lanes, pool) = connect::open(url, options, host).await?;
        let loads = Semaphore::new(usize::try_from(options.readers.max(1)).unwrap_or(1));
        Ok(Self { name, lanes, pool, loads })
    }

    async fn execute(&self, sql: &'static str, value: i64) -> Result<(), StoreError> {
        let done = sqlx::query(sql).bind(value).execute(&self.pool).await;
        done.map(drop).map_err(unavailable)
    }
}

impl Database for Postgres {
    fn lanes(&self) -> usize {
        self.lanes.len()
    }

    async fn fetch<T: Row>(&self, sql: String, values: Vec<Value>) -> Result<Vec<T>, StoreError> {
        // After a restart of the server every idle connection is found dead once; asking each
        // before its use would cost a round trip every time.
        let mut left = self.pool.size();
        loop {
            let query = sqlx::query_as_with(AssertSqlSafe(sql.clone()), arguments(&values));
            match query.fetch_all(&self.pool).await {
                Err(error) if left > 0 && is_disconnection(&error) => left -= 1,
                result => return result.map_err(read_error),
            }
        }
    }

    async fn adopt(&self, cluster: ClusterId) -> Result<(), StoreError> {
        let sql = "insert into cluster_identity (only_row, cluster) values (1, $1) \
            on conflict (only_row) do nothing";
        self.execute(sql, stored_bits(cluster.0)).await
    }

    async fn probe(&self, now: Timestamp) -> Result<(), StoreError> {
        let sql = "insert into write_probe (only_row, written) values (1, $1) \
            on conflict (only_row) do update set written = excluded.written";
        self.execute(sql, now.0).await
    }

    async fn load(&self, request: FenceRequest) -> Result<LoadedShard, FenceError> {
        // Closed by nobody.
        let _permit = self.loads.acquire().await.ok();
        fence::load(&self.pool, request).await
    }

    async fn write(&self, lane: usize, batch: &Batch<'_>) -> Result<Vec<Refused>, WriteError> {
        match self.lanes.get(lane) {
            Some(lane) => write::write(lane, batch).await,
            None => Err(WriteError::Unavailable("there is no such lane".to_owned())),
        }
    }

    async fn decide(&self, part: Part) -> Result<Fate, StoreError> {
        fence::decide(&self.pool, part).await
    }

    fn describe(&self) -> String {
        self.name.clone()
    }
}

/// The values as PostgreSQL binds them.
fn arguments(values: &[Value]) -> PgArguments {
    use sqlx::Arguments as _;
    let mut arguments = PgArguments::default();
    for value in values {
        // None of these types can fail to be bound.
        let bound = match value {
            Value::Int(value) => arguments.add(*value),
            Value::Text(value) => arguments.add(value.as_str()),
            Value::Id(value) => arguments.add(*value),
            Value::Bytes(value) => arguments.add(value.as_slice()),
            Value::NoText => arguments.add(None::<String>),
        };
        debug_assert!(bound.is_ok(), "a value could not be bound");
    }
    arguments
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
fn unavailable(error: sqlx::Error) -> StoreError {
    StoreError::Unavailable { reason: error.to_string() }
}

/// Whether the session was gone, so that a read may be tried on another.
fn is_disconnection(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => error
            .try_downcast_ref::<PgDatabaseError>()
            .is_some_and(|error| error.severity() != PgSeverity::Error),
        _ => false,
    }
}

/// What a failed read says.
fn read_error(error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::Decode(_) => StoreError::Corrupt { reason: error.to_string() },
        other => unavailable(other),
    }
}
