//! What an author of an entity type writes.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use quarry_core::delivery::AfterQuarantine;
use quarry_types::Failure;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::Context;

/// How a read sees the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadMode {
    /// The last committed state in the owner's memory. May be stale after a freeze of the owner.
    Local,
    /// As `Local`, and the owner's fence is checked before the answer leaves.
    Current,
}

/// The query type of entities that have none.
#[derive(Clone, Copy, Debug, Deserialize)]
pub enum NoQuery {}

/// A type of entity. One value of it serves all entities of the type on a node and holds what they
/// share; what belongs to one entity is its `State`.
///
/// Methods are the variants of `Command` (durable: may change state) and of `Query` (volatile: must
/// not); their names are as serde sees them.
pub trait Entity: Send + Sync + 'static {
    /// The type's name in addresses.
    const TYPE: &'static str;
    /// Attempts until one of its messages is quarantined; at least 1. None: as the node is
    /// configured, which is so for the other bounds too.
    const ATTEMPTS: Option<u32> = None;
    /// What an entity does with its later messages while one is in quarantine.
    const AFTER_QUARANTINE: Option<AfterQuarantine> = None;
    /// Messages that may wait for one entity, and as many reads; at least 1.
    const MAILBOX: Option<usize> = None;
    /// Queries of one entity that run side by side; at least 1. Commands run one by one, and never
    /// beside a query.
    const CONCURRENCY: Option<usize> = None;
    /// Entities of the type that may be in memory on one node; at least 1. Beyond, the least recently
    /// used ones without messages make room.
    const RESIDENTS: Option<usize> = None;
    /// An entity without messages is kept in memory for this long.
    const IDLE_AFTER: Option<Duration> = None;
    /// An outcome of one of its messages is kept, and its key known, for this long.
    const RETENTION: Option<Duration> = None;
    /// What is kept of one entity, stored as JSON.
    type State: Default + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// Methods that may change the state.
    type Command: DeserializeOwned + Send + 'static;
    /// Methods that only read it.
    type Query: DeserializeOwned + Send + 'static;

    /// How the query of this name reads.
    fn read_mode(query: &str) -> ReadMode {
        let _ = query;
        ReadMode::Local
    }

    /// Handles a durable message. It may run more than once, but its state, reply and outcome are
    /// committed together, once. After an error the state is as it was.
    fn handle(
        &self,
        state: &mut Self::State,
        command: Self::Command,
        context: &Context,
    ) -> impl Future<Output = Result<Reply, HandlerError>> + Send;

    /// Answers a volatile message, beside others that are answered.
    fn read(
        &self,
        state: &Self::State,
        query: Self::Query,
        context: &Context,
    ) -> impl Future<Output = Result<Reply, HandlerError>> + Send;
}

/// What a handler answers: JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply(pub(crate) Bytes);

impl Reply {
    /// The answer `value`.
    ///
    /// # Errors
    /// A final failure where `value` cannot be written as JSON (a map with keys that are no texts).
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, HandlerError> {
        serde_json::to_vec(value).map(|json| Self(json.into())).map_err(|error| {
            HandlerError::fail("not_json", format!("cannot be written as JSON: {error}"))
        })
    }
}

/// Why a handler did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandlerError {
    /// An outcome: stored and told to the caller; not tried again.
    Final(Failure),
    /// Tried again after a back-off, up to the type's limit of attempts, then quarantined.
    Retry(String),
}

impl HandlerError {
    /// A failure that is an outcome; `code` is for programs, `message` for people.
    pub fn fail(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Final(Failure { code: code.into(), message: message.into() })
    }
}

/// Any error is tried again; its chain of causes is kept.
impl<E: std::error::Error> From<E> for HandlerError {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        Self::Retry(text)
    }
}
