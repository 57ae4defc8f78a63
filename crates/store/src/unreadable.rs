//! Rows that this program cannot read, where the others must go on all the same.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use quarry_ports::{Metrics, Position};
use quarry_types::MessageId;
use sqlx::FromRow;

/// How many rows are remembered as told; beyond, one may be told again.
const REMEMBERED: usize = 4_096;

/// A row, or why it is none of its type. Lets the rows beside it be read.
#[derive(Debug)]
pub(crate) struct Perhaps<T>(pub(crate) Result<T, String>);

impl<'r, R: sqlx::Row, T: FromRow<'r, R>> FromRow<'r, R> for Perhaps<T> {
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        Ok(Self(T::from_row(row).map_err(|error| error.to_string())))
    }
}

/// Where a row that cannot be read stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// An unfinished message: its id where that can be read, and its position.
    Open(Option<MessageId>, Position),
    /// The chunks of a message from a number on.
    Chunks(MessageId, i64),
    /// An open send, and its position.
    Send(Position),
}

/// Tells of each such row once, and counts it: a message that was accepted is not served (D1).
#[derive(Clone)]
pub(crate) struct Unreadable {
    metrics: Metrics,
    told: Arc<Mutex<BTreeSet<Place>>>,
}

impl Unreadable {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self { metrics: metrics.clone(), told: Arc::default() }
    }

    /// Tells of the row at `place` unless it was told before.
    pub(crate) fn tell(&self, place: Place, reason: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= REMEMBERED {
            told.clear();
        }
        if !told.insert(place) {
            return;
        }
        drop(told);
        self.metrics.invariant_violations.with_label_values(&["D1"]).inc();
        match place {
            Place::Open(message, Position { sequence, ordinal }) => {
                let message = message.map_or_else(|| "unreadable".to_owned(), |id| id.to_string());
                tracing::error!(message, %sequence, ordinal, reason, "an unfinished message cannot be read and is left out; its shard goes on");
            }
            Place::Send(Position { sequence, ordinal }) => {
                tracing::error!(%sequence, ordinal, reason, "an open send cannot be read and is left out; its shard goes on");
            }
            Place::Chunks(message, first) => {
                tracing::error!(%message, first, reason, "stored chunks of a message cannot be read; they count no more");
            }
        }
    }
}
