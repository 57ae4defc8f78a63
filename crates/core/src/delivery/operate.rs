//! What operators do to messages: cancel, redrive, drop.
//!
//! A message that is in memory and to be ended is marked, and ended as soon as nothing of it is
//! under way: what is on its way into the store, its outcome above all, comes first. One that is
//! set aside is asked for, and stays in memory until what is done to it is durable. The operator is
//! answered by then, as any caller of the message: with its outcome, or that it is accepted.

use alloc::{format, string::ToString, sync::Arc, vec, vec::Vec};

use bytes::Bytes;
use quarry_types::{
    Answer, CallError, Intervention, MessageId, Outcome, RefusalCode, ReplyMode, Tenant, Timestamp,
};

use super::{
    Effect, Recovered, Shard,
    admit::{full, quarantined},
    backlog::Source,
    batch::{Change, Unit},
    entity::{Activation, Entity, Running},
    limits::back_off,
    message::{Acceptance, Message, Phase, Standing, Turn, Waiting},
    shard::{Check, Gate, answer, draining, owner_lost, refused},
    stream::Stream,
};

/// How many messages that operators act on find room in a memory that is full.
const OPERATED: usize = 256;

/// What the store has of a message that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Whose it is.
    pub tenant: Tenant,
    /// How far it came.
    pub state: FetchedState,
}

/// How far a message came that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchedState {
    /// Finished with this outcome.
    Finished(Outcome),
    /// Accepted, not finished, not set aside.
    Open(Recovered),
    /// Set aside.
    Quarantined(Recovered),
}

/// What an operator does to a message that is asked for.
pub(super) struct Inquiry<W> {
    tenant: Tenant,
    intervention: Intervention,
    pub(super) waiter: W,
}

impl<W> Shard<W> {
    /// Does `intervention` to a message of `tenant`. The operator who waits is answered once it is
    /// durable: where it ends the message, with the outcome, which is another one where the message
    /// had finished or its outcome was on its way; where it lets it run again, with acceptance. What
    /// is told to be in quarantine went there meanwhile: nothing was done to it yet.
    pub fn intervene(
        &mut self,
        now: Timestamp,
        message_id: MessageId,
        tenant: Tenant,
        intervention: Intervention,
        waiter: W,
        out: &mut Vec<Effect<W>>,
    ) {
        match self.gate {
            Gate::Open => {}
            Gate::Closing => return out.push(answer(waiter, Err(draining()))),
            Gate::Ended => return out.push(answer(waiter, Err(self.not_owner()))),
        }
        let Some(message) = self.messages.get(&message_id) else {
            let inquiry = Inquiry { tenant, intervention, waiter };
            return self.inquire(message_id, inquiry, out);
        };
        if message.envelope.address.tenant != tenant {
            return out.push(answer(waiter, Err(no_such_message(message_id))));
        }
        match intervention {
            Intervention::Cancel => self.cancel(now, message_id, waiter, out),
            Intervention::Drop => self.drop_unfinished(message_id, waiter, out),
            Intervention::Redrive { payload } => {
                self.redrive_unfinished(message_id, payload.as_ref(), waiter, out);
            }
        }
    }

    fn inquire(&mut self, message_id: MessageId, inquiry: Inquiry<W>, out: &mut Vec<Effect<W>>) {
        if let Some(inquiries) = self.inquiries.get_mut(&message_id) {
            return inquiries.push(inquiry);
        }
        if self.inquiries.len() >= self.limits.pending {
            let error = "the shard has too many messages to look for";
            let error = refused(RefusalCode::Overloaded, error, Some(1_000));
            return out.push(answer(inquiry.waiter, Err(error)));
        }
        self.inquiries.insert(message_id, vec![inquiry]);
        out.push(Effect::Fetch(message_id));
    }

    /// Ends a message that is not set aside. A run of it is given up.
    fn cancel(
        &mut self,
        now: Timestamp,
        message_id: MessageId,
        waiter: W,
        out: &mut Vec<Effect<W>>,
    ) {
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        let address = message.envelope.address.clone();
        let is_replay = message.end.is_some();
        message.waiting.push(Waiting::of_operator(waiter, ReplyMode::Outcome, is_replay));
        if is_replay {
            return;
        }
        message.end = Intervention::Cancel.failure();
        self.ending.insert(message_id);
        match message.phase {
            Phase::BackingOff(due) => {
                message.phase = Phase::Queued;
                self.due.remove(&(due, message_id));
            }
            Phase::Running => self.give_up_run(message_id, out),
            Phase::Checking
            | Phase::Recording
            | Phase::Queued
            | Phase::Delayed
            | Phase::Settling
            | Phase::Aside => {}
        }
        self.flush(out);
        self.schedule(&address, now, out);
    }

    /// The handler of the message is stopped, and with it the actor, whose state it may have
    /// changed half.
    fn give_up_run(&mut self, message_id: MessageId, out: &mut Vec<Effect<W>>) {
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        let address = &message.envelope.address;
        let Some(entity) = self.entities.get_mut(address) else { return };
        let Some(Running::Command { since, .. }) =
            entity.running.take_if(|running| running.message_id() == Some(message_id))
        else {
            return;
        };
        entity.activation = Activation::Inactive;
        out.push(Effect::Passivate(address.clone()));
        self.accept_due.remove(&(since.after(self.limits.accept_after), message_id));
        message.phase = Phase::Queued;
        message.is_recorded_again();
        // Whoever waits in the handler is gone with it, and what it made that is compared with nothing yet.
        message.settling.clear();
        message.stream.stop();
    }

    /// Takes what is marked and waits for nothing out of its queue, into the next commit.
    pub(super) fn end_marked(&mut self) {
        let is_free = |id: &MessageId| {
            let message = self.messages.get(id);
            message.is_some_and(|m| matches!(m.phase, Phase::Queued | Phase::Delayed))
        };
        let free: Vec<MessageId> = self.ending.iter().copied().filter(is_free).collect();
        for message_id in free {
            let Some(message) = self.messages.get_mut(&message_id) else { continue };
            let Some(failure) = message.end.clone() else { continue };
            let address = message.envelope.address.clone();
            if message.is_delayed() {
                self.delays.remove(message.order, &address);
            } else if let Some(entity) = self.entities.get_mut(&address) {
                entity.queue.retain(|id| *id != message_id);
            }
            message.phase = Phase::Settling;
            let is_accept = message.acceptance == Acceptance::None;
            if is_accept {
                message.acceptance = Acceptance::Pending;
            }
            let change = Change::End { failure };
            self.pending.push_back(Unit { message_id, address, is_accept, change });
        }
    }

    /// Only what is set aside is dropped; what may be on its way there is waited for.
    fn drop_unfinished(&mut self, message_id: MessageId, waiter: W, out: &mut Vec<Effect<W>>) {
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        if message.end.is_some() || message.phase == Phase::Settling {
            let is_replay = message.end == Intervention::Drop.failure();
            message.waiting.push(Waiting::of_operator(waiter, ReplyMode::Outcome, is_replay));
        } else {
            out.push(answer(waiter, Err(not_quarantined(message_id))));
        }
    }

    /// What is not set aside runs anyway; it cannot be edited.
    fn redrive_unfinished(
        &mut self,
        message_id: MessageId,
        payload: Option<&Bytes>,
        waiter: W,
        out: &mut Vec<Effect<W>>,
    ) {
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        let is_same = payload.is_none_or(|payload| *payload == message.envelope.payload);
        let is_stored = matches!(message.acceptance, Acceptance::Stored(_));
        if message.end.is_some() || message.phase == Phase::Settling {
            message.waiting.push(Waiting::of_operator(waiter, ReplyMode::Outcome, true));
        } else if !is_same {
            out.push(answer(waiter, Err(not_quarantined(message_id))));
        } else if is_stored && message.phase != Phase::Aside {
            out.push(answer(waiter, Ok(Answer::Accepted { message_id, replayed: true })));
        } else {
            message.waiting.push(Waiting::of_operator(waiter, ReplyMode::Accepted, true));
            message.wants_acceptance = true;
            let address = message.envelope.address.clone();
            self.accept_wanted(&address);
            self.flush(out);
        }
    }

    /// The store answered an [`Effect::Fetch`]. An error refuses what is to be done: surely not done.
    pub fn fetched(
        &mut self,
        now: Timestamp,
        message_id: MessageId,
        found: &Result<Option<Fetched>, CallError>,
        out: &mut Vec<Effect<W>>,
    ) {
        for inquiry in self.inquiries.remove(&message_id).unwrap_or_default() {
            if self.gate != Gate::Open || self.messages.contains_key(&message_id) {
                let Inquiry { tenant, intervention, waiter } = inquiry;
                self.intervene(now, message_id, tenant, intervention, waiter, out);
                continue;
            }
            let (result, check) = match found {
                Err(error) => (Err(error.clone()), Check::Nothing),
                Ok(Some(Fetched { tenant, state })) if *tenant == inquiry.tenant => match state {
                    FetchedState::Quarantined(aside) => {
                        self.take_up(now, aside.clone(), inquiry, out);
                        continue;
                    }
                    FetchedState::Finished(outcome) => {
                        let outcome = outcome.clone();
                        (
                            Ok(Answer::Handled { message_id, outcome, replayed: true }),
                            Check::Nothing,
                        )
                    }
                    FetchedState::Open(open) => {
                        self.act_on_unread(now, open, inquiry, out);
                        continue;
                    }
                },
                // Another owner may have accepted it since.
                Ok(_) => (Err(no_such_message(message_id)), Check::Fence),
            };
            out.push(Effect::Answer { waiter: inquiry.waiter, result, check });
        }
        self.flush(out);
        self.finish_closing(out);
    }

    /// What is open and not read can be cancelled; it runs in its turn otherwise.
    fn act_on_unread(
        &mut self,
        now: Timestamp,
        open: &Recovered,
        inquiry: Inquiry<W>,
        out: &mut Vec<Effect<W>>,
    ) {
        let message_id = open.envelope.message_id;
        let is_unread = if open.is_delayed {
            self.backlog.horizon.is_beyond((open.due, open.position))
        } else {
            self.is_unread(&open.envelope.address, open.position)
        };
        let result = match &inquiry.intervention {
            // It ended while the store was asked, or is about to be read.
            _ if !is_unread => Err(owner_lost(message_id)),
            Intervention::Cancel => {
                self.take_up(now, open.clone(), inquiry, out);
                if let Some(message) = self.messages.get_mut(&message_id) {
                    if open.is_delayed {
                        message.order.0 = open.due;
                        message.source = Source::Delayed;
                        self.backlog.count(Source::Delayed, true);
                    } else {
                        message.standing = Standing::InLine;
                        self.unfinished.insert((open.position, message_id));
                    }
                    self.attach_absent(message_id, out);
                }
                return;
            }
            Intervention::Redrive { payload }
                if payload.as_ref().is_none_or(|payload| *payload == open.envelope.payload) =>
            {
                Ok(Answer::Accepted { message_id, replayed: true })
            }
            Intervention::Drop | Intervention::Redrive { .. } => Err(not_quarantined(message_id)),
        };
        out.push(answer(inquiry.waiter, result));
    }

    /// Takes a message that is not in memory into it, for what is done to it.
    fn take_up(
        &mut self,
        now: Timestamp,
        aside: Recovered,
        inquiry: Inquiry<W>,
        out: &mut Vec<Effect<W>>,
    ) {
        let Inquiry { intervention, waiter, .. } = inquiry;
        let mut envelope = aside.envelope;
        let (message_id, address) = (envelope.message_id, envelope.address.clone());
        let end = intervention.failure();
        let most = self.limits.of(&address.entity_type).mailbox;
        let queued = self.entities.get(&address).map_or(0, |entity| entity.queue.len());
        let is_full = end.is_none() && queued + self.delays.of(&address) >= most;
        // What waits behind a quarantined message may fill memory: what an operator lets run again, or
        // drops, makes room.
        if is_full || self.messages.len() >= self.limits.pending.saturating_add(OPERATED) {
            return out.push(answer(waiter, Err(full(&address, most))));
        }
        let sent = aside.original.unwrap_or_else(|| envelope.payload.clone());
        if let Intervention::Redrive { payload: Some(payload) } = intervention {
            Arc::make_mut(&mut envelope).payload = payload;
        }
        let mode = if end.is_some() { ReplyMode::Outcome } else { ReplyMode::Accepted };
        self.admissions += 1;
        let order = (now, Turn::New(self.admissions));
        let mut message = Message::new(envelope, aside.accepted_at, order, Phase::Aside);
        message.came = self.admissions;
        message.standing = Standing::Apart;
        message.acceptance = Acceptance::Stored(aside.position);
        message.attempts = if end.is_some() { aside.attempts } else { 0 };
        message.errors = aside.errors;
        message.stream = Stream::recovered(aside.chunks);
        message.original = (sent != message.envelope.payload).then_some(sent);
        message.end = end;
        message.waiting.push(Waiting::of_operator(waiter, mode, false));
        let envelope = &message.envelope;
        let key = (address, envelope.method.clone(), envelope.key.clone());
        self.keys.entry(key).or_insert(message_id);
        self.messages.insert(message_id, message);
        self.act(message_id);
    }

    /// What is done to a message that is set aside goes into the next commit.
    pub(super) fn act(&mut self, message_id: MessageId) {
        let Some(message) = self.messages.get(&message_id) else { return };
        let address = message.envelope.address.clone();
        let change = match message.end.clone() {
            Some(failure) => Change::End { failure },
            None => Change::Redrive,
        };
        self.pending.push_back(Unit { message_id, address, is_accept: false, change });
    }

    /// The message is set aside no more: it joins its entity's queue.
    pub(super) fn is_redriven(
        &mut self,
        now: Timestamp,
        message_id: MessageId,
        out: &mut Vec<Effect<W>>,
    ) {
        let Some(order) = self.order_again(now, message_id) else { return };
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        message.phase = Phase::Queued;
        message.order = order;
        message.standing = Standing::Apart;
        let (accepted, rest): (Vec<_>, Vec<_>) = core::mem::take(&mut message.waiting)
            .into_iter()
            .partition(|waiting| waiting.mode == ReplyMode::Accepted);
        message.waiting = rest;
        for waiting in accepted {
            let replayed = waiting.is_replay;
            out.push(answer(waiting.waiter, Ok(Answer::Accepted { message_id, replayed })));
        }
        // What is closing leaves it to the next owner.
        if self.gate == Gate::Open {
            let address = message.envelope.address.clone();
            self.entities.entry(address.clone()).or_insert_with(|| Entity::new(now));
            self.forget_aside(&address);
            self.enqueue(&address, message_id);
            self.read_alone(now, &address);
        }
    }

    /// What an operator wanted could not be stored. What is set aside stays so, and what has no row
    /// is refused; what is in the queues is tried again later, for it was told to be accepted.
    pub(super) fn not_acted(
        &mut self,
        now: Timestamp,
        message_id: MessageId,
        error: &str,
        out: &mut Vec<Effect<W>>,
    ) {
        let error = refused(RefusalCode::StoreUnavailable, error.to_string(), Some(500));
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        match (message.phase, message.acceptance) {
            (Phase::Aside, acceptance) => {
                let is_delayed = message.source == Source::Delayed;
                if let Acceptance::Stored(position) = acceptance {
                    let (due, address) = (message.order.0, message.envelope.address.clone());
                    if is_delayed {
                        self.backlog.fell_out((due, position));
                    } else if message.standing == Standing::InLine {
                        self.leave(now, &address, (position, false));
                    }
                }
                let Some(left) = self.release(message_id) else { return };
                for waiting in left.waiting {
                    let error = if waiting.is_operator {
                        error.clone()
                    } else if is_delayed || left.standing == Standing::InLine {
                        owner_lost(message_id)
                    } else {
                        quarantined(message_id)
                    };
                    out.push(answer(waiting.waiter, Err(error)));
                }
            }
            (_, Acceptance::None | Acceptance::Pending) => self.refuse(message_id, &error, out),
            (_, Acceptance::Stored(_)) => {
                let due = now.after(back_off(1));
                message.phase = Phase::BackingOff(due);
                self.due.insert((due, message_id));
            }
        }
    }
}

fn no_such_message(message_id: MessageId) -> CallError {
    let message = format!("there is no message {message_id}, or it is past its retention");
    refused(RefusalCode::NoSuchMessage, message, None)
}

fn not_quarantined(message_id: MessageId) -> CallError {
    let message = format!("message {message_id} is not set aside: it can only be cancelled");
    refused(RefusalCode::NotQuarantined, message, None)
}
