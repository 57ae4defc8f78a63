//! Commits that failed: what they would have written runs again.

use alloc::{string::String, vec::Vec};

use quarry_types::{Address, RefusalCode, Timestamp};

use super::{
    CommitFailure, Effect, Shard,
    attempts::Recorded,
    batch::{Change, Reason, Unit},
    entity::{Activation, Running},
    limits::back_off,
    message::{Acceptance, Copying, Phase},
    shard::{Gate, refused},
};

impl<W> Shard<W> {
    /// The commit `ticket` failed.
    pub fn commit_failed(
        &mut self,
        now: Timestamp,
        ticket: u64,
        failure: CommitFailure,
        out: &mut Vec<Effect<W>>,
    ) {
        let Some((_, units)) = self.in_flight.take_if(|(flying, _)| *flying == ticket) else {
            return;
        };
        let had_closed = self.outbox.not_committed(now);
        match failure {
            CommitFailure::ShardLost => self.give_up(out),
            CommitFailure::Undecided => {
                self.in_flight = Some((ticket, units));
                self.give_up(out);
            }
            CommitFailure::Unavailable(error) => {
                self.alone = 0;
                self.start_over(now, &units, out, |shard, unit, out| {
                    shard.not_written(now, unit, &error, out);
                });
            }
            CommitFailure::Rejected(error) if units.len() == 1 && !had_closed => {
                self.alone = self.alone.saturating_sub(1);
                self.start_over(now, &units, out, |shard, unit, out| {
                    shard.culprit(now, unit, &error, out);
                });
            }
            CommitFailure::Rejected(_) => {
                // One of them is to blame: each runs and is committed by itself until all are through.
                self.alone = units.len();
                self.start_over(now, &units, out, |_, _, _| {});
            }
        }
        self.finish_closing(out);
    }

    /// Drops the activations of all entities in the failed commit and behind it, and puts their
    /// messages back in admitted order; `each` says what becomes of the ones that failed.
    fn start_over(
        &mut self,
        now: Timestamp,
        failed: &[Unit],
        out: &mut Vec<Effect<W>>,
        mut each: impl FnMut(&mut Self, &Unit, &mut Vec<Effect<W>>),
    ) {
        let behind: Vec<Unit> = core::mem::take(&mut self.pending).into();
        self.chunk_bytes = 0;
        let mut touched: Vec<Address> =
            failed.iter().chain(&behind).map(|u| u.address.clone()).collect();
        touched.sort_unstable();
        touched.dedup();
        for address in &touched {
            self.drop_activation(address, out);
        }
        // What was done last is undone first.
        for unit in failed.iter().chain(&behind).rev() {
            self.again(unit);
            self.requeue(unit);
        }
        self.keep_untaken();
        for unit in failed {
            each(self, unit, out);
        }
        for unit in failed.iter().chain(&behind) {
            match self.messages.get(&unit.message_id) {
                Some(m) if m.is_delayed() && m.acceptance == Acceptance::None => {
                    self.accept_delayed(unit.message_id, out);
                }
                Some(m) if m.phase == Phase::Aside => self.act(unit.message_id),
                _ => {}
            }
        }
        for address in touched {
            self.accept_wanted(&address);
            self.schedule(&address, now, out);
        }
        // What left memory with the units that failed may have to be read again.
        self.pump(now, out);
        self.flush(out);
    }

    /// What a shard that closes is to take back, with its next tick: nothing of it begins any more.
    fn keep_untaken(&mut self) {
        if self.gate != Gate::Closing {
            return;
        }
        let recorded = self.messages.iter().filter(|(_, m)| m.recorded == Recorded::Next);
        self.untaken = recorded.map(|(message_id, _)| *message_id).collect();
    }

    /// Puts the message back into its entity's queue, in the order of admission (D3).
    fn requeue(&mut self, unit: &Unit) {
        let queued = self.entities.get(&unit.address).map(|entity| &entity.queue);
        let is_queued = queued.is_none_or(|queue| queue.contains(&unit.message_id));
        let message = self.messages.get(&unit.message_id);
        let has_joined = message.is_some_and(|m| !m.is_delayed() && m.phase != Phase::Aside);
        if has_joined && !is_queued {
            self.put_back(&unit.address, unit.message_id);
        }
    }

    fn drop_activation(&mut self, address: &Address, out: &mut Vec<Effect<W>>) {
        let Some(entity) = self.entities.get_mut(address) else { return };
        // What was to be recorded as the next to run may not be the next any more.
        for message_id in &entity.queue {
            if let Some(message) = self.messages.get_mut(message_id)
                && message.phase == Phase::Recording
                && message.acceptance == Acceptance::None
            {
                message.phase = Phase::Queued;
            }
        }
        let stopped = entity.running.take();
        let held = core::mem::take(&mut entity.held);
        entity.ahead.clear();
        entity.put_back(held.into_iter().map(|held| held.read));
        match stopped {
            Some(reads @ Running::Reads(_)) => entity.put_back(reads.into_reads()),
            Some(Running::Command { message_id, since, .. }) => {
                self.accept_due.remove(&(since.after(self.limits.accept_after), message_id));
                if let Some(message) = self.messages.get_mut(&message_id) {
                    message.phase = Phase::Queued;
                    message.undo_attempt();
                    // What it waits for did not become durable: it must not go on (D1).
                    message.settling.clear();
                    message.stream.stop();
                }
            }
            None => {}
        }
        if entity.activation != Activation::Inactive {
            entity.activation = Activation::Inactive;
            out.push(Effect::Passivate(address.clone()));
        }
    }

    /// The unit was not written because the store is away.
    fn not_written(&mut self, now: Timestamp, unit: &Unit, error: &str, out: &mut Vec<Effect<W>>) {
        if matches!(unit.change, Change::Delay { .. }) {
            let error = refused(RefusalCode::StoreUnavailable, error, Some(500));
            return self.refuse(unit.message_id, &error, out);
        }
        if matches!(unit.change, Change::End { .. } | Change::Redrive) {
            return self.not_acted(now, unit.message_id, error, out);
        }
        self.store_is_away(now, &unit.address, String::from(error), out);
    }

    /// Puts the unit's message back to where it was before the step that was not written.
    fn again(&mut self, unit: &Unit) {
        let Some(message) = self.messages.get_mut(&unit.message_id) else { return };
        if let Phase::BackingOff(due) = message.phase {
            self.due.remove(&(due, unit.message_id));
        }
        if !message.is_delayed() && message.phase != Phase::Aside {
            message.phase = Phase::Queued;
        }
        if unit.is_accept {
            message.acceptance = Acceptance::None;
        }
        match &unit.change {
            // A quarantine that stands anyway undoes no attempt.
            Change::Accept
            | Change::Delay { .. }
            | Change::End { .. }
            | Change::Redrive
            | Change::Quarantine(Reason::Spent) => {}
            Change::Copy => message.copying = Copying::None,
            // The run that made them is gone with the activation; so is its attempt.
            Change::Chunks { first, .. } => message.stream.undo(*first),
            Change::Attempt => message.unrecord(),
            // The store says that it began.
            Change::TakeBack => {
                message.begin_recorded();
                message.needs_recording = false;
            }
            Change::Retry { .. } | Change::Quarantine(Reason::Failed) => {
                message.undo_attempt();
                message.errors.pop();
            }
            Change::Finish { .. } => message.undo_attempt(),
        }
        if matches!(unit.change, Change::Quarantine(_)) {
            self.forget_aside(&unit.address);
        }
    }

    /// This unit alone breaks a rule of the store. Without a row it is refused. With one, an outcome
    /// that cannot be stored counts as a failed attempt; anything else is tried again later.
    fn culprit(&mut self, now: Timestamp, unit: &Unit, error: &str, out: &mut Vec<Effect<W>>) {
        if matches!(unit.change, Change::End { .. } | Change::Redrive) {
            return self.not_acted(now, unit.message_id, error, out);
        }
        self.untaken.remove(&unit.message_id);
        let Some(message) = self.messages.get_mut(&unit.message_id) else { return };
        if unit.is_alone() {
            self.attempt_failed(now, unit.message_id, String::from(error), false);
        } else if !matches!(message.acceptance, Acceptance::Stored(_)) {
            let error = refused(RefusalCode::StoreUnavailable, error, Some(1_000));
            self.refuse(unit.message_id, &error, out);
        } else if matches!(unit.change, Change::Finish { .. } | Change::Chunks { .. }) {
            self.attempt_failed(now, unit.message_id, String::from(error), false);
        } else {
            // Not even the failure could be stored: it counts, and its texts are let go.
            let is_failure =
                matches!(unit.change, Change::Retry { .. } | Change::Quarantine(Reason::Failed));
            if is_failure {
                message.begin_attempt();
                message.errors = alloc::vec![String::from("an error could not be stored")];
            }
            let due = now.after(back_off(message.attempts.max(1)));
            message.phase = Phase::BackingOff(due);
            self.due.insert((due, unit.message_id));
        }
    }
}
