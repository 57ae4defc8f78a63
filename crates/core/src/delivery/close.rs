//! The end of a shard: closed, cut off, or lost.

use alloc::{collections::BTreeSet, string::ToString, vec::Vec};

use quarry_types::{Address, MessageId, ReplyMode, Timestamp};

use super::{
    Effect, Shard,
    entity::{Activation, Entity, Running},
    message::Acceptance,
    shard::{Gate, answer, draining, not_owner, owner_lost},
};

impl<W> Shard<W> {
    /// Begins nothing new until [`Shard::go_on`], so that a shard that is to close comes to rest. It
    /// admits on, and what runs goes on; so does what is recorded to begin.
    pub const fn pause(&mut self) {
        self.is_paused = true;
    }

    /// Begins what waits, behind [`Shard::pause`].
    pub fn go_on(&mut self, now: Timestamp, out: &mut Vec<Effect<W>>) {
        if !core::mem::take(&mut self.is_paused) {
            return;
        }
        let addresses: Vec<Address> = self.entities.keys().cloned().collect();
        for address in addresses {
            self.schedule(&address, now, out);
        }
        self.flush(out);
    }

    /// Stops admitting. What runs is finished and committed, then comes [`Effect::Closed`]. What has
    /// not begun is refused where it has no row, and left to the next owner where it has one. Attempts
    /// that are recorded and not under way are taken back, again with each [`Shard::tick`] while the
    /// store is away.
    pub fn close(&mut self, out: &mut Vec<Effect<W>>) {
        if self.gate != Gate::Open {
            return;
        }
        self.gate = Gate::Closing;
        self.due.clear();
        self.delays.clear();
        let addresses: Vec<Address> = self.entities.keys().cloned().collect();
        for address in addresses {
            self.turn_away(&address, out);
        }
        let queued: Vec<MessageId> = self.messages.keys().copied().collect();
        for message_id in queued {
            self.take_back(message_id);
        }
        self.release_absent(out);
        self.outbox.press();
        self.flush(out);
        self.finish_closing(out);
    }

    fn turn_away(&mut self, address: &Address, out: &mut Vec<Effect<W>>) {
        let Some(entity) = self.entities.get_mut(address) else { return };
        for read in core::mem::take(&mut entity.reads) {
            out.push(answer(read.waiter, Err(draining())));
        }
        let running = entity.running.as_ref().and_then(Running::message_id);
        let left: Vec<MessageId> =
            entity.queue.iter().copied().filter(|id| Some(*id) != running).collect();
        entity.queue.retain(|id| Some(*id) == running);
        for message_id in left {
            let is_stored =
                self.messages.get(&message_id).is_some_and(|m| m.acceptance != Acceptance::None);
            if is_stored {
                // Its row stands or is on its way: it is the next owner's. Acceptance is still told.
                self.release_waiters(message_id, out);
            } else {
                self.refuse(message_id, &draining(), out);
            }
        }
    }

    /// Callers that wait for the outcome are sent on; those that wait for acceptance stay.
    fn release_waiters(&mut self, message_id: MessageId, out: &mut Vec<Effect<W>>) {
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        let (stay, leave): (Vec<_>, Vec<_>) =
            core::mem::take(&mut message.waiting).into_iter().partition(|w| {
                w.mode == ReplyMode::Accepted && message.acceptance == Acceptance::Pending
            });
        message.waiting = stay;
        for waiting in leave {
            out.push(answer(waiting.waiter, Err(owner_lost(message_id))));
        }
    }

    pub(super) fn finish_closing(&mut self, out: &mut Vec<Effect<W>>) {
        let is_busy = self.in_flight.is_some()
            || !self.pending.is_empty()
            || !self.untaken.is_empty()
            || self.entities.values().any(|entity| entity.running.is_some());
        if self.gate == Gate::Closing && !is_busy {
            self.give_up(out);
            out.pop();
            out.push(Effect::Closed);
        }
    }

    /// The shard is lost, now: every caller is told, nothing more will be committed.
    pub fn give_up(&mut self, out: &mut Vec<Effect<W>>) {
        if self.gate == Gate::Ended {
            return;
        }
        self.gate = Gate::Ended;
        let in_flight: BTreeSet<MessageId> = self
            .in_flight
            .take()
            .into_iter()
            .flat_map(|(_, units)| units)
            .map(|unit| unit.message_id)
            .collect();
        for (message_id, message) in core::mem::take(&mut self.messages) {
            let is_stored = matches!(message.acceptance, Acceptance::Stored(_));
            let may_be_done = is_stored || in_flight.contains(&message_id);
            out.extend(
                message.stream.readers.into_iter().map(|(reader, _)| Effect::Readable(reader)),
            );
            for waiting in message.waiting {
                let error = if may_be_done { owner_lost(message_id) } else { self.not_owner() };
                out.push(answer(waiting.waiter, Err(error)));
            }
        }
        self.release_absent(out);
        let inquiries = core::mem::take(&mut self.inquiries).into_values().flatten();
        out.extend(inquiries.map(|inquiry| answer(inquiry.waiter, Err(not_owner(self.epoch)))));
        let reads = core::mem::take(&mut self.entities).into_values().flat_map(|entity| {
            let running = entity.running.into_iter().flat_map(Running::into_reads);
            let held = entity.held.into_iter().map(|held| held.read);
            entity.reads.into_iter().chain(running).chain(held)
        });
        for read in reads {
            out.push(answer(read.waiter, Err(not_owner(self.epoch))));
        }
        self.keys.clear();
        self.due.clear();
        self.delays.clear();
        self.ending.clear();
        self.accept_due.clear();
        self.wanting.clear();
        self.outbox.clear();
        self.pending.clear();
        self.chunk_bytes = 0;
        self.suspects.clear();
        self.untaken.clear();
        self.end_turn(out);
        out.push(Effect::Lost);
    }

    /// Closes the shard, and stops what still runs because its time is over, with its actor. To a
    /// command that is a failed attempt for `reason`, so that the next owner knows that its process
    /// did not end with it, and never the last one; a read is refused. To be called again where commits
    /// fail meanwhile.
    pub fn cut_off(&mut self, now: Timestamp, reason: &str, out: &mut Vec<Effect<W>>) {
        if self.gate == Gate::Ended {
            return;
        }
        let runs = |(address, entity): (&Address, &Entity<W>)| {
            entity.running.is_some().then(|| address.clone())
        };
        for address in self.entities.iter().filter_map(runs).collect::<Vec<_>>() {
            self.cut_off_run(now, &address, reason, out);
        }
        self.close(out);
        self.flush(out);
        self.finish_closing(out);
    }

    fn cut_off_run(
        &mut self,
        now: Timestamp,
        address: &Address,
        reason: &str,
        out: &mut Vec<Effect<W>>,
    ) {
        let Some(entity) = self.entities.get_mut(address) else { return };
        let running = entity.running.take();
        entity.activation = Activation::Inactive;
        out.push(Effect::Passivate(address.clone()));
        match running {
            Some(reads @ Running::Reads(_)) => {
                let reads = reads.into_reads();
                out.extend(reads.map(|read| answer(read.waiter, Err(draining()))));
            }
            Some(Running::Command { message_id, since, .. }) => {
                self.accept_due.remove(&(since.after(self.limits.accept_after), message_id));
                let most = self.limits.most_attempts(&address.entity_type);
                if let Some(message) = self.messages.get_mut(&message_id) {
                    // Whoever waits in the handler is gone with it.
                    message.settling.clear();
                    message.spare(most);
                }
                self.attempt_failed(now, message_id, reason.to_string(), true);
            }
            None => {}
        }
    }
}
