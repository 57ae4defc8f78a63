//! What a PostgreSQL server does of the store, each within a time of its own.

use std::time::Duration;

use quarry_ports::{FenceError, FenceRequest, Host, LeaseGuard, LoadedShard, StoreError};
use quarry_types::{ClusterId, Timestamp};
use sqlx::{AssertSqlSafe, postgres::PgArguments};

use super::{
    connect::{self, Lane, Opened},
    fence,
    loads::Loads,
    pool::{Failed, Pool},
    retire, write,
};
use crate::{
    database::{Database, Fate, Refused, Row, Value, WriteError, stored_bits},
    group::{Batch, Part},
    open::{OpenError, Options},
    retire::Plan,
};

/// How long a read, or a statement as small as one, may take in all.
const READ_WITHIN: Duration = Duration::from_secs(5);
/// How long one try to decide a fate may take; the next is made on another connection.
const DECIDE_WITHIN: Duration = Duration::from_secs(3);

/// A PostgreSQL database.
pub(crate) struct Postgres {
    name: String,
    lanes: Vec<Lane>,
    fences: Pool,
    pool: Pool,
    loads: Loads,
    host: Host,
}

impl Postgres {
    pub(crate) async fn open(url: &str, options: &Options, host: &Host) -> Result<Self, OpenError> {
        let Opened { name, lanes, fences, pool } = connect::open(url, options, host).await?;
        Ok(Self { name, lanes, fences, pool, loads: Loads::new(), host: host.clone() })
    }

    /// The rows of a statement that may be repeated.
    async fn rows<T: Row>(
        &self,
        what: &'static str,
        sql: String,
        values: Vec<Value>,
    ) -> Result<Vec<T>, StoreError> {
        let asking = async {
            loop {
                let mut used = self.pool.take().await?;
                let query = sqlx::query_as_with(AssertSqlSafe(sql.clone()), arguments(&values));
                match query.fetch_all(used.connection()).await.map_err(Failed::from) {
                    Ok(rows) => {
                        used.done();
                        return Ok(rows);
                    }
                    Err(failed) => used.give_up(failed)?,
                }
            }
        };
        let rows: Result<_, Failed> = self.pool.connector.within(what, READ_WITHIN, asking).await;
        Ok(rows?)
    }
}

impl Database for Postgres {
    const RETIRED_AT_ONCE: u32 = 2_048;

    fn lanes(&self) -> usize {
        self.lanes.len()
    }

    async fn fetch<T: Row>(&self, sql: String, values: Vec<Value>) -> Result<Vec<T>, StoreError> {
        self.rows("a read", sql, values).await
    }

    async fn adopt(&self, cluster: ClusterId) -> Result<(), StoreError> {
        let sql = "insert into cluster_identity (only_row, cluster) values (1, $1) \
            on conflict (only_row) do nothing returning only_row";
        let values = vec![Value::Int(stored_bits(cluster.0))];
        let rows = self.rows::<(i64,)>("the adoption", sql.to_owned(), values).await;
        rows.map(drop)
    }

    async fn probe(&self, now: Timestamp) -> Result<(), StoreError> {
        let sql = "insert into write_probe (only_row, written) values (1, $1) \
            on conflict (only_row) do update set written = excluded.written returning only_row";
        let values = vec![Value::Int(now.0)];
        let rows = self.rows::<(i64,)>("a write of the time", sql.to_owned(), values).await;
        rows.map(drop)
    }

    async fn load(&self, request: FenceRequest) -> Result<LoadedShard, FenceError> {
        self.loads.load(&self.fences, &self.host, request).await
    }

    async fn write(&self, lane: usize, batch: &Batch<'_>) -> Result<Vec<Refused>, WriteError> {
        match self.lanes.get(lane) {
            Some(lane) => write::write(lane, batch).await,
            None => Err(WriteError::Unavailable("there is no such lane".to_owned())),
        }
    }

    async fn decide(&self, part: Part) -> Result<Fate, StoreError> {
        let deciding = fence::decide(&self.fences, part);
        self.fences.connector.within("a decision", DECIDE_WITHIN, deciding).await
    }

    async fn retire(&self, plan: &Plan, lease: &LeaseGuard) -> Result<u64, StoreError> {
        retire::within(&self.pool, plan, lease, READ_WITHIN).await
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
            Value::NoBytes => arguments.add(None::<Vec<u8>>),
        };
        debug_assert!(bound.is_ok(), "a value could not be bound");
    }
    arguments
}
