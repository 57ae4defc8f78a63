//! Processes that end with what runs in them, or that a shard leaves; and what may begin in one.

use alloc::{string::ToString, vec::Vec};

use quarry_types::{Address, Envelope};

use super::{
    super::{Effect, Work},
    step::{EDITED, Step},
    world::{Waiter, World, is_ordered},
};

/// How often in a row the process may end in the handler of one message: the first time may be before
/// anything of it was recorded, then twice beside others, and twice alone.
const DEATHS: u32 = 5;

/// Who has the turn of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Free,
    Asked,
    Held,
}

/// Whether every attempt at the message ends the process.
pub(super) fn is_deadly(envelope: &Envelope) -> bool {
    envelope.key.as_str().ends_with("-3") && envelope.payload != EDITED
}

impl World {
    pub(super) fn move_away(&mut self, is_cut_off: bool) {
        let mut out = Vec::new();
        if is_cut_off {
            self.shard.cut_off(self.now, "told to go", &mut out);
        } else {
            self.shard.close(&mut out);
        }
        self.todo.extend(out);
    }

    /// The turn of the process comes to the shard.
    pub(super) fn give_turn(&mut self) {
        self.turn = Turn::Held;
        let mut out = Vec::new();
        self.shard.turn_given(self.now, &mut out);
        self.todo.extend(out);
    }

    /// The process ends in the handler of a message.
    pub(super) fn die_in(&mut self, envelope: &Envelope) {
        let id = envelope.message_id;
        let deaths = self.disk.deaths.entry(id).or_default();
        *deaths += 1;
        assert!(*deaths <= DEATHS, "{}: {deaths} deaths in a row", envelope.key);
        self.restart();
    }

    /// A suspect has the turn of the process, and nothing is handled behind what is quarantined where
    /// order outranks progress (D3).
    pub(super) fn check_begun(&self, address: &Address, work: &Work) {
        let envelope = &work.envelope;
        assert!(self.live.contains_key(address), "{} has an actor", envelope.key);
        let beside = self.queries.iter().any(|(of, _)| of == address);
        assert!(!beside, "{} is not beside a query", envelope.key);
        let record = self.disk.open.get(&envelope.message_id);
        let is_suspect = record.is_some_and(|open| open.lost > 2);
        assert!(!is_suspect || self.turn == Turn::Held, "{}: not alone", envelope.key);
        if is_ordered(&envelope.address) {
            let held = self.disk.first_aside(&envelope.address);
            assert_eq!(held, None, "{} does not wait behind it", envelope.key);
        }
    }

    /// Whether anything is asked of the world that it has not done.
    pub(super) fn is_busy(&self) -> bool {
        let has_answers = !self.pages.is_empty() || !self.asides.is_empty();
        has_answers || !self.todo.is_empty() || self.turn == Turn::Asked
    }

    /// Reads what is quarantined as the store is now; the answer comes later.
    pub(super) fn ask_aside(
        &mut self,
        address: Address,
        number: u64,
        step: &Step,
        out: &mut Vec<Effect<Waiter>>,
    ) {
        if matches!(step, Step::StoreAway) {
            let away = Err("away".to_string());
            return self.shard.aside_read(self.now, &address, number, away, out);
        }
        let first = self.disk.first_aside(&address);
        self.asides.push_back((address, number, first));
    }

    /// The answer that was read first comes.
    pub(super) fn aside_comes(&mut self) {
        let Some((address, number, first)) = self.asides.pop_front() else { return };
        let mut out = Vec::new();
        self.shard.aside_read(self.now, &address, number, Ok(first), &mut out);
        self.todo.extend(out);
    }

    pub(super) fn ask_turn(&mut self) {
        assert_eq!(self.turn, Turn::Free, "asked for once");
        self.turn = Turn::Asked;
    }

    pub(super) fn end_turn(&mut self) {
        assert_eq!(self.turn, Turn::Held);
        self.turn = Turn::Free;
    }
}
