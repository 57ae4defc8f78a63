//! Commits: what goes into one, and what follows once it is durable.

use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};

use quarry_types::{Answer, MessageId, Outcome, ReplyMode, Sequence, Timestamp};

use super::{
    Accept, Batch, ChunkRecord, Effect, Finish, OpenRecord, OpenRecordState, Shard,
    admit::quarantined,
    backlog::before,
    batch::{Change, Unit},
    emit::length,
    message::{Acceptance, Copying, Message, Phase, Standing, Turn, Waiting},
    shard::{Check, Gate, answer},
    suspect::Suspicion,
};

impl<W> Shard<W> {
    /// Starts a commit of what is ready, unless one is in flight.
    pub(super) fn flush(&mut self, out: &mut Vec<Effect<W>>) {
        if self.gate == Gate::Ended {
            return;
        }
        self.end_marked();
        self.pass_turn_on(out);
        if self.in_flight.is_some() {
            return;
        }
        self.accept_all_wanted();
        if self.pending.is_empty() && !self.outbox.is_pressing() {
            return;
        }
        // What stands so stays so, whatever comes into memory again.
        self.low_water = self.low_water();
        let units = self.take_units();
        self.tickets += 1;
        let mut batch = self.batch_of(&units);
        // A commit of one suspect, or with statements of a handler, holds nothing else.
        let is_alone = self.alone > 0 || !batch.statements.is_empty();
        let most = if is_alone && !units.is_empty() { 0 } else { self.limits.batch_messages };
        batch.closed = self.outbox.begin_commit(batch.sends.clone(), most);
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
            let (is_alone, unit_bytes) = (unit.is_alone(), unit.chunk_bytes());
            if (bytes > self.limits.batch_bytes || is_alone) && !units.is_empty() {
                break;
            }
            self.chunk_bytes = self.chunk_bytes.saturating_sub(unit_bytes);
            units.extend(self.pending.pop_front());
            if is_alone {
                break;
            }
        }
        units
    }

    fn batch_of(&self, units: &[Unit]) -> Batch {
        let mut batch =
            Batch { ticket: self.tickets, low_water: self.low_water, ..Batch::default() };
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
                Change::Delay { until } => {
                    batch.open.push(open_record(message, *until, OpenRecordState::Delayed));
                }
                Change::Copy | Change::Attempt | Change::TakeBack | Change::Redrive => {
                    let waiting = OpenRecordState::Waiting;
                    batch.open.push(open_record(message, message.accepted_at, waiting));
                }
                Change::Retry { due } => {
                    batch.retries += 1;
                    batch.open.push(open_record(message, *due, OpenRecordState::Waiting));
                }
                Change::Quarantine(_) => {
                    batch.quarantined += 1;
                    let quarantined = OpenRecordState::Quarantined;
                    batch.open.push(open_record(message, message.accepted_at, quarantined));
                }
                Change::End { failure } => {
                    let outcome = Outcome::Failure(failure.clone());
                    batch.finishes.push(self.finish_of(unit, message, outcome));
                }
                Change::Finish { outcome, state, sends, statements } => {
                    batch.finishes.push(self.finish_of(unit, message, outcome.clone()));
                    batch.sends.extend(sends.iter().cloned());
                    batch.statements.extend(statements.iter().cloned());
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

    fn finish_of(&self, unit: &Unit, message: &Message<W>, outcome: Outcome) -> Finish {
        let (message_id, attempts) = (unit.message_id, message.attempts);
        let retention = self.limits.of(&unit.address.entity_type).retention;
        let (outcome, keep) = (message.kept(outcome), message.envelope.keep);
        Finish { message_id, outcome, attempts, retention, keep }
    }

    fn low_water(&self) -> Sequence {
        let first = self.unfinished.first().map(|((sequence, _), _)| before(*sequence));
        let held = first.into_iter().chain(self.backlog.floor());
        held.fold(self.committed, Sequence::min).max(self.low_water)
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
        self.outbox.committed(sequence);
        self.alone = self.alone.saturating_sub(1);
        let mut ordinal = first_ordinal;
        let mut touched = Vec::new();
        for unit in units {
            let position = (sequence, ordinal);
            if unit.is_accept {
                ordinal += 1;
                self.is_accepted(unit.message_id, position, out);
            }
            self.is_durable(now, &unit, out);
            if unit.is_accept {
                self.leave_if_full(now, unit.message_id);
            }
            if touched.last() != Some(&unit.address) {
                touched.push(unit.address);
            }
        }
        for address in touched {
            self.tell_settled(&address, out);
            self.schedule(&address, now, out);
        }
        self.pump(now, out);
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
        if message.standing == Standing::InLine {
            message.order.1 = Turn::Stored(position);
        }
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

    fn is_durable(&mut self, now: Timestamp, unit: &Unit, out: &mut Vec<Effect<W>>) {
        let message_id = unit.message_id;
        match &unit.change {
            Change::Accept => {}
            Change::TakeBack => {
                if let Some(message) = self.messages.get_mut(&message_id) {
                    message.is_taken_back();
                }
            }
            Change::Chunks { first, chunks } => {
                let end = first.saturating_add(length(chunks));
                self.chunks_are_durable(message_id, end, out);
            }
            Change::Copy => {
                if let Some(message) = self.messages.get_mut(&message_id) {
                    message.copying = Copying::None;
                    Self::leave_log(&mut self.unfinished, message_id, message);
                }
                self.leave_copied(message_id);
            }
            Change::Attempt => {
                if let Some(message) = self.messages.get_mut(&message_id) {
                    message.needs_recording = false;
                    if message.phase == Phase::Recording {
                        message.phase = Phase::Queued;
                    }
                    Self::leave_log(&mut self.unfinished, message_id, message);
                }
                if self.gate == Gate::Closing {
                    self.take_back(message_id);
                }
            }
            Change::Delay { .. } | Change::Retry { .. } => {
                if let Some(message) = self.messages.get_mut(&message_id) {
                    message.suspicion = Suspicion::None;
                    message.end_is_recorded();
                    Self::leave_log(&mut self.unfinished, message_id, message);
                }
                if matches!(unit.change, Change::Delay { .. }) {
                    self.is_delayed(message_id, out);
                }
            }
            Change::Quarantine(_) => {
                for waiting in self.end(message_id, out) {
                    out.push(answer(waiting.waiter, Err(quarantined(message_id))));
                }
            }
            Change::Redrive => self.is_redriven(now, message_id, out),
            Change::End { failure } => {
                self.forget_aside(&unit.address);
                self.is_finished(unit, &Outcome::Failure(failure.clone()), out);
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
        let outcome = outcome.clone();
        let outcome = match self.messages.get(&message_id) {
            Some(message) => message.kept(outcome),
            None => outcome,
        };
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
}

fn open_record<W>(message: &Message<W>, due: Timestamp, state: OpenRecordState) -> OpenRecord {
    let position = match message.acceptance {
        Acceptance::Stored(position) => Some(position),
        Acceptance::None | Acceptance::Pending => None,
    };
    OpenRecord {
        envelope: Arc::clone(&message.envelope),
        accepted_at: message.accepted_at,
        position,
        attempts: message.attempts,
        lost: message.lost,
        due,
        state,
        errors: message.errors.clone(),
    }
}
