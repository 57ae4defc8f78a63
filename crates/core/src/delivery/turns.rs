//! Turns: commands of an entity run one by one, queries side by side, in the order in which they came.
//!
//! A query waits for every command that came before it, and a command for every query, so neither
//! overtakes what its client sent before (G4), and neither starves: a command that waits for its turn
//! keeps later queries from beginning. What the first command waits for may also be a time, room, a
//! page of the store, the turn of the process, or an earlier message that was set aside; then queries
//! go on, and see what stands. Only a suspect that they kept from using the turn is waited for.

use alloc::{sync::Arc, vec::Vec};

use quarry_types::{Address, MessageId, Timestamp};

use super::{
    Effect, RunId, RunKind, Shard, Work,
    entity::{Entity, ReadRun, Running},
    message::Phase,
    suspect::Suspicion,
};

/// The first command of an entity's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Front {
    /// There is none, or it waits for what may take long: nobody waits for it.
    Absent,
    /// It came then, and runs soon: it waits for the store.
    Near(u64),
    /// It came then, and may run.
    Ready(u64, MessageId),
}

/// Who begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Nobody,
    Command(MessageId),
    /// The first so many queries.
    Reads(usize),
}

/// Who begins beside `running` queries, where `waiting` says when those that wait came, in order, and
/// at most `most` may run.
pub(super) fn next(
    front: Front,
    running: usize,
    waiting: impl IntoIterator<Item = u64>,
    most: usize,
) -> Next {
    let before = match front {
        Front::Absent => u64::MAX,
        Front::Near(came) | Front::Ready(came, _) => came,
    };
    let mut earlier = waiting.into_iter().take_while(|came| *came < before).peekable();
    let is_command = running == 0 && earlier.peek().is_none();
    match front {
        Front::Ready(_, message_id) if is_command => Next::Command(message_id),
        Front::Absent | Front::Near(_) | Front::Ready(..) => {
            match earlier.take(most.max(1).saturating_sub(running)).count() {
                0 => Next::Nobody,
                count => Next::Reads(count),
            }
        }
    }
}

impl<W> Shard<W> {
    /// Who of the entity begins next.
    pub(super) fn next_turn(&self, address: &Address, entity: &Entity<W>) -> Next {
        let most = self.limits.of(&address.entity_type).concurrency;
        let waiting = entity.reads.iter().map(|read| read.came);
        next(self.front_of(address, entity), entity.readers(), waiting, most)
    }

    fn front_of(&self, address: &Address, entity: &Entity<W>) -> Front {
        let Some(message_id) = entity.queue.front() else { return Front::Absent };
        let Some(message) = self.messages.get(message_id) else { return Front::Absent };
        // Whose key is asked for, or whose attempt is being recorded, waits for the store alone.
        let is_asked = matches!(message.phase, Phase::Checking | Phase::Recording);
        let is_far = !is_asked
            && (matches!(message.phase, Phase::BackingOff(_))
                || !self.is_next_known(address)
                || !self.outbox.has_room(address)
                || !(self.may_begin(*message_id) || message.suspicion == Suspicion::Hindered)
                || self.is_held(address));
        let is_ready = message.phase == Phase::Queued
            && self.may_begin(*message_id)
            && self.goes_on(address)
            && !message.needs_recording
            && message.end.is_none()
            && entity.ahead.len() < self.limits.ahead;
        match (is_far, is_ready) {
            (true, _) => Front::Absent,
            (false, true) => Front::Ready(message.came, *message_id),
            (false, false) => Front::Near(message.came),
        }
    }

    /// Whether no query runs beside the command, or has its turn before it.
    pub(super) fn is_unhindered(&self, message_id: MessageId) -> bool {
        let Some(message) = self.messages.get(&message_id) else { return false };
        let entity = self.entities.get(&message.envelope.address);
        entity.is_none_or(|entity| {
            let first = entity.reads.front().map_or(u64::MAX, |read| read.came);
            entity.readers() == 0 && first > message.came
        })
    }

    /// Hands the first `count` queries that wait to the entity's actor.
    pub(super) fn run_reads(
        &mut self,
        address: &Address,
        count: usize,
        now: Timestamp,
        out: &mut Vec<Effect<W>>,
    ) {
        let Some(entity) = self.entities.get_mut(address) else { return };
        let mut reads = match entity.running.take() {
            Some(Running::Reads(reads)) => reads,
            other => {
                debug_assert!(other.is_none(), "a query never runs beside a command");
                Vec::with_capacity(count)
            }
        };
        for read in entity.reads.drain(..count.min(entity.reads.len())) {
            self.runs += 1;
            let run = RunId(self.runs);
            let envelope = Arc::clone(&read.envelope);
            reads.push(ReadRun { run, read, since: now });
            let kind = RunKind::Read;
            let work = Work { run, kind, envelope, attempt: 1, queued_since: None, repeats: false };
            out.push(Effect::Run(address.clone(), work));
        }
        entity.running = Some(Running::Reads(reads));
    }
}
