//! Suspects: messages of which two attempts in a row ended with their process.
//!
//! When a process ends, each of the messages that ran in it may be to blame. The number of the
//! attempts of a message that began since one ended by itself is recorded before an attempt begins,
//! so the next owner knows it. Suspects run one at a time per process: each asks for the turn of the
//! process before its attempt is recorded, so that one which ends its process then did so alone among
//! them. A process may end for reasons of its own just then, and take an innocent message with it: only
//! when that happens twice is the message quarantined. One that ends by itself, however, is cleared: an
//! innocent message is only held up.
//!
//! Who has the turn begins at once, or gives it back. One that queries of its entity keep from beginning
//! asks again when the last of them has ended; later ones wait for it then, as for any command, so that
//! it begins when the turn comes next. A query that never ends holds up its entity, and no other.

use alloc::vec::Vec;

use quarry_types::{Address, MessageId, Timestamp};

use super::{
    Effect, Shard,
    attempts::Recorded,
    batch::{Change, Reason, Unit},
    message::Phase,
    shard::Gate,
};

/// So many attempts in a row that ended with their process make a message a suspect.
const SUSPECT: u32 = 2;

/// So many more, for each of which it had the turn, quarantine it.
const ALONE: u32 = 2;

/// Whether a message ended the processes of owners before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suspicion {
    /// There is none.
    None,
    /// It may have: it runs only while it has the turn of its process.
    Suspect,
    /// The same, and when it had the turn, queries kept it from beginning: later ones wait for it.
    Hindered,
    /// It had the turn whenever its process ended of late: it does not run.
    Guilty,
}

impl Suspicion {
    /// Of a message of which the last `lost` attempts in a row ended with their process.
    pub(super) const fn of(lost: u32) -> Self {
        if lost < SUSPECT {
            Self::None
        } else if lost < SUSPECT + ALONE {
            Self::Suspect
        } else {
            Self::Guilty
        }
    }
}

/// The shard's part in the turn of its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProcessTurn {
    /// None.
    Free,
    /// Asked for.
    Asked,
    /// It has it, for this message.
    Of(MessageId),
}

impl<W> Shard<W> {
    /// Whether the message is no suspect, or has the turn.
    pub(super) fn may_begin(&self, message_id: MessageId) -> bool {
        let suspicion = self.messages.get(&message_id).map(|message| message.suspicion);
        suspicion == Some(Suspicion::None) || self.process_turn == ProcessTurn::Of(message_id)
    }

    /// Whether the message has no attempt left, or is known to end its process: it waits for its
    /// quarantine, and for nothing else.
    pub(super) fn is_spent(&self, message_id: MessageId) -> bool {
        let Some(message) = self.messages.get(&message_id) else { return false };
        let most = self.limits.most_attempts(&message.envelope.address.entity_type);
        // One that is recorded and not begun is counted already, and may be the last.
        let has_none = message.attempts >= most && message.recorded != Recorded::Next;
        let is_guilty = message.suspicion == Suspicion::Guilty;
        message.phase == Phase::Queued && message.end.is_none() && (has_none || is_guilty)
    }

    fn front(&self, address: &Address) -> Option<MessageId> {
        self.entities.get(address)?.queue.front().copied()
    }

    /// The entity's next message, where it is a suspect that could run if it had the turn.
    fn next_suspect(&self, address: &Address) -> Option<MessageId> {
        let message_id = self.front(address)?;
        let message = self.messages.get(&message_id)?;
        let is_next = matches!(message.suspicion, Suspicion::Suspect | Suspicion::Hindered)
            && message.phase == Phase::Queued
            && message.end.is_none();
        let can_run = self.gate == Gate::Open
            && !self.is_paused
            && self.is_next_known(address)
            && self.outbox.has_room(address)
            && self.goes_on(address);
        (is_next && can_run).then_some(message_id)
    }

    /// Asks for the turn of the process where the entity's next message needs it. Whose quarantine
    /// was not written is set aside again.
    pub(super) fn want_turn(&mut self, address: &Address, out: &mut Vec<Effect<W>>) {
        while let Some(spent) = self.front(address).filter(|id| self.is_spent(*id)) {
            self.set_aside(spent, false, Reason::Spent);
        }
        let Some(message_id) = self.next_suspect(address) else { return };
        if self.process_turn == ProcessTurn::Of(message_id) {
            return;
        }
        let suspicion = self.messages.get(&message_id).map(|message| message.suspicion);
        // The end of the last query before it wakes it.
        if suspicion == Some(Suspicion::Hindered) && !self.is_unhindered(message_id) {
            return;
        }
        self.suspects.insert(address.clone());
        if self.process_turn == ProcessTurn::Free {
            self.process_turn = ProcessTurn::Asked;
            out.push(Effect::AskTurn);
        }
    }

    /// The shard has the turn of its process until [`Effect::EndTurn`].
    pub fn turn_given(&mut self, now: Timestamp, out: &mut Vec<Effect<W>>) {
        if self.process_turn != ProcessTurn::Asked {
            return out.push(Effect::EndTurn);
        }
        while let Some(address) = self.suspects.pop_first() {
            let Some(message_id) = self.next_suspect(&address) else { continue };
            if self.is_unhindered(message_id) {
                self.process_turn = ProcessTurn::Of(message_id);
                self.schedule(&address, now, out);
                return self.flush(out);
            }
            if let Some(message) = self.messages.get_mut(&message_id) {
                message.suspicion = Suspicion::Hindered;
            }
        }
        self.process_turn = ProcessTurn::Free;
        out.push(Effect::EndTurn);
    }

    /// Gives the turn back when the end of its message's run is durable, or it cannot begin now; and asks
    /// for it again where others wait. Before that, one of them could end the process, and this message
    /// would seem to have: so an attempt of it that is recorded and cannot begin is taken back first.
    pub(super) fn pass_turn_on(&mut self, out: &mut Vec<Effect<W>>) {
        let ProcessTurn::Of(message_id) = self.process_turn else { return };
        let message = self.messages.get(&message_id);
        let address = message.map(|message| message.envelope.address.clone());
        if let (Some(message), Some(address)) = (message, &address) {
            let is_used = match message.phase {
                Phase::Recording | Phase::Running | Phase::Settling => true,
                Phase::Queued => {
                    self.next_suspect(address) == Some(message_id) && self.is_unhindered(message_id)
                }
                Phase::BackingOff(_) | Phase::Checking | Phase::Delayed | Phase::Aside => false,
            };
            if is_used || self.under_way().any(|unit| unit.message_id == message_id) {
                return;
            }
            if message.recorded == Recorded::Next {
                // One that backs off waits for the store, as all others do that have to be recorded.
                if self.gate == Gate::Open && message.phase == Phase::Queued {
                    self.take_back(message_id);
                }
                return;
            }
        }
        self.end_turn(out);
        if let Some(address) = address {
            self.want_turn(&address, out);
        }
        let is_free = self.process_turn == ProcessTurn::Free;
        if is_free && self.gate == Gate::Open && !self.suspects.is_empty() {
            self.process_turn = ProcessTurn::Asked;
            out.push(Effect::AskTurn);
        }
    }

    pub(super) fn end_turn(&mut self, out: &mut Vec<Effect<W>>) {
        if let ProcessTurn::Of(_) = core::mem::replace(&mut self.process_turn, ProcessTurn::Free) {
            out.push(Effect::EndTurn);
        }
    }

    /// An attempt that is recorded and not under way is taken back, so that the message does not count
    /// as one that ended its process.
    pub(super) fn take_back(&mut self, message_id: MessageId) {
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        let is_waiting = matches!(message.phase, Phase::Queued | Phase::BackingOff(_));
        if message.recorded == Recorded::Next && is_waiting {
            message.take_back();
            let address = message.envelope.address.clone();
            let (is_accept, change) = (false, Change::TakeBack);
            self.pending.push_back(Unit { message_id, address, is_accept, change });
        }
    }

    /// The entity's state cannot be read: a suspect of it gives the turn on meanwhile. Of another message
    /// the attempt stays recorded, so that a store in need is not asked to write it again and again: one
    /// end of a process more does not make it guilty.
    pub(super) fn take_suspect_back(&mut self, address: &Address) {
        if let ProcessTurn::Of(message_id) = self.process_turn
            && self.front(address) == Some(message_id)
        {
            self.take_back(message_id);
        }
    }
}
