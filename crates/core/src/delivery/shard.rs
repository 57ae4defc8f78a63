//! The machine's state, its effects, and what does not belong to one step of a message's life.

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    string::{String, ToString},
    vec::Vec,
};
use core::time::Duration;

use quarry_types::{
    Address, Answer, CallError, Epoch, IdempotencyKey, MessageId, Method, Refusal, RefusalCode,
    Sequence, Timestamp, Unknown, UnknownCode,
};

use super::{
    Batch, ChunkRead, Limits, OpenRead, Work,
    audit::Audit,
    backlog::Backlog,
    batch::{Reason, Unit},
    delay::Delays,
    entity::Entity,
    message::{Acceptance, Message, Phase},
    operate::Inquiry,
    suspect::ProcessTurn,
};
use crate::outbox::{Outbox, Passing, Place};

/// So many bytes of chunks that wait for a commit count as one more step that does.
const STEP_BYTES: usize = 4 * 1024;

/// What the machine asks its shell to do, in order.
#[derive(Debug, PartialEq)]
pub enum Effect<W> {
    /// Ask the store for a key; answer with [`Shard::looked_up`].
    Lookup(KeyQuestion),
    /// Ask the store for a message; answer with [`Shard::fetched`].
    Fetch(MessageId),
    /// Load the entity's state and start its actor; answer with [`Shard::activated`] and the
    /// number.
    Activate(Address, u64),
    /// Hand the work to the entity's actor; answer with [`Shard::ran`].
    Run(Address, Work),
    /// Commit; answer with [`Shard::committed`] or [`Shard::commit_failed`].
    Commit(Batch),
    /// Tell a caller. Everything that the answer rests on is durable.
    Answer {
        /// The caller.
        waiter: W,
        /// What to tell it.
        result: Result<Answer, CallError>,
        /// What is to be checked first.
        check: Check,
    },
    /// Tell a reader that there is more to read, or that the message is over.
    Readable(W),
    /// Tell a handler that what it waits for is there: everything before its next outside effect is
    /// durable, a chunk of it is, or all its chunks were compared.
    Settled(W),
    /// Pass a send on to its target's owner, which is to answer once it is stored; answer with
    /// [`Shard::passed_on`].
    PassOn(Passing),
    /// Read open sends behind a place; answer with [`Shard::sends_read`].
    ReadSends {
        /// The place.
        after: Place,
        /// How many at most.
        limit: u32,
    },
    /// Read a page of open messages; answer with [`Shard::open_read`].
    ReadOpen(OpenRead),
    /// Read a page of a message's chunks; answer with [`Shard::chunks_read`], also where that takes
    /// several tries.
    ReadChunks(ChunkRead),
    /// Drop the entity's actor, which may hold what is not committed.
    Passivate(Address),
    /// Ask the store for the first quarantined message of the entity; answer with
    /// [`Shard::aside_read`] and the number.
    AskAside(Address, u64),
    /// A suspect waits for the turn of its process, of which one shard has it at a time; answer
    /// with [`Shard::turn_given`].
    AskTurn,
    /// The turn of the process may go to another.
    EndTurn,
    /// The shard is closed: nothing runs, nothing is in flight, nothing will come.
    Closed,
    /// The shard is lost: drop all actors; every caller has been told.
    Lost,
}

/// What an answer's truth still hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Nothing.
    Nothing,
    /// The lease: a local read.
    Lease,
    /// The fence: a current read.
    Fence,
}

impl Check {
    pub(super) const fn of_read(is_current: bool) -> Self {
        if is_current { Self::Fence } else { Self::Lease }
    }
}

/// A key to ask the store for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyQuestion {
    /// The message that asks.
    pub message_id: MessageId,
    /// The entity.
    pub address: Address,
    /// The method.
    pub method: Method,
    /// The key.
    pub key: IdempotencyKey,
}

/// Whether the shard admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    Closing,
    Ended,
}

/// The delivery machine of one owned shard. See the module's description.
pub struct Shard<W> {
    pub(super) limits: Limits,
    pub(super) epoch: Epoch,
    pub(super) gate: Gate,
    /// It begins nothing new for now.
    pub(super) is_paused: bool,
    pub(super) entities: BTreeMap<Address, Entity<W>>,
    pub(super) messages: BTreeMap<MessageId, Message<W>>,
    pub(super) keys: BTreeMap<(Address, Method, IdempotencyKey), MessageId>,
    /// Ends of back-offs.
    pub(super) due: BTreeSet<(Timestamp, MessageId)>,
    pub(super) delays: Delays,
    /// Messages that are to end as an operator said, until they have.
    pub(super) ending: BTreeSet<MessageId>,
    /// What operators do to messages that are asked for.
    pub(super) inquiries: BTreeMap<MessageId, Vec<Inquiry<W>>>,
    /// When running messages without a row get one.
    pub(super) accept_due: BTreeSet<(Timestamp, MessageId)>,
    /// Entities of which messages want their rows.
    pub(super) wanting: BTreeSet<Address>,
    pub(super) pending: VecDeque<Unit>,
    /// Bytes of chunks among them.
    pub(super) chunk_bytes: usize,
    pub(super) in_flight: Option<(u64, Vec<Unit>)>,
    pub(super) outbox: Outbox,
    pub(super) tickets: u64,
    pub(super) runs: u64,
    pub(super) activations: u64,
    pub(super) admissions: u64,
    pub(super) questions: u64,
    pub(super) chunk_reads: u64,
    pub(super) committed: Sequence,
    /// All that stands up to here is finished or has an open row: the mark that was found at the
    /// takeover, and raised since.
    pub(super) low_water: Sequence,
    /// What is open and not in memory.
    pub(super) backlog: Backlog<W>,
    pub(super) audit: Audit,
    /// Entities that have nothing to do, to be told.
    pub(super) rested: Vec<Address>,
    /// When the shard came from an owner before.
    pub(super) taken_over: Option<Timestamp>,
    /// Rows that the low-water mark may not pass.
    pub(super) unfinished: BTreeSet<((Sequence, u32), MessageId)>,
    /// After a rejected commit: commits of one message each until this many are through.
    pub(super) alone: usize,
    /// Entities whose next message is a suspect that waits for the turn of the process.
    pub(super) suspects: BTreeSet<Address>,
    pub(super) process_turn: ProcessTurn,
    /// While the shard closes: attempts that are recorded, not under way, and still to be taken back. The next tick does it, until the shard is given up.
    pub(super) untaken: BTreeSet<MessageId>,
}

impl<W> Shard<W> {
    /// A shard whose fence stands, loaded at `now` with its last commit and its mark. What the owner
    /// before left open is read from [`Shard::start`] on.
    #[must_use]
    pub fn new(
        limits: Limits,
        epoch: Epoch,
        (committed, low_water): (Sequence, Sequence),
        now: Timestamp,
    ) -> Self {
        Self {
            low_water,
            backlog: Backlog::new(limits.backlog.clone(), committed),
            audit: Audit::new(low_water),
            rested: Vec::new(),
            outbox: Outbox::new(limits.outbox.clone(), committed),
            limits,
            epoch,
            gate: Gate::Open,
            is_paused: false,
            entities: BTreeMap::new(),
            messages: BTreeMap::new(),
            keys: BTreeMap::new(),
            due: BTreeSet::new(),
            delays: Delays::default(),
            ending: BTreeSet::new(),
            inquiries: BTreeMap::new(),
            accept_due: BTreeSet::new(),
            wanting: BTreeSet::new(),
            pending: VecDeque::new(),
            in_flight: None,
            tickets: 0,
            runs: 0,
            activations: 0,
            admissions: 0,
            questions: 0,
            chunk_reads: 0,
            chunk_bytes: 0,
            committed,
            taken_over: (committed > Sequence(0)).then_some(now),
            unfinished: BTreeSet::new(),
            alone: 0,
            suspects: BTreeSet::new(),
            process_turn: ProcessTurn::Free,
            untaken: BTreeSet::new(),
        }
    }

    /// The same with a clock that may be behind store time, by at most `lag`: a delay counts from the
    /// latest that it may be, so that the next owner, whose clock is another, does not find the
    /// message due early.
    #[must_use]
    pub const fn with_clock_behind(mut self, lag: Duration) -> Self {
        self.delays.lag = lag;
        self
    }

    /// Steps that wait for a commit behind the one in flight; 4 KiB of chunks count as one more.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.pending.len() + self.chunk_bytes / STEP_BYTES
    }

    /// Unfinished messages in memory.
    #[must_use]
    pub fn pending_messages(&self) -> usize {
        self.messages.len()
    }

    /// Entities with something to do or a live actor.
    #[must_use]
    pub fn resident_entities(&self) -> usize {
        self.entities.len()
    }

    /// When [`Shard::tick`] has something to do next, if nothing else happens.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        let back_off = self.due.first().map(|(at, _)| *at);
        let accept = self.accept_due.first().map(|(at, _)| *at);
        back_off
            .into_iter()
            .chain(accept)
            .chain(self.delays.next())
            .chain(self.outbox.next_wake())
            .chain(self.backlog.next_wake())
            .min()
    }

    /// Since when the longest handler runs.
    #[must_use]
    pub fn longest_run_since(&self) -> Option<Timestamp> {
        self.entities
            .values()
            .filter_map(|e| e.running.as_ref().and_then(super::entity::Running::since))
            .min()
    }

    /// Time has come to `now`: delays and back-offs end, slow handlers' messages get their rows.
    pub fn tick(&mut self, now: Timestamp, out: &mut Vec<Effect<W>>) {
        self.join_due(now, out);
        while let Some((_, message_id)) = self.due.first().filter(|(at, _)| *at <= now).copied() {
            self.due.pop_first();
            let Some(message) = self.messages.get_mut(&message_id) else { continue };
            message.phase = Phase::Queued;
            let address = message.envelope.address.clone();
            // Its quarantine could not be stored before.
            if self.is_spent(message_id) {
                self.set_aside(message_id, false, Reason::Spent);
            }
            self.schedule(&address, now, out);
        }
        while let Some((_, message_id)) =
            self.accept_due.first().filter(|(at, _)| *at <= now).copied()
        {
            self.accept_due.pop_first();
            if let Some(message) = self.messages.get_mut(&message_id) {
                message.wants_acceptance = true;
                let address = message.envelope.address.clone();
                self.accept_wanted(&address);
            }
        }
        // The commit in which they were taken back as the shard closed was not written.
        for message_id in core::mem::take(&mut self.untaken) {
            self.take_back(message_id);
        }
        self.pump(now, out);
        self.flush(out);
        self.finish_closing(out);
    }

    /// Lets go of callers that wait no more.
    pub fn forget_callers(&mut self, is_gone: impl Fn(&W) -> bool) {
        for message in self.messages.values_mut() {
            message.waiting.retain(|waiting| !is_gone(&waiting.waiter));
            message.stream.readers.retain(|(reader, _)| !is_gone(reader));
        }
        for absent in self.backlog.absent.values_mut() {
            absent.waiting.retain(|waiting| !is_gone(&waiting.waiter));
        }
        for inquiries in self.inquiries.values_mut() {
            inquiries.retain(|inquiry| !is_gone(&inquiry.waiter));
        }
    }

    pub(super) fn not_owner(&self) -> CallError {
        not_owner(self.epoch)
    }

    /// Removes a message that was never stored and tells its callers.
    pub(super) fn refuse(
        &mut self,
        message_id: MessageId,
        error: &CallError,
        out: &mut Vec<Effect<W>>,
    ) {
        for waiting in self.forget(message_id).map(|message| message.waiting).unwrap_or_default() {
            out.push(answer(waiting.waiter, Err(error.clone())));
        }
    }

    /// Removes a message that is over, or set aside, from everything but the batch that may hold it.
    pub(super) fn forget(&mut self, message_id: MessageId) -> Option<Message<W>> {
        let message = self.release(message_id)?;
        // What has no row may be one that was sent again: its row is to be read.
        if message.acceptance != Acceptance::None {
            self.backlog.gone(message_id);
        }
        Some(message)
    }

    /// Removes a message from memory.
    pub(super) fn release(&mut self, message_id: MessageId) -> Option<Message<W>> {
        let message = self.messages.remove(&message_id)?;
        self.backlog.count(message.source, false);
        let envelope = &message.envelope;
        let key = (envelope.address.clone(), envelope.method.clone(), envelope.key.clone());
        if self.keys.get(&key) == Some(&message_id) {
            self.keys.remove(&key);
        }
        self.ending.remove(&message_id);
        if message.phase != Phase::Settling
            && let Some(entity) = self.entities.get_mut(&envelope.address)
        {
            entity.queue.retain(|id| *id != message_id);
        }
        if let Acceptance::Stored(position) = message.acceptance {
            self.unfinished.remove(&(position, message_id));
        }
        if let Phase::BackingOff(at) = message.phase {
            self.due.remove(&(at, message_id));
        }
        if message.is_delayed() {
            self.delays.remove(message.order, &envelope.address);
        }
        Some(message)
    }
}

pub(super) fn answer<W>(waiter: W, result: Result<Answer, CallError>) -> Effect<W> {
    Effect::Answer { waiter, result, check: Check::Nothing }
}

pub(super) fn refused(
    code: RefusalCode,
    message: impl Into<String>,
    retry_after_ms: Option<u32>,
) -> CallError {
    CallError::Refused(Refusal { code, message: message.into(), retry_after_ms })
}

pub(super) fn draining() -> CallError {
    refused(RefusalCode::Draining, "the shard is moving to another node", Some(50))
}

pub(super) fn not_owner(epoch: Epoch) -> CallError {
    refused(RefusalCode::NotOwner(epoch), "the shard has moved to another node", Some(50))
}

pub(super) fn owner_lost(message_id: MessageId) -> CallError {
    CallError::Unknown(Unknown {
        code: UnknownCode::OwnerLost,
        message: "the owner lost the shard while it had the message".to_string(),
        message_id: Some(message_id),
    })
}
