//! Commits that failed: what they would have written runs again.

use alloc::{string::String, vec::Vec};

use quarry_types::{Address, RefusalCode, Timestamp};

use super::{
    CommitFailure, Effect, Shard,
    batch::{Change, Unit},
    entity::{Activation, Running},
    limits::back_off,
    message::{Acceptance, Phase},
    shard::refused,
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
        let mut touched: Vec<Address> =
            failed.iter().chain(&behind).map(|u| u.address.clone()).collect();
        touched.sort_unstable();
        touched.dedup();
        for address in &touched {
            self.drop_activation(address, out);
        }
        for unit in failed.iter().chain(&behind) {
            self.again(unit);
            self.requeue(unit);
        }
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
        self.flush(out);
    }

    /// Puts the message back into its entity's queue, in the order of admission (D3).
    fn requeue(&mut self, unit: &Unit) {
        let queued = self.entities.get(&unit.address).map(|entity| &entity.queue);
        let is_queued = queued.is_none_or(|queue| queue.contains(&unit.message_id));
        let message = self.messages.get(&unit.message_id);
        let has_joined = message.is_some_and(|m| !m.is_delayed() && m.phase != Phase::Aside);
        if has_joined && !is_queued {
            self.enqueue(&unit.address, unit.message_id);
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
                    message.attempts = message.attempts.saturating_sub(1);
                    // What it waits for did not become durable: it must not go on (D1).
                    message.settling.clear();
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
            Change::Accept | Change::Delay { .. } | Change::End { .. } | Change::Redrive => {}
            // The run that made them is gone with the activation; so is its attempt.
            Change::Chunks { first, .. } => message.stream.undo(*first),
            Change::Attempt => {
                message.unrecord();
                message.needs_recording = true;
            }
            Change::Retry { .. } | Change::Quarantine => {
                message.attempts = message.attempts.saturating_sub(1);
                message.errors.pop();
                if matches!(unit.change, Change::Quarantine) {
                    self.forget_aside(&unit.address);
                }
            }
            Change::Finish { .. } => message.attempts = message.attempts.saturating_sub(1),
        }
    }

    /// This unit alone breaks a rule of the store. Without a row it is refused. With one, an outcome
    /// that cannot be stored counts as a failed attempt; anything else is tried again later.
    fn culprit(&mut self, now: Timestamp, unit: &Unit, error: &str, out: &mut Vec<Effect<W>>) {
        if matches!(unit.change, Change::End { .. } | Change::Redrive) {
            return self.not_acted(now, unit.message_id, error, out);
        }
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
            let is_failure = matches!(unit.change, Change::Retry { .. } | Change::Quarantine);
            message.attempts += u32::from(is_failure);
            message.errors = alloc::vec![String::from("an error could not be stored")];
            let due = now.after(back_off(message.attempts.max(1)));
            message.phase = Phase::BackingOff(due);
            self.due.insert((due, unit.message_id));
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use bytes::Bytes;
    use quarry_types::{Envelope, ReplyMode, Statement};

    use super::{
        super::{
            Ran,
            tests::{
                NOW, activate, address, admit, batch_of, committed, done, message, run_of, shard,
            },
        },
        *,
    };

    #[test]
    fn the_attempt_of_a_message_is_not_recorded_once_it_stands_behind_others_again() {
        let mut shard = shard();
        let one_way = |id, key| Envelope { reply: ReplyMode::Accepted, ..message(id, key) };
        let ticket = batch_of(&admit(&mut shard, one_way("c1", "k1"), 1)).ticket;
        let first = run_of(&activate(&mut shard, "c1")).run;
        admit(&mut shard, one_way("c2", "k2"), 2);
        let resent = Envelope { send_count: 1, ..one_way("c1", "k3") };
        let behind = resent.message_id;
        admit(&mut shard, resent, 3);
        done(&mut shard, "c1", first);
        let ticket = batch_of(&committed(&mut shard, ticket, 1)).ticket;
        let mut out = Vec::new();
        shard.looked_up(NOW, behind, Ok(None), &mut out);
        assert!(out.is_empty(), "the first of its queue waits for the commit that is in flight");
        let rejected = CommitFailure::Rejected("no".into());
        shard.commit_failed(NOW, ticket, rejected, &mut out);
        let recorded: Vec<_> = batch_of(&out).open;
        assert!(recorded.is_empty(), "the first one's outcome was not written: {recorded:?}");
    }

    #[test]
    fn the_statements_of_a_handler_are_committed_alone_and_fail_its_attempt_alone() {
        let mut shard = shard();
        for id in ["c1", "c2", "c3"] {
            admit(&mut shard, message(id, id), 1);
        }
        let runs = ["c1", "c2", "c3"].map(|id| run_of(&activate(&mut shard, id)).run);
        let first = batch_of(&done(&mut shard, "c1", runs[0])).ticket;
        let statements = vec![Statement::new("delete from orders", vec![]).unwrap()];
        let result = Ran::Done { reply: Bytes::new(), state: None, sends: vec![], statements };
        let mut out = Vec::new();
        shard.ran(NOW, &address("c2"), runs[1], result, &mut out);
        done(&mut shard, "c3", runs[2]);
        let alone = batch_of(&committed(&mut shard, first, 1));
        assert_eq!(
            (alone.finishes.len(), alone.statements.len()),
            (1, 1),
            "in a commit of its own"
        );
        let mut out = Vec::new();
        let rejected = CommitFailure::Rejected("statement 1 of the transaction: no".into());
        shard.commit_failed(NOW, alone.ticket, rejected, &mut out);
        let next = batch_of(&out);
        assert!(next.statements.is_empty());
        assert!(next.open.iter().any(|open| open.errors == ["statement 1 of the transaction: no"]));
    }
}
