//! What the two databases do differently.

use std::future::Future;

use quarry_ports::{FenceError, FenceRequest, LeaseGuard, LoadedShard, StoreError};
use quarry_types::{ClusterId, Epoch, ShardId, Timestamp};
use sqlx::{FromRow, postgres::PgRow, sqlite::SqliteRow};
use uuid::Uuid;

use crate::{
    group::{Batch, Part},
    retire::Plan,
};

/// A bound parameter of a query that both databases understand.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Int(i64),
    Text(String),
    Id(Uuid),
    Bytes(Vec<u8>),
    NoText,
    NoBytes,
}

/// A row that both databases can fill.
pub(crate) trait Row:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin + 'static
{
}
impl<T> Row for T where
    T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin + 'static
{
}

/// A part that was not written because the fence, or the sequence, was another (L3). The others of
/// its batch are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) shard: ShardId,
    /// The epoch that stands.
    pub(crate) recorded: Epoch,
}

/// Why a batch is not surely there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WriteError {
    /// One of its rows breaks a rule; nothing was written.
    Culprit(String),
    /// Surely nothing was written.
    Unavailable(String),
    /// A lease ended before the batch was sent; nothing was written.
    LeaseOver,
    /// It may be there.
    Lost(String),
}

/// What became of a part whose answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is there.
    Written,
    /// It can never be there: an empty commit took its sequence.
    Voided,
    /// Another epoch stands; whether the part came before it is known.
    Fenced { recorded: Epoch, written: bool },
    /// Another epoch stands, and the commits of the part's time are retired: nobody knows any more.
    Forgotten { recorded: Epoch },
}

/// One of the databases.
pub(crate) trait Database: Send + Sync + Sized + 'static {
    /// How many lanes write side by side.
    fn lanes(&self) -> usize;

    /// Rows of a read query with `$1…` placeholders, in the SQL that both databases share.
    fn fetch<T: Row>(
        &self,
        sql: String,
        values: Vec<Value>,
    ) -> impl Future<Output = Result<Vec<T>, StoreError>> + Send;

    /// Makes the store that of `cluster` unless it is another's already.
    fn adopt(&self, cluster: ClusterId) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Writes the time, durably.
    fn probe(&self, now: Timestamp) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Sets a fence and reads what the shard recorded last (L1, L5).
    fn load(
        &self,
        request: FenceRequest,
    ) -> impl Future<Output = Result<LoadedShard, FenceError>> + Send;

    /// Writes a batch in one transaction, but the parts that it returns.
    fn write(
        &self,
        lane: usize,
        batch: &Batch<'_>,
    ) -> impl Future<Output = Result<Vec<Refused>, WriteError>> + Send;

    /// Decides, by writing, what became of a part.
    fn decide(&self, part: Part) -> impl Future<Output = Result<Fate, StoreError>> + Send;

    /// Messages that one transaction removes.
    const RETIRED_AT_ONCE: u32;

    /// Removes what `plan` names of shards whose fence stands, while `lease` is held; how many
    /// messages that were.
    fn retire(
        &self,
        plan: &Plan,
        lease: &LeaseGuard,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// As [`quarry_ports::Store::failed`].
    fn failed(&self) -> impl Future<Output = String> + Send {
        std::future::pending()
    }

    /// As [`quarry_ports::Store::describe`].
    fn describe(&self) -> String;
}

/// A counter as the databases store it. Counters stay far below 2^63.
pub(crate) fn stored(counter: u64) -> i64 {
    i64::try_from(counter).unwrap_or(i64::MAX)
}

/// A counter as it was before [`stored`].
pub(crate) fn counter(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

/// Random bits as the databases store them.
pub(crate) fn stored_bits(bits: u64) -> i64 {
    bits.cast_signed()
}

/// Random bits as they were before [`stored_bits`].
pub(crate) fn bits(stored: i64) -> u64 {
    stored.cast_unsigned()
}

impl Fate {
    /// The fate of a part of `epoch` where no empty commit took its place: the fence stands at
    /// `recorded`, and at the part's sequence was `found` a commit (its epoch, whether it is void).
    /// With `retired` the first commit that is kept lies behind that sequence.
    pub(crate) fn of(recorded: i64, epoch: i64, found: Option<(i64, i64)>, retired: bool) -> Self {
        let written = found == Some((epoch, 0));
        if retired {
            return Self::Forgotten { recorded: Epoch(counter(recorded)) };
        }
        if recorded != epoch {
            return Self::Fenced { recorded: Epoch(counter(recorded)), written };
        }
        match found {
            Some(_) if written => Self::Written,
            // An earlier try of this decision, whose own answer was lost.
            Some((by, _)) if by == epoch => Self::Voided,
            _ => Self::Fenced { recorded: Epoch(counter(recorded)), written: false },
        }
    }
}
