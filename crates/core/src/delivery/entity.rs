//! One entity with something to do, or with a live actor.

use alloc::{collections::VecDeque, sync::Arc, vec::Vec};

use quarry_types::{Answer, CallError, Envelope, MessageId, Timestamp};

use super::{RunId, backlog::Extent};

/// Whether the entity has a live actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activation {
    /// None.
    Inactive,
    /// Its state is being loaded, for the activation of this number.
    Loading(u64),
    /// It has one.
    Active,
}

pub(super) struct Read<W> {
    pub(super) envelope: Arc<Envelope>,
    pub(super) waiter: W,
    pub(super) is_current: bool,
}

/// The answer of a read, held until the message `after` is durable.
pub(super) struct HeldRead<W> {
    pub(super) read: Read<W>,
    pub(super) result: Result<Answer, CallError>,
    pub(super) after: MessageId,
}

pub(super) enum Running<W> {
    Command { run: RunId, message_id: MessageId, since: Timestamp },
    Read { run: RunId, read: Read<W>, since: Timestamp },
}

impl<W> Running<W> {
    pub(super) const fn run(&self) -> RunId {
        match self {
            Self::Command { run, .. } | Self::Read { run, .. } => *run,
        }
    }

    /// The message of a command.
    pub(super) const fn message_id(&self) -> Option<MessageId> {
        match self {
            Self::Command { message_id, .. } => Some(*message_id),
            Self::Read { .. } => None,
        }
    }

    pub(super) const fn since(&self) -> Timestamp {
        match self {
            Self::Command { since, .. } | Self::Read { since, .. } => *since,
        }
    }
}

pub(super) struct Entity<W> {
    pub(super) activation: Activation,
    /// Unfinished messages that were not handled yet, in admitted order; the running one is first.
    pub(super) queue: VecDeque<MessageId>,
    pub(super) reads: VecDeque<Read<W>>,
    pub(super) running: Option<Running<W>>,
    /// Handled messages whose commit is not durable, in order.
    pub(super) ahead: Vec<MessageId>,
    /// Answers of reads that saw states which are not durable yet.
    pub(super) held: Vec<HeldRead<W>>,
    /// How much of what is open is in memory.
    pub(super) extent: Extent,
    /// Accepted messages that were left to the store, as far as is known.
    pub(super) left: usize,
    pub(super) used_at: Timestamp,
    /// Alternates between reads and commands, so that neither starves.
    pub(super) was_read: bool,
}

impl<W> Entity<W> {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self {
            activation: Activation::Inactive,
            queue: VecDeque::new(),
            reads: VecDeque::new(),
            running: None,
            ahead: Vec::new(),
            held: Vec::new(),
            extent: Extent::Scanned,
            left: 0,
            used_at: now,
            was_read: false,
        }
    }

    /// Whether the first message of the queue is with the handler.
    pub(super) const fn runs_command(&self) -> bool {
        matches!(self.running, Some(Running::Command { .. }))
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty()
            && self.reads.is_empty()
            && self.running.is_none()
            && self.ahead.is_empty()
            && !matches!(self.extent, Extent::UpTo(_))
            && !matches!(self.activation, Activation::Loading(_))
    }
}
