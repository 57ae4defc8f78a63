//! Commits: what goes into one, and what follows from its end.

use alloc::{collections::BTreeMap, string::String, sync::Arc, vec::Vec};

use quarry_types::{
    Address, Answer, MessageId, Outcome, RefusalCode, ReplyMode, Sequence, Timestamp,
};

use super::{
    Accept, Batch, ChunkRecord, CommitFailure, Effect, Finish, OpenRecord, OpenRecordState, Shard,
    admit::quarantined,
    batch::{Change, Unit},
    entity::Activation,
    limits::back_off,
    message::{Acceptance, Message, Phase, Waiting},
    shard::{Check, Gate, answer, refused},
};

impl<W> Shard<W> {
    /// Starts a commit of what is ready, unless one is in flight.
    pub(super) fn flush(&mut self, out: &mut Vec<Effect<W>>) {
        if self.in_flight.is_some() || self.pending.is_empty() || self.gate == Gate::Ended {
            return;
        }
        let units = self.take_units();
        self.tickets += 1;
        let batch = self.batch_of(&units);
        self.in_flight = Some((self.tickets, units));
        out.push(Effect::Commit(batch));
    }

    fn take_units(&mut self) -> Vec<Unit> {
        let most = if self.alone > 0 { 1 } else { self.limits.batch_messages };
        let mut bytes = 0;
        let mut units = Vec::new();
        while let Some(unit) = self.pending.front().filter(|_| units.len() < most) {
            let payload =
                self.messages.get(&unit.message_id).map_or(0, |m| m.envelope.payload.len());
            bytes += unit.bytes(payload);
            if bytes > self.limits.batch_bytes && !units.is_empty() {
                break;
            }
            units.extend(self.pending.pop_front());
        }
        units
    }

    fn batch_of(&self, units: &[Unit]) -> Batch {
        let mut batch =
            Batch { ticket: self.tickets, low_water: self.low_water(), ..Batch::default() };
        let mut states = BTreeMap::new();
        for unit in units {
            let Some(message) = self.messages.get(&unit.message_id) else { continue };
            if unit.is_accept {
                let envelope = Arc::clone(&message.envelope);
                batch.accepts.push(Accept { envelope, accepted_at: message.accepted_at });
            }
            match &unit.change {
                Change::Accept => {}
                Change::Chunks { first, chunks } => batch.chunks.push(ChunkRecord {
                    message_id: unit.message_id,
                    address: unit.address.clone(),
                    first: *first,
                    chunks: chunks.clone(),
                }),
                Change::Attempt => {
                    batch.open.push(open_record(message, message.accepted_at, false));
                }
                Change::Retry { due } => batch.open.push(open_record(message, *due, false)),
                Change::Quarantine => {
                    batch.open.push(open_record(message, message.accepted_at, true));
                }
                Change::Finish { outcome, state } => {
                    let (message_id, attempts) = (unit.message_id, message.attempts);
                    batch.finishes.push(Finish { message_id, outcome: outcome.clone(), attempts });
                    if let Some(state) = state {
                        states.insert(unit.address.clone(), state.clone());
                    }
                }
            }
        }
        // One open row per message: the newest stands for what came before it in the same commit.
        let mut seen = alloc::collections::BTreeSet::new();
        batch.open.reverse();
        batch.open.retain(|record| seen.insert(record.envelope.message_id));
        batch.open.reverse();
        let finished: alloc::collections::BTreeSet<MessageId> =
            batch.finishes.iter().map(|finish| finish.message_id).collect();
        batch.open.retain(|record| !finished.contains(&record.envelope.message_id));
        batch.states = states.into_iter().collect();
        batch
    }

    fn low_water(&self) -> Sequence {
        match self.unfinished.first() {
            Some(((sequence, _), _)) => Sequence(sequence.0.saturating_sub(1)).min(self.committed),
            None => self.committed,
        }
    }

    /// The commit `ticket` is durable as number `sequence`; its first message has `first_ordinal`.
    pub fn committed(
        &mut self,
        now: Timestamp,
        ticket: u64,
        sequence: Sequence,
        first_ordinal: u32,
        out: &mut Vec<Effect<W>>,
    ) {
        let Some((_, units)) = self.in_flight.take_if(|(flying, _)| *flying == ticket) else {
            return;
        };
        self.committed = sequence;
        self.alone = self.alone.saturating_sub(1);
        let mut ordinal = first_ordinal;
        let mut touched = Vec::new();
        for unit in units {
            let position = (sequence, ordinal);
            if unit.is_accept {
                ordinal += 1;
                self.is_accepted(unit.message_id, position, out);
            }
            self.is_durable(&unit, out);
            if touched.last() != Some(&unit.address) {
                touched.push(unit.address);
            }
        }
        for address in touched {
            self.tell_settled(&address, out);
            self.schedule(&address, now, out);
        }
        self.flush(out);
        self.finish_closing(out);
    }

    fn is_accepted(
        &mut self,
        message_id: MessageId,
        position: (Sequence, u32),
        out: &mut Vec<Effect<W>>,
    ) {
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        message.acceptance = Acceptance::Stored(position);
        self.unfinished.insert((position, message_id));
        let (accepted, rest): (Vec<_>, Vec<_>) = core::mem::take(&mut message.waiting)
            .into_iter()
            .partition(|waiting| waiting.mode == ReplyMode::Accepted);
        message.waiting = rest;
        for waiting in accepted {
            let replayed = waiting.is_replay;
            out.push(answer(waiting.waiter, Ok(Answer::Accepted { message_id, replayed })));
        }
    }

    fn is_durable(&mut self, unit: &Unit, out: &mut Vec<Effect<W>>) {
        let message_id = unit.message_id;
        match &unit.change {
            Change::Accept => {}
            Change::Chunks { first, chunks } => {
                let end = first.saturating_add(u64::try_from(chunks.len()).unwrap_or(u64::MAX));
                self.chunks_are_durable(message_id, end, out);
            }
            Change::Attempt => {
                if let Some(message) = self.messages.get_mut(&message_id) {
                    message.needs_recording = false;
                    if message.phase == Phase::Recording {
                        message.phase = Phase::Queued;
                    }
                    Self::leave_log(&mut self.unfinished, message_id, message);
                }
            }
            Change::Retry { .. } => {
                if let Some(message) = self.messages.get_mut(&message_id) {
                    Self::leave_log(&mut self.unfinished, message_id, message);
                }
            }
            Change::Quarantine => {
                for waiting in self.end(message_id, out) {
                    out.push(answer(waiting.waiter, Err(quarantined(message_id))));
                }
            }
            Change::Finish { outcome, .. } => self.is_finished(unit, outcome, out),
        }
    }

    /// The message's open row stands: the low-water mark may pass its row in the log.
    fn leave_log(
        unfinished: &mut alloc::collections::BTreeSet<((Sequence, u32), MessageId)>,
        message_id: MessageId,
        message: &Message<W>,
    ) {
        if let Acceptance::Stored(position) = message.acceptance {
            unfinished.remove(&(position, message_id));
        }
    }

    /// The message is over: its readers are told; who waits for the outcome is returned.
    fn end(&mut self, message_id: MessageId, out: &mut Vec<Effect<W>>) -> Vec<Waiting<W>> {
        let Some(message) = self.forget(message_id) else { return Vec::new() };
        out.extend(message.stream.readers.into_iter().map(|(reader, _)| Effect::Readable(reader)));
        message.waiting
    }

    fn is_finished(&mut self, unit: &Unit, outcome: &Outcome, out: &mut Vec<Effect<W>>) {
        let message_id = unit.message_id;
        for waiting in self.end(message_id, out) {
            let replayed = waiting.is_replay;
            let outcome = outcome.clone();
            out.push(answer(waiting.waiter, Ok(Answer::Handled { message_id, outcome, replayed })));
        }
        let Some(entity) = self.entities.get_mut(&unit.address) else { return };
        entity.ahead.retain(|id| *id != message_id);
        let (free, held): (Vec<_>, Vec<_>) = core::mem::take(&mut entity.held)
            .into_iter()
            .partition(|held| held.after == message_id);
        entity.held = held;
        for held in free {
            let check = Check::of_read(held.read.is_current);
            out.push(Effect::Answer { waiter: held.read.waiter, result: held.result, check });
        }
    }

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
            CommitFailure::Rejected(error) if units.len() == 1 => {
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
        for address in touched {
            self.accept_wanted(&address);
            self.schedule(&address, now, out);
        }
        self.flush(out);
    }

    /// Puts the message back into its entity's queue, in the order of admission (D3).
    fn requeue(&mut self, unit: &Unit) {
        let Some(entity) = self.entities.get_mut(&unit.address) else { return };
        if entity.queue.contains(&unit.message_id) || !self.messages.contains_key(&unit.message_id)
        {
            return;
        }
        let order = |id: &MessageId| self.messages.get(id).map(|m| m.admitted);
        let place = order(&unit.message_id);
        let at = entity.queue.partition_point(|id| order(id) < place);
        entity.queue.insert(at, unit.message_id);
    }

    fn drop_activation(&mut self, address: &Address, out: &mut Vec<Effect<W>>) {
        let Some(entity) = self.entities.get_mut(address) else { return };
        let stopped = entity.running.take();
        let held = core::mem::take(&mut entity.held);
        entity.ahead.clear();
        for held in held.into_iter().rev() {
            entity.reads.push_front(held.read);
        }
        match stopped {
            Some(super::entity::Running::Read { read, .. }) => entity.reads.push_front(read),
            Some(super::entity::Running::Command { message_id, since, .. }) => {
                self.accept_due.remove(&(since.after(self.limits.accept_after), message_id));
                if let Some(message) = self.messages.get_mut(&message_id) {
                    message.phase = Phase::Queued;
                    message.attempts = message.attempts.saturating_sub(1);
                    out.extend(message.settling.drain(..).map(Effect::Settled));
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
        self.store_is_away(now, &unit.address, String::from(error), out);
    }

    /// Puts the unit's message back to where it was before the step that was not written.
    fn again(&mut self, unit: &Unit) {
        let Some(message) = self.messages.get_mut(&unit.message_id) else { return };
        if let Phase::BackingOff(due) = message.phase {
            self.due.remove(&(due, unit.message_id));
        }
        message.phase = Phase::Queued;
        if unit.is_accept {
            message.acceptance = Acceptance::None;
        }
        match &unit.change {
            Change::Accept => {}
            // The run that made them is gone with the activation; so is its attempt.
            Change::Chunks { first, .. } => message.stream.undo(*first),
            Change::Attempt => {
                message.attempts = message.attempts.saturating_sub(1);
                message.is_attempt_recorded = false;
                message.needs_recording = true;
            }
            Change::Retry { .. } | Change::Quarantine => {
                message.attempts = message.attempts.saturating_sub(1);
                message.errors.pop();
            }
            Change::Finish { .. } => message.attempts = message.attempts.saturating_sub(1),
        }
    }

    /// This unit alone breaks a rule of the store. Without a row it is refused. With one, an outcome
    /// that cannot be stored counts as a failed attempt; anything else is tried again later.
    fn culprit(&mut self, now: Timestamp, unit: &Unit, error: &str, out: &mut Vec<Effect<W>>) {
        let Some(message) = self.messages.get_mut(&unit.message_id) else { return };
        if !matches!(message.acceptance, Acceptance::Stored(_)) {
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

impl<W> Shard<W> {
    /// An entity's next message that may have been run before begins its attempt only after the
    /// attempt's number is committed: with its row where it has none yet.
    pub(super) fn record_front(&mut self, address: &Address) {
        let front = self.entities.get(address).and_then(|entity| entity.queue.front().copied());
        let Some(message_id) = front else { return };
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        if message.phase != Phase::Queued || !message.needs_recording || self.gate != Gate::Open {
            return;
        }
        match message.acceptance {
            Acceptance::Pending => {}
            Acceptance::None => {
                message.phase = Phase::Recording;
                message.wants_acceptance = true;
                self.accept_wanted(address);
            }
            Acceptance::Stored(_) => {
                message.phase = Phase::Recording;
                message.attempts += 1;
                message.is_attempt_recorded = true;
                let (address, change) = (address.clone(), Change::Attempt);
                self.pending.push_back(Unit { message_id, address, is_accept: false, change });
            }
        }
    }

    /// Tells `waiter` once the running message's row and every state that its handler saw are
    /// durable: before that, no outside effect may be made. Gives the waiter back where the run is
    /// over.
    ///
    /// # Errors
    /// The waiter, unused.
    pub fn settle(
        &mut self,
        address: &Address,
        run: super::RunId,
        waiter: W,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), W> {
        let running = self.entities.get(address).and_then(|entity| entity.running.as_ref());
        let Some(super::entity::Running::Command { run: present, message_id, .. }) = running else {
            return Err(waiter);
        };
        let message_id = *message_id;
        if *present != run {
            return Err(waiter);
        }
        let Some(message) = self.messages.get_mut(&message_id) else { return Err(waiter) };
        message.settling.push(waiter);
        message.wants_acceptance = true;
        self.accept_wanted(address);
        self.tell_settled(address, out);
        self.flush(out);
        Ok(())
    }

    fn tell_settled(&mut self, address: &Address, out: &mut Vec<Effect<W>>) {
        let Some(entity) = self.entities.get(address).filter(|entity| entity.ahead.is_empty())
        else {
            return;
        };
        let Some(super::entity::Running::Command { message_id, .. }) = &entity.running else {
            return;
        };
        let Some(message) = self.messages.get_mut(message_id) else { return };
        if matches!(message.acceptance, Acceptance::Stored(_)) {
            out.extend(core::mem::take(&mut message.settling).into_iter().map(Effect::Settled));
        }
    }
}

fn open_record<W>(message: &Message<W>, due: Timestamp, is_quarantine: bool) -> OpenRecord {
    let position = match message.acceptance {
        Acceptance::Stored(position) => Some(position),
        Acceptance::None | Acceptance::Pending => None,
    };
    OpenRecord {
        envelope: Arc::clone(&message.envelope),
        accepted_at: message.accepted_at,
        position,
        attempts: message.attempts,
        due,
        state: if is_quarantine { OpenRecordState::Quarantined } else { OpenRecordState::Waiting },
        errors: message.errors.clone(),
    }
}
