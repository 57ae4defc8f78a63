//! Running: activation, turns, and what a handler came to.

use alloc::{string::String, sync::Arc, vec::Vec};

use bytes::Bytes;
use quarry_types::{
    Address, Answer, CallError, Envelope, Failure, MessageId, Outcome, RefusalCode, Statement,
    Timestamp,
    planted::{Bug, is_planted},
};

use super::{
    Effect, Shard,
    attempts::Recorded,
    batch::{Change, Reason, Unit},
    entity::{Activation, Ended, HeldRead, Read, Running},
    limits::back_off,
    message::{Acceptance, Phase},
    send::entries,
    shard::{Check, Gate, answer, refused},
    turns::Next,
};
use crate::outbox::Outgoing;

/// Names one run of a handler; results of a run that was given up are passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunId(pub u64);

/// Whether a run may change state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunKind {
    /// A durable message: may change state.
    Command,
    /// A volatile message: must not.
    Read,
}

/// One run of a handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// Names the run in [`Shard::ran`].
    pub run: RunId,
    /// Whether it may change state.
    pub kind: RunKind,
    /// The message.
    pub envelope: Arc<Envelope>,
    /// Which attempt it is, from 1.
    pub attempt: u32,
    /// Since when a command stands in its entity's queue.
    pub queued_since: Option<Timestamp>,
    /// Whether chunks of an earlier attempt stand: then the run does not end before
    /// [`Shard::catch_up`] has told that its own were compared with them.
    pub repeats: bool,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ran {
    /// The reply, and the state where it changed.
    Done {
        /// The handler's reply.
        reply: Bytes,
        /// The new state; `None` where it is as it was.
        state: Option<Bytes>,
        /// What it sent to other entities, in order.
        sends: Vec<Outgoing>,
        /// Its own statements for the database, in order.
        statements: Vec<Statement>,
    },
    /// The handler declared a failure that is an outcome; the state is as it was.
    Failed(Failure),
    /// The attempt failed; another may succeed. With `is_broken` the actor is gone.
    Retry {
        /// What went wrong.
        error: String,
        /// Whether the actor cannot be used any more (it panicked).
        is_broken: bool,
    },
}

/// Why an entity has no actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActivationFailure {
    /// The store did not give the state; counts as no attempt.
    Unavailable(String),
    /// The state cannot be read by the type; counts as an attempt.
    Broken(String),
}

impl<W> Shard<W> {
    /// Whether it is recorded that this begins: then it does, also in a shard that begins nothing new.
    /// Ended with its process before, it would count as an attempt that ended it.
    fn is_recorded(&self, next: Next) -> bool {
        let Next::Command(message_id) = next else { return false };
        self.messages.get(&message_id).is_some_and(|it| it.recorded == Recorded::Next)
    }

    /// Gives the entity its next turn, if it can take one.
    pub(super) fn schedule(&mut self, address: &Address, now: Timestamp, out: &mut Vec<Effect<W>>) {
        self.want_due(address, now, out);
        self.keep_held(address);
        self.want_rows(address);
        self.ask_aside(address, out);
        self.want_turn(address, out);
        self.record_front(address);
        let Some(entity) = self.entities.get(address) else { return };
        // What was turned away when the shard began to close stands before what is put back (D3).
        if entity.runs_command() || self.gate != Gate::Open {
            return;
        }
        let next = self.next_turn(address, entity);
        if self.is_paused && !self.is_recorded(next) {
            return;
        }
        if next == Next::Nobody {
            return self.rest(address);
        }
        let activation = entity.activation;
        let Some(entity) = self.entities.get_mut(address) else { return };
        match activation {
            Activation::Loading(_) | Activation::Spent => {}
            // The stored state lacks what the broken actor did last (G2): its commit wakes the entity.
            Activation::Inactive if !entity.ahead.is_empty() => {}
            Activation::Inactive => {
                self.activations += 1;
                entity.activation = Activation::Loading(self.activations);
                out.push(Effect::Activate(address.clone(), self.activations));
            }
            Activation::Active => {
                entity.used_at = now;
                entity.rests = false;
                match next {
                    Next::Reads(count) => self.run_reads(address, count, now, out),
                    Next::Command(message_id) => self.run_command(address, message_id, now, out),
                    Next::Nobody => {}
                }
            }
        }
    }

    fn run_command(
        &mut self,
        address: &Address,
        message_id: MessageId,
        now: Timestamp,
        out: &mut Vec<Effect<W>>,
    ) {
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        self.runs += 1;
        let run = RunId(self.runs);
        message.begin_attempt();
        message.phase = Phase::Running;
        let repeats = message.stream.begin();
        if message.acceptance == Acceptance::None {
            self.accept_due.insert((now.after(self.limits.accept_after), message_id));
        }
        let envelope = Arc::clone(&message.envelope);
        let (attempt, queued_since) = (message.attempts, Some(message.order.0));
        if let Some(entity) = self.entities.get_mut(address) {
            entity.running = Some(Running::Command { run, message_id, since: now });
        }
        out.push(Effect::Run(
            address.clone(),
            Work { run, kind: RunKind::Command, envelope, attempt, queued_since, repeats },
        ));
    }

    /// Whether the machine still waits for this activation; where it does not, a newer one is under
    /// way or none is needed, and the actor must not be used.
    #[must_use]
    pub fn awaits_activation(&self, address: &Address, activation: u64) -> bool {
        self.entities
            .get(address)
            .is_some_and(|entity| entity.activation == Activation::Loading(activation))
    }

    /// The actor is up, or could not be.
    pub fn activated(
        &mut self,
        now: Timestamp,
        address: &Address,
        activation: u64,
        result: Result<(), ActivationFailure>,
        out: &mut Vec<Effect<W>>,
    ) {
        if !self.awaits_activation(address, activation) {
            return;
        }
        let Some(entity) = self.entities.get_mut(address) else { return };
        entity.used_at = now;
        match result {
            Ok(()) => entity.activation = Activation::Active,
            Err(ActivationFailure::Broken(error)) => {
                entity.activation = Activation::Inactive;
                let first = entity.queue.front().copied().filter(|id| {
                    self.messages.get(id).is_some_and(|message| message.phase == Phase::Queued)
                });
                let first = first.filter(|_| self.is_next_known(address) && self.goes_on(address));
                self.refuse_reads(
                    address,
                    &refused(RefusalCode::HandlerFailed, error.clone(), None),
                    out,
                );
                if let Some(first) = first {
                    self.attempt_failed(now, first, error, false);
                }
            }
            Err(ActivationFailure::Unavailable(error)) => {
                entity.activation = Activation::Inactive;
                self.store_is_away(now, address, error, out);
                self.take_suspect_back(address);
            }
        }
        self.schedule(address, now, out);
        self.flush(out);
        self.finish_closing(out);
    }

    /// A handler ended. Results of runs that were given up are passed over.
    pub fn ran(
        &mut self,
        now: Timestamp,
        address: &Address,
        run: RunId,
        result: Ran,
        out: &mut Vec<Effect<W>>,
    ) {
        let Some(entity) = self.entities.get_mut(address) else { return };
        let Some(ended) = entity.end(run) else { return };
        entity.used_at = now;
        if matches!(result, Ran::Retry { is_broken: true, .. }) {
            entity.activation = Activation::Spent;
        }
        if entity.activation == Activation::Spent && entity.running.is_none() {
            entity.activation = Activation::Inactive;
            out.push(Effect::Passivate(address.clone()));
        }
        match ended {
            Ended::Read(read) => self.read_ran(address, read, result, out),
            Ended::Command { message_id, since } => {
                self.accept_due.remove(&(since.after(self.limits.accept_after), message_id));
                self.command_ran(now, address, message_id, result, out);
            }
        }
        self.schedule(address, now, out);
        self.flush(out);
        self.finish_closing(out);
    }

    fn read_ran(
        &mut self,
        address: &Address,
        read: Read<W>,
        result: Ran,
        out: &mut Vec<Effect<W>>,
    ) {
        let message_id = read.envelope.message_id;
        let outcome = match result {
            Ran::Done { reply, .. } => Ok(Outcome::Success(reply)),
            Ran::Failed(failure) => Ok(Outcome::Failure(failure)),
            Ran::Retry { error, .. } => Err(refused(RefusalCode::HandlerFailed, error, None)),
        };
        let result =
            outcome.map(|outcome| Answer::Handled { message_id, outcome, replayed: false });
        let entity = self.entities.get_mut(address);
        if let Some((after, entity)) =
            entity.and_then(|entity| entity.ahead.last().copied().zip(Some(entity)))
        {
            entity.held.push(HeldRead { read, result, after });
        } else {
            let check = Check::of_read(read.is_current);
            out.push(Effect::Answer { waiter: read.waiter, result, check });
        }
    }

    fn command_ran(
        &mut self,
        now: Timestamp,
        address: &Address,
        message_id: MessageId,
        result: Ran,
        out: &mut Vec<Effect<W>>,
    ) {
        if let Some(message) = self.messages.get_mut(&message_id) {
            message.survived();
        }
        let (outcome, state, sends, statements) = match result {
            Ran::Done { reply, state, sends, statements } => {
                (Outcome::Success(reply), state, sends, statements)
            }
            Ran::Failed(failure) => (Outcome::Failure(failure), None, Vec::new(), Vec::new()),
            Ran::Retry { error, .. } => {
                self.attempt_failed(now, message_id, error, true);
                return;
            }
        };
        self.end_stream(message_id, out);
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        message.phase = Phase::Settling;
        let is_accept = message.acceptance == Acceptance::None;
        if is_accept {
            message.acceptance = Acceptance::Pending;
        }
        if let Some(entity) = self.entities.get_mut(address) {
            entity.queue.pop_front();
            entity.ahead.push(message_id);
        }
        let sends = entries((now, &self.delays), address, message_id, sends);
        let change = Change::Finish { outcome, state, sends, statements };
        self.pending.push_back(Unit { message_id, address: address.clone(), is_accept, change });
    }

    /// One attempt failed: wait and try again, or quarantine (D4). The entity's later messages wait
    /// behind a back-off (D3), not behind a quarantine.
    pub(super) fn attempt_failed(
        &mut self,
        now: Timestamp,
        message_id: MessageId,
        error: String,
        is_counted: bool,
    ) {
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        let address = message.envelope.address.clone();
        let most = self.limits.most_attempts(&address.entity_type);
        if !is_counted {
            message.begin_attempt();
        }
        message.survived();
        message.stream.stop();
        message.push_error(error, self.limits.errors);
        let is_accept = message.acceptance == Acceptance::None;
        if is_accept {
            message.acceptance = Acceptance::Pending;
        }
        if message.attempts >= most {
            return self.set_aside(message_id, is_accept, Reason::Failed);
        }
        let due = now.after(back_off(message.attempts));
        message.phase = Phase::BackingOff(due);
        self.due.insert((due, message_id));
        if is_planted(Bug::RetryBehind)
            && let Some(entity) = self.entities.get_mut(&address)
        {
            entity.queue.rotate_left(1);
        }
        let change = Change::Retry { due };
        self.pending.push_back(Unit { message_id, address, is_accept, change });
    }

    /// The message is out of attempts: it goes to quarantine (D4).
    pub(super) fn set_aside(&mut self, message_id: MessageId, is_accept: bool, reason: Reason) {
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        message.phase = Phase::Settling;
        let address = message.envelope.address.clone();
        if let Some(entity) = self.entities.get_mut(&address) {
            entity.queue.retain(|id| *id != message_id);
        }
        self.hold(&address, message_id);
        let change = Change::Quarantine(reason);
        self.pending.push_back(Unit { message_id, address, is_accept, change });
    }

    /// The store is away: what has no row is refused, what has one waits a moment.
    pub(super) fn store_is_away(
        &mut self,
        now: Timestamp,
        address: &Address,
        error: String,
        out: &mut Vec<Effect<W>>,
    ) {
        let error = refused(RefusalCode::StoreUnavailable, error, Some(500));
        self.refuse_reads(address, &error, out);
        let queue = self.entities.get(address).map(|e| e.queue.clone()).unwrap_or_default();
        for message_id in queue {
            let Some(message) = self.messages.get_mut(&message_id) else { continue };
            match message.acceptance {
                Acceptance::None => self.refuse(message_id, &error, out),
                Acceptance::Pending | Acceptance::Stored(_) if message.phase == Phase::Queued => {
                    let due = now.after(back_off(1));
                    message.phase = Phase::BackingOff(due);
                    self.due.insert((due, message_id));
                }
                Acceptance::Pending | Acceptance::Stored(_) => {}
            }
        }
    }

    fn refuse_reads(&mut self, address: &Address, error: &CallError, out: &mut Vec<Effect<W>>) {
        if let Some(entity) = self.entities.get_mut(address) {
            for read in core::mem::take(&mut entity.reads) {
                out.push(answer(read.waiter, Err(error.clone())));
            }
        }
    }
}
