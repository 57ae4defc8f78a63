//! One entity with something to do, or with a live actor.

use alloc::{collections::VecDeque, sync::Arc, vec::Vec};

use quarry_types::{Answer, CallError, Envelope, MessageId, Timestamp};

use super::{AfterQuarantine, RunId, TypeLimits, backlog::Extent, hold::Aside};

/// Whether the entity has a live actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activation {
    /// None.
    Inactive,
    /// Its state is being loaded, for the activation of this number.
    Loading(u64),
    /// It has one.
    Active,
    /// It has one that may be broken: it gets nothing more, and goes with the last of its queries.
    Spent,
}

pub(super) struct Read<W> {
    pub(super) envelope: Arc<Envelope>,
    pub(super) waiter: W,
    pub(super) is_current: bool,
    /// Its place among all that came to the shard.
    pub(super) came: u64,
}

/// The answer of a read, held until the message `after` is durable.
pub(super) struct HeldRead<W> {
    pub(super) read: Read<W>,
    pub(super) result: Result<Answer, CallError>,
    pub(super) after: MessageId,
}

/// A query that is with its handler.
pub(super) struct ReadRun<W> {
    pub(super) run: RunId,
    pub(super) read: Read<W>,
    pub(super) since: Timestamp,
}

/// What is with the entity's actor: one command, or queries side by side.
pub(super) enum Running<W> {
    Command {
        run: RunId,
        message_id: MessageId,
        since: Timestamp,
    },
    /// At least one.
    Reads(Vec<ReadRun<W>>),
}

/// A run that is over.
pub(super) enum Ended<W> {
    Command { message_id: MessageId, since: Timestamp },
    Read(Read<W>),
}

impl<W> Running<W> {
    /// The message of a command.
    pub(super) const fn message_id(&self) -> Option<MessageId> {
        match self {
            Self::Command { message_id, .. } => Some(*message_id),
            Self::Reads(_) => None,
        }
    }

    /// Since when the longest handler runs.
    pub(super) fn since(&self) -> Option<Timestamp> {
        match self {
            Self::Command { since, .. } => Some(*since),
            Self::Reads(reads) => reads.iter().map(|read| read.since).min(),
        }
    }

    /// How many handlers run.
    pub(super) const fn count(&self) -> usize {
        match self {
            Self::Command { .. } => 1,
            Self::Reads(reads) => reads.len(),
        }
    }

    /// The queries.
    pub(super) fn into_reads(self) -> impl Iterator<Item = Read<W>> {
        let reads = match self {
            Self::Command { .. } => Vec::new(),
            Self::Reads(reads) => reads,
        };
        reads.into_iter().map(|running| running.read)
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
    /// What is known of its quarantined messages; only asked where they hold up others.
    pub(super) aside: Aside,
    pub(super) used_at: Timestamp,
    /// It was told to have nothing to do.
    pub(super) rests: bool,
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
            aside: Aside::Unknown,
            used_at: now,
            rests: false,
        }
    }

    /// Whether the first message of the queue is with the handler.
    pub(super) const fn runs_command(&self) -> bool {
        matches!(self.running, Some(Running::Command { .. }))
    }

    /// How many queries are with the handler.
    pub(super) fn readers(&self) -> usize {
        match &self.running {
            Some(Running::Reads(reads)) => reads.len(),
            Some(Running::Command { .. }) | None => 0,
        }
    }

    /// Takes the run out of what runs; none where it was given up before.
    pub(super) fn end(&mut self, ended: RunId) -> Option<Ended<W>> {
        match self.running.take()? {
            Running::Command { run, message_id, since } if run == ended => {
                Some(Ended::Command { message_id, since })
            }
            Running::Reads(mut reads) => {
                let at = reads.iter().position(|read| read.run == ended);
                let read = at.map(|at| Ended::Read(reads.remove(at).read));
                self.running = (!reads.is_empty()).then_some(Running::Reads(reads));
                read
            }
            other @ Running::Command { .. } => {
                self.running = Some(other);
                None
            }
        }
    }

    /// Puts queries back among those that wait, in the order in which they came.
    pub(super) fn put_back(&mut self, reads: impl Iterator<Item = Read<W>>) {
        self.reads.extend(reads);
        self.reads.make_contiguous().sort_by_key(|read| read.came);
    }

    /// Whether nothing of it is with its actor, or will be unless one of its commands begins.
    pub(super) fn is_quiet(&self) -> bool {
        self.reads.is_empty()
            && self.running.is_none()
            && self.ahead.is_empty()
            && !matches!(self.activation, Activation::Loading(_))
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.is_quiet() && !matches!(self.extent, Extent::UpTo(_))
    }

    /// Gives up an actor that an operator alone could give something to do; whether it did. A query, or
    /// what the operator does, brings it back.
    pub(super) fn give_up_actor(&mut self, limits: &TypeLimits) -> bool {
        let is_given_up =
            self.activation == Activation::Active && self.is_held(limits) && self.is_quiet();
        if is_given_up {
            self.activation = Activation::Inactive;
            self.rests = false;
        }
        is_given_up
    }

    /// Whether a quarantined message holds up the later ones, as `limits` of its type say.
    pub(super) fn is_held(&self, limits: &TypeLimits) -> bool {
        let is_held_up = limits.after_quarantine == AfterQuarantine::Wait;
        is_held_up && matches!(self.aside, Aside::Known(Some(_)))
    }
}
