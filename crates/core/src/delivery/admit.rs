//! Admission: bounds, dedupe, order.

use alloc::{format, sync::Arc, vec::Vec};
use core::time::Duration;

use quarry_types::{
    Address, Answer, CallError, Delivery, Envelope, KeyOrigin, MessageId, RefusalCode, ReplyMode,
    Timestamp, Unknown, UnknownCode,
    planted::{Bug, is_planted},
};

use super::{
    Effect, Found, FoundState, KeyQuestion, Shard,
    batch::{Change, Unit},
    delay,
    entity::{Entity, Read},
    message::{Acceptance, Copying, Message, Phase, Standing, Turn, Waiting},
    read::waits_for,
    shard::{Gate, answer, draining, refused},
};

/// For this long after a takeover a client's key may be a retry of what the owner before had begun.
const AFTER_TAKEOVER: Duration = Duration::from_mins(1);

impl<W> Shard<W> {
    /// Takes a message, or refuses it. `delivery` is what the entity's type declares for its method.
    pub fn admit(
        &mut self,
        now: Timestamp,
        envelope: Arc<Envelope>,
        delivery: Delivery,
        waiter: W,
        out: &mut Vec<Effect<W>>,
    ) {
        match self.gate {
            Gate::Open => {}
            Gate::Closing => return out.push(answer(waiter, Err(draining()))),
            Gate::Ended => return out.push(answer(waiter, Err(self.not_owner()))),
        }
        self.join_due(now, out);
        match delivery {
            Delivery::Durable => self.admit_durable(now, envelope, waiter, out),
            Delivery::VolatileLocal => self.admit_read(now, envelope, false, waiter, out),
            Delivery::VolatileCurrent => self.admit_read(now, envelope, true, waiter, out),
        }
    }

    fn admit_read(
        &mut self,
        now: Timestamp,
        envelope: Arc<Envelope>,
        is_current: bool,
        waiter: W,
        out: &mut Vec<Effect<W>>,
    ) {
        let most = self.limits.of(&envelope.address.entity_type).mailbox;
        let address = envelope.address.clone();
        let entity = self.entities.entry(address.clone()).or_insert_with(|| Entity::new(now));
        if entity.reads.len() >= most {
            return out.push(answer(waiter, Err(full(&address, most))));
        }
        self.admissions += 1;
        entity.reads.push_back(Read { envelope, waiter, is_current, came: self.admissions });
        self.schedule(&address, now, out);
    }

    fn admit_durable(
        &mut self,
        now: Timestamp,
        envelope: Arc<Envelope>,
        waiter: W,
        out: &mut Vec<Effect<W>>,
    ) {
        let key = (envelope.address.clone(), envelope.method.clone(), envelope.key.clone());
        if let Some(first) = self.keys.get(&key).copied() {
            return self.attach(first, &envelope, waiter, out);
        }
        let address = envelope.address.clone();
        let most = self.limits.of(&address.entity_type).mailbox;
        let queued = self.entities.get(&address).map_or(0, |e| e.queue.len() + e.left);
        let waiting = queued + self.delays.of(&address);
        let held = self.messages.len() + self.backlog.absent.len();
        if waiting >= most || held >= self.limits.pending {
            return out.push(answer(waiter, Err(full(&address, most))));
        }
        let message_id = envelope.message_id;
        if self.messages.contains_key(&message_id) {
            let error = refused(RefusalCode::InvalidPayload, "the message id is in use", None);
            return out.push(answer(waiter, Err(error)));
        }
        if let Some(reason) = delay::too_late(&envelope, now) {
            return out.push(answer(waiter, Err(delay::refusal(reason))));
        }
        let is_unseen = envelope.key_origin == KeyOrigin::Gateway && envelope.send_count == 0;
        let is_new = is_unseen || is_planted(Bug::NoDedupe);
        let phase = if is_new { Phase::Queued } else { Phase::Checking };
        let mode = envelope.reply;
        if !is_new {
            let (address, method, key) = key.clone();
            out.push(Effect::Lookup(KeyQuestion { message_id, address, method, key }));
        }
        self.admissions += 1;
        let later = self.delays.until(envelope.due, now);
        let turn = later.map_or(Turn::New(self.admissions), |_| Turn::Due(self.admissions));
        let order = (later.unwrap_or(now), turn);
        let mut message = Message::new(envelope, now, order, phase);
        message.came = self.admissions;
        message.wants_acceptance = mode == ReplyMode::Accepted;
        message.standing = later.map_or(Standing::InLine, |_| Standing::Apart);
        message.waiting.push(Waiting::of_caller(waiter, mode, false));
        self.messages.insert(message_id, message);
        self.keys.insert(key, message_id);
        if later.is_some() {
            self.count_delayed(message_id, &address);
            if is_new {
                self.accept_delayed(message_id, out);
            }
            return self.flush(out);
        }
        let entity = self.entities.entry(address.clone()).or_insert_with(|| Entity::new(now));
        entity.queue.push_back(message_id);
        self.read_alone(now, &address);
        self.accept_wanted(&address);
        self.schedule(&address, now, out);
        self.read_on(now, out);
        self.flush(out);
    }

    /// Lets a second caller wait for a message that is already here.
    pub(super) fn attach(
        &mut self,
        first: MessageId,
        envelope: &Envelope,
        waiter: W,
        out: &mut Vec<Effect<W>>,
    ) {
        let Some(message) = self.messages.get_mut(&first) else { return };
        if *message.sent() != envelope.payload {
            return out.push(answer(waiter, Err(key_reused())));
        }
        let is_accepted = matches!(message.acceptance, Acceptance::Stored(_));
        if envelope.reply == ReplyMode::Accepted && is_accepted {
            return out
                .push(answer(waiter, Ok(Answer::Accepted { message_id: first, replayed: true })));
        }
        if envelope.reply == ReplyMode::Accepted {
            message.wants_acceptance = true;
        }
        // After a takeover only a caller that asks again tells who waits; the next attempt knows it.
        if message.envelope.callers.is_none() && !envelope.callers.is_none() {
            Arc::make_mut(&mut message.envelope).callers = envelope.callers.clone();
        }
        message.waiting.push(Waiting::of_caller(waiter, envelope.reply, true));
        let address = message.envelope.address.clone();
        self.accept_wanted(&address);
        self.flush(out);
    }

    /// Lets a caller wait for the outcome of the message `message_id`; gives the waiter back where
    /// the message is not here.
    ///
    /// # Errors
    /// The waiter, unused.
    pub fn await_outcome(&mut self, message_id: MessageId, waiter: W) -> Result<(), W> {
        match self.messages.get_mut(&message_id) {
            Some(message) => {
                message.waiting.push(Waiting::of_caller(waiter, ReplyMode::Outcome, true));
                Ok(())
            }
            None => Err(waiter),
        }
    }

    /// The store answered a [`Effect::Lookup`]. An error refuses the message: surely not done.
    pub fn looked_up(
        &mut self,
        now: Timestamp,
        message_id: MessageId,
        found: Result<Option<Found>, CallError>,
        out: &mut Vec<Effect<W>>,
    ) {
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        if message.phase != Phase::Checking {
            return;
        }
        let address = message.envelope.address.clone();
        match found {
            Err(error) => self.refuse(message_id, &error, out),
            Ok(None) => self.is_new(now, message_id, out),
            Ok(Some(found)) if !found.was_with(&message.envelope.payload) => {
                self.refuse(message_id, &key_reused(), out);
            }
            Ok(Some(found)) => self.is_known(message_id, &found, out),
        }
        self.accept_wanted(&address);
        self.schedule(&address, now, out);
        self.flush(out);
        self.finish_closing(out);
    }

    /// The key is not stored. A message that may have been run by an owner before (it was sent
    /// before, or comes soon after a takeover under a client's key) runs only after its attempt is
    /// recorded, so that one that ends its process is counted.
    fn is_new(&mut self, now: Timestamp, message_id: MessageId, out: &mut Vec<Effect<W>>) {
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        let is_delayed = message.is_delayed();
        message.phase = Phase::Queued;
        let is_resent = message.envelope.send_count > 0;
        let took_over = self.taken_over.is_some_and(|at| now < at.after(AFTER_TAKEOVER));
        message.needs_recording = is_resent || took_over;
        if is_delayed {
            self.accept_delayed(message_id, out);
        }
    }

    fn is_known(&mut self, message_id: MessageId, found: &Found, out: &mut Vec<Effect<W>>) {
        let Some(message) = self.forget(message_id) else { return };
        let stored = found.message_id;
        for waiting in message.waiting {
            // An operator took it up meanwhile.
            if waiting.mode == ReplyMode::Outcome
                && !matches!(found.state, FoundState::Finished(_))
                && let Some(first) = self.messages.get_mut(&stored)
            {
                first.waiting.push(Waiting { is_replay: true, ..waiting });
                continue;
            }
            let waiting = if waits_for(&waiting, &found.state) {
                let absent = (stored, found.state == FoundState::Delayed);
                match self.await_absent(&message.envelope.address, absent, waiting) {
                    Ok(()) => continue,
                    Err(waiting) => waiting,
                }
            } else {
                waiting
            };
            let result = match &found.state {
                FoundState::Finished(outcome) if waiting.mode == ReplyMode::Outcome => {
                    Ok(Answer::Handled {
                        message_id: stored,
                        outcome: outcome.clone(),
                        replayed: true,
                    })
                }
                FoundState::Quarantined if waiting.mode == ReplyMode::Outcome => {
                    Err(quarantined(stored))
                }
                FoundState::Open | FoundState::Delayed if waiting.mode == ReplyMode::Outcome => {
                    Err(super::shard::owner_lost(stored))
                }
                _ => Ok(Answer::Accepted { message_id: stored, replayed: true }),
            };
            out.push(answer(waiting.waiter, result));
        }
    }

    /// Some of the entity's messages want their rows: written with the next commit.
    pub(super) fn accept_wanted(&mut self, address: &Address) {
        if !self.wanting.contains(address) {
            self.wanting.insert(address.clone());
        }
    }

    /// Writes the rows of all that want them. Done once per commit, so that a crowd that comes to
    /// one entity while a commit is in flight is gone through once.
    pub(super) fn accept_all_wanted(&mut self) {
        for address in core::mem::take(&mut self.wanting) {
            self.accept_up_to_wanted(&address);
        }
    }

    /// Writes the rows of an entity's messages up to the last one that wants it: a commit that
    /// accepts a message accepts all that were admitted before it.
    fn accept_up_to_wanted(&mut self, address: &Address) {
        let Some(entity) = self.entities.get(address) else { return };
        let known: Vec<MessageId> = entity
            .queue
            .iter()
            .copied()
            .take_while(|id| self.messages.get(id).is_some_and(|m| m.phase != Phase::Checking))
            .collect();
        let wants = |id: &MessageId| {
            self.messages
                .get(id)
                .is_some_and(|m| m.wants_acceptance && m.acceptance == Acceptance::None)
        };
        let Some(last) = known.iter().rposition(wants) else { return };
        let is_held = self.is_held(address);
        for message_id in known.into_iter().take(last + 1) {
            let Some(message) = self.messages.get_mut(&message_id) else { continue };
            if message.acceptance != Acceptance::None {
                continue;
            }
            message.acceptance = Acceptance::Pending;
            let change = if message.phase == Phase::Recording {
                message.begin_recorded();
                Change::Attempt
            } else if is_held && message.phase == Phase::Queued {
                message.copying = Copying::Pending;
                Change::Copy
            } else {
                Change::Accept
            };
            self.pending.push_back(Unit {
                message_id,
                address: address.clone(),
                is_accept: true,
                change,
            });
        }
    }
}

pub(super) fn full(address: &Address, most: usize) -> CallError {
    let message =
        format!("the mailbox of {address} or its shard is full ({most} messages per entity)");
    refused(RefusalCode::Overloaded, message, Some(1_000))
}

fn key_reused() -> CallError {
    let message = "the idempotency key was used before with another payload";
    refused(RefusalCode::KeyReused, message, None)
}

pub(super) fn quarantined(message_id: MessageId) -> CallError {
    CallError::Unknown(Unknown {
        code: UnknownCode::Quarantined,
        message: format!(
            "message {message_id} was set aside after its last attempt; an operator decides"
        ),
        message_id: Some(message_id),
    })
}
