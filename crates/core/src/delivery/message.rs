//! One unfinished message.

use alloc::{
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use bytes::Bytes;
use quarry_types::{
    Envelope, Failure, Keep, MessageId, Outcome, PayloadDigest, ReplyMode, Sequence, Timestamp,
};

use super::{attempts::Recorded, backlog::Source, stream::Stream, suspect::Suspicion};

/// What the store knows of a key that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The id under which the key is stored.
    pub message_id: MessageId,
    /// The payload that it was first used with, where that is kept.
    pub payload: Bytes,
    /// Stands for the payload where only the key is kept in the end.
    pub digest: Option<PayloadDigest>,
    /// How far it came.
    pub state: FoundState,
}

impl Found {
    /// Whether the key was first used with `payload`.
    #[must_use]
    pub fn was_with(&self, payload: &Bytes) -> bool {
        match self.digest {
            Some(digest) => digest == PayloadDigest::of(payload),
            None => self.payload == payload,
        }
    }
}

/// How far a stored message came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundState {
    /// Finished with this outcome.
    Finished(Outcome),
    /// Accepted, not finished, not quarantined.
    Open,
    /// Accepted, and waiting for its time.
    Delayed,
    /// Set aside for an operator.
    Quarantined,
}

/// An unfinished message as a takeover found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The message.
    pub envelope: Arc<Envelope>,
    /// The payload that it was sent with, where an operator put another in its place.
    pub original: Option<Bytes>,
    /// Store time of its acceptance.
    pub accepted_at: Timestamp,
    /// The commit that accepted it, and its place in it.
    pub position: Position,
    /// Attempts begun so far.
    pub attempts: u32,
    /// Of those, the last ones in a row of which no end is known: they ended with their process.
    pub lost: u32,
    /// Not to be run before this store time.
    pub due: Timestamp,
    /// It was not to be handled before `due`, and was not tried yet.
    pub is_delayed: bool,
    /// The errors of its attempts.
    pub errors: Vec<String>,
    /// How many chunks of its reply stand.
    pub chunks: u64,
}

/// The longest error text that is kept, in characters.
const MOST_ERROR: usize = 1_000;

/// Whether the message's row stands (D1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acceptance {
    /// No row, and none on its way.
    None,
    /// A unit that writes it waits for a commit or is in one.
    Pending,
    /// It stands there.
    Stored(Position),
}

/// Where a message's row stands: the commit that accepted it, and its place in it.
pub type Position = (Sequence, u32);

/// Where a page begins: behind this place. What is delayed is in the order of its times, and of its
/// rows where these are equal; for all others, in the order of their rows, the time is zero.
pub type Cursor = (Timestamp, Position);

/// A message's place among those that join their entity's queue at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Turn {
    /// It was due then: it has joined before anything is admitted. The count of admissions.
    Due(u64),
    /// Its row stands: in the order of the rows, and before what has none.
    Stored(Position),
    /// The count of admissions.
    New(u64),
}

/// A message's place among those of its entity: when it joins the queue (when it was admitted, or
/// when it is due), then its turn among others of that time.
pub(super) type Order = (Timestamp, Turn);

/// Whether a message runs in the order of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It does.
    InLine,
    /// It was delayed, or let run again.
    Apart,
}

/// What the message waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Whether its key is stored.
    Checking,
    /// The commit of its attempt number.
    Recording,
    /// Its turn.
    Queued,
    /// The time at which it joins its entity's queue.
    Delayed,
    /// The end of a back-off.
    BackingOff(Timestamp),
    /// Its handler.
    Running,
    /// The commit of its outcome (or of its quarantine).
    Settling,
    /// The commit of what an operator does to it; until then it is in quarantine.
    Aside,
}

/// Whether a copy of a message among the open messages is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copying {
    /// There is none.
    None,
    /// A unit that writes it waits for a commit or is in one.
    Pending,
}

pub(super) struct Message<W> {
    pub(super) envelope: Arc<Envelope>,
    /// The payload that it was sent with, where an operator put another in its place.
    pub(super) original: Option<Bytes>,
    /// It is to end like this, and not to run any more.
    pub(super) end: Option<Failure>,
    pub(super) accepted_at: Timestamp,
    pub(super) order: Order,
    /// Its place among all that came to the shard: queries that came later wait for it.
    pub(super) came: u64,
    pub(super) standing: Standing,
    pub(super) source: Source,
    pub(super) phase: Phase,
    pub(super) acceptance: Acceptance,
    /// The row shall be written before the outcome is there.
    pub(super) wants_acceptance: bool,
    /// Attempts begun so far, the next one included once it is recorded.
    pub(super) attempts: u32,
    /// Of those, the last ones in a row of which no end is known.
    pub(super) lost: u32,
    pub(super) suspicion: Suspicion,
    pub(super) copying: Copying,
    pub(super) recorded: Recorded,
    /// It may have been run before by someone else: the next attempt's number is committed first.
    pub(super) needs_recording: bool,
    pub(super) errors: Vec<String>,
    pub(super) waiting: Vec<Waiting<W>>,
    /// Its handler, before an outside effect.
    pub(super) settling: Vec<W>,
    pub(super) stream: Stream<W>,
}

pub(super) struct Waiting<W> {
    pub(super) waiter: W,
    pub(super) mode: ReplyMode,
    /// The caller came after the first one.
    pub(super) is_replay: bool,
    /// It is an operator who acts on the message.
    pub(super) is_operator: bool,
}

impl<W> Waiting<W> {
    pub(super) const fn of_caller(waiter: W, mode: ReplyMode, is_replay: bool) -> Self {
        Self { waiter, mode, is_replay, is_operator: false }
    }

    pub(super) const fn of_operator(waiter: W, mode: ReplyMode, is_replay: bool) -> Self {
        Self { waiter, mode, is_replay, is_operator: true }
    }
}

impl<W> Message<W> {
    pub(super) fn new(
        envelope: Arc<Envelope>,
        accepted_at: Timestamp,
        order: Order,
        phase: Phase,
    ) -> Self {
        Self {
            envelope,
            original: None,
            end: None,
            accepted_at,
            order,
            came: 0,
            standing: Standing::InLine,
            source: Source::Caller,
            phase,
            acceptance: Acceptance::None,
            wants_acceptance: false,
            attempts: 0,
            lost: 0,
            suspicion: Suspicion::None,
            copying: Copying::None,
            recorded: Recorded::None,
            needs_recording: false,
            errors: Vec::new(),
            waiting: Vec::new(),
            settling: Vec::new(),
            stream: Stream::default(),
        }
    }

    /// What is kept of an outcome, and told to those who wait for it.
    pub(super) fn kept(&self, outcome: Outcome) -> Outcome {
        match (self.envelope.keep, outcome) {
            (Keep::Everything, outcome) => outcome,
            (Keep::Key, Outcome::Success(_)) => Outcome::Success(Bytes::new()),
            (Keep::Key, Outcome::Failure(failure)) => {
                let message = "the message asked for its outcome not to be kept".to_string();
                Outcome::Failure(Failure { code: failure.code, message })
            }
        }
    }

    /// Whether it has not joined its entity's queue because its time has not come.
    pub(super) fn is_delayed(&self) -> bool {
        match self.phase {
            Phase::Delayed => true,
            Phase::Checking => self.order.0 > self.accepted_at,
            _ => false,
        }
    }

    /// Where the row of a message that waits for its time stands among those that do.
    pub(super) fn place(&self) -> Option<Cursor> {
        match self.acceptance {
            Acceptance::Stored(position) if self.is_delayed() => Some((self.order.0, position)),
            _ => None,
        }
    }

    /// What its client sent.
    pub(super) fn sent(&self) -> &Bytes {
        self.original.as_ref().unwrap_or(&self.envelope.payload)
    }

    pub(super) fn push_error(&mut self, mut error: String, most: usize) {
        if let Some((end, _)) = error.char_indices().nth(MOST_ERROR) {
            error.truncate(end);
        }
        if self.errors.len() >= most {
            self.errors.remove(0);
        }
        self.errors.push(error);
    }
}
