//! What goes into one commit.

use alloc::{string::String, sync::Arc, vec::Vec};
use core::time::Duration;

use bytes::Bytes;
use quarry_types::{
    Address, Envelope, Failure, Keep, MessageId, Outcome, Sequence, Statement, Timestamp,
};

use super::Chunk;
use crate::outbox::{Closed, Entry};

/// All that one commit of the shard writes, together or not at all (G2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Names the commit in [`super::Shard::committed`].
    pub ticket: u64,
    /// Every message of a commit up to this one is finished or has an open row.
    pub low_water: Sequence,
    /// Messages to accept, in order.
    pub accepts: Vec<Accept>,
    /// Outcomes.
    pub finishes: Vec<Finish>,
    /// New states, one per entity.
    pub states: Vec<(Address, Bytes)>,
    /// Open rows to write.
    pub open: Vec<OpenRecord>,
    /// Chunks to append.
    pub chunks: Vec<ChunkRecord>,
    /// Sends to keep until their targets have them, in order.
    pub sends: Vec<Arc<Entry>>,
    /// Sends that are not passed on any more.
    pub closed: Vec<Closed>,
    /// A handler's own statements, in order: then the batch finishes its message and nothing else.
    pub statements: Vec<Statement>,
    /// Attempts in it that failed and will be tried again.
    pub retries: u32,
    /// Messages that it sets aside.
    pub quarantined: u32,
}

/// Chunks of one message to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkRecord {
    /// The message.
    pub message_id: MessageId,
    /// Its entity.
    pub address: Address,
    /// The number of the first one; the others follow.
    pub first: u64,
    /// The chunks.
    pub chunks: Vec<Chunk>,
}

/// A message to accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accept {
    /// The message.
    pub envelope: Arc<Envelope>,
    /// Store time of its admission.
    pub accepted_at: Timestamp,
}

/// A message to finish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finish {
    /// The message.
    pub message_id: MessageId,
    /// How it ended.
    pub outcome: Outcome,
    /// Attempts made.
    pub attempts: u32,
    /// For how long the outcome is kept.
    pub retention: Duration,
    /// What of the message is kept for that time.
    pub keep: Keep,
}

/// What an open message waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenRecordState {
    /// Its turn or the end of a back-off.
    Waiting,
    /// The time at which it is due; it was not tried yet.
    Delayed,
    /// An operator.
    Quarantined,
}

/// An open row to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRecord {
    /// The message.
    pub envelope: Arc<Envelope>,
    /// Store time of its admission.
    pub accepted_at: Timestamp,
    /// Where its row stands; `None` where this commit accepts it.
    pub position: Option<(Sequence, u32)>,
    /// Attempts begun so far.
    pub attempts: u32,
    /// Of those, the last ones in a row of which no end is known.
    pub lost: u32,
    /// Not to be run before this store time.
    pub due: Timestamp,
    /// What it waits for.
    pub state: OpenRecordState,
    /// The errors of its attempts.
    pub errors: Vec<String>,
}

/// Why a commit failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitFailure {
    /// The shard is lost to another owner, or the lease is over: surely nothing was written.
    ShardLost,
    /// The shard is given up without knowing whether the commit is there.
    Undecided,
    /// The store was away: surely nothing was written.
    Unavailable(String),
    /// Something in the commit breaks a rule of the store: surely nothing was written.
    Rejected(String),
}

/// What one message adds to a commit.
pub(super) struct Unit {
    pub(super) message_id: MessageId,
    pub(super) address: Address,
    pub(super) is_accept: bool,
    pub(super) change: Change,
}

pub(super) enum Change {
    /// The row alone.
    Accept,
    /// A copy among the open messages, because what holds it up may take long.
    Copy,
    /// The row, and that it waits for its time.
    Delay { until: Timestamp },
    /// The number of the attempt that is about to begin.
    Attempt,
    /// That the attempt which was recorded is not made: it did not begin, or its end was not written.
    TakeBack,
    /// A failed attempt; tried again at the time.
    Retry { due: Timestamp },
    /// Set aside.
    Quarantine(Reason),
    /// Parts of the reply.
    Chunks { first: u64, chunks: Vec<Chunk> },
    /// Finished.
    Finish {
        outcome: Outcome,
        state: Option<Bytes>,
        sends: Vec<Arc<Entry>>,
        statements: Vec<Statement>,
    },
    /// Ended by an operator.
    End { failure: Failure },
    /// Set aside no more.
    Redrive,
}

/// Why a message is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// An attempt failed, and was the last one. Where this is not written, it is made again.
    Failed,
    /// It has no attempt left, as the store knows, and is not begun whatever happens.
    Spent,
}

impl Unit {
    /// Whether it is committed with nothing else, so that only it fails with its statements.
    pub(super) fn is_alone(&self) -> bool {
        matches!(&self.change, Change::Finish { statements, .. } if !statements.is_empty())
    }

    /// Bytes of chunks in it.
    pub(super) fn chunk_bytes(&self) -> usize {
        match &self.change {
            Change::Chunks { chunks, .. } => chunks.iter().map(Chunk::size).sum(),
            _ => 0,
        }
    }

    pub(super) fn bytes(&self, payload: usize) -> usize {
        let accepted = if self.is_accept { payload } else { 0 };
        let changed = match &self.change {
            Change::Finish { outcome, state, sends, statements } => {
                let sent: usize = sends.iter().map(|entry| entry.outgoing.payload.len()).sum();
                let reply = match outcome {
                    Outcome::Success(reply) => reply.len(),
                    Outcome::Failure(failure) => failure.message.len(),
                };
                let own: usize = statements.iter().map(Statement::size).sum();
                reply + sent + own + state.as_ref().map_or(0, Bytes::len)
            }
            Change::Delay { .. }
            | Change::Copy
            | Change::Attempt
            | Change::TakeBack
            | Change::Retry { .. }
            | Change::Quarantine(_)
            | Change::Redrive => payload,
            Change::End { failure } => failure.message.len(),
            Change::Chunks { .. } => self.chunk_bytes(),
            Change::Accept => 0,
        };
        accepted + changed
    }
}
