//! What holds in the end, whatever happened.

use alloc::{collections::BTreeSet, vec::Vec};

use quarry_types::{Address, Envelope, Keep, MessageId};

use super::{
    super::OpenRecordState,
    chunks::{made_by, read},
    disk::Stored,
    world::{ATTEMPTS, World, text},
};

impl World {
    pub(super) fn check(&self) {
        let mut handled: BTreeSet<&str> = BTreeSet::new();
        for (address, state) in &self.disk.states {
            let state: Vec<&str> = text(state).split_terminator(',').collect();
            self.check_order(address, &state);
            for key in state {
                assert!(handled.insert(key), "{address}: {key} stands twice (D2)");
            }
        }
        assert!(self.reading.is_empty(), "queries were not answered: {:?}", self.reading);
        assert!(self.asked.is_empty(), "operators were not told: {:?}", self.asked);
        for key in &self.done {
            let is_over = |id| self.disk.finished.contains_key(&id);
            let is_there = self.disk.of_key(key).is_some_and(is_over) || self.is_quarantined(key);
            assert!(is_there, "{key} was acknowledged and is gone (G1)");
        }
        for (id, (envelope, _)) in &self.disk.messages {
            let is_finished = self.disk.finished.contains_key(id);
            let is_handled = self.disk.is_handled(*id);
            let key = envelope.key.as_str();
            if is_finished && envelope.keep == Keep::Key {
                assert!(!self.disk.chunks.contains_key(id), "{key}: only the key is kept");
            } else if is_handled {
                assert_eq!(read(&self.disk.chunks[id]), made_by(envelope, false), "{key} (R1)");
            }
            assert_eq!(is_handled, handled.contains(key), "{key}: outcome and state (D2)");
            assert!(is_finished || self.is_quarantined(key), "{key} is stuck (G9)");
        }
        self.check_sends();
        for record in self.disk.open.values() {
            let key = &record.envelope.key;
            assert_eq!(record.state, OpenRecordState::Quarantined, "{key} is stuck (G9)");
            let is_out = record.attempts == ATTEMPTS || record.lost == 4;
            assert!(is_out, "{key} is in quarantine too early (D4)");
        }
    }

    /// What has been held up for long has copies, and holds no mark back (G7).
    pub(super) fn check_copied(&self) {
        for (id, (envelope, _)) in &self.disk.messages {
            let is_over = self.disk.finished.contains_key(id) || self.disk.open.contains_key(id);
            let is_held = self.shard.is_held(&envelope.address);
            assert!(is_over || !is_held, "{} is held up and has no copy", envelope.key);
        }
    }

    /// Messages are handled in the order in which they joined their entity's queue (D3).
    fn check_order(&self, address: &Address, handled: &[&str]) {
        let is_handled = |id: &MessageId| self.disk.is_handled(*id);
        let of_entity = |(id, (envelope, _)): &(&MessageId, &Stored)| {
            envelope.address == *address && is_handled(id)
        };
        let stored: Vec<(&MessageId, &Stored)> =
            self.disk.messages.iter().filter(of_entity).collect();
        assert_eq!(stored.len(), handled.len(), "{address}: what is finished was handled");
        let place =
            |envelope: &Envelope| handled.iter().position(|key| *key == envelope.key.as_str());
        for (first, (envelope, _)) in &stored {
            for (second, (later, _)) in &stored {
                let (key, after) = (&envelope.key, &later.key);
                let is_first = self.disk.is_before(**first, **second);
                let holds = !is_first || place(envelope) < place(later);
                assert!(holds, "{address}: {key} joined before {after} (D3)");
            }
        }
    }
}
