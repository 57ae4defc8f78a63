//! What becomes of messages: each stands before it has an outcome, has one, with the state that it
//! made, in its turn, after attempts within the limit.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quarry::runtime::Entity;
use quarry_ports::{Commit, MessageRow, OpenState, OutcomeRow};
use quarry_types::{Address, EntityType, MessageId, Outcome};

use crate::{
    bombs::Bomb,
    chronicle::{Chronicle, Point},
    entities::{Brief, Grump, Teller},
};

/// The most attempts of a type that says nothing of it.
const ATTEMPTS: u32 = 10;

/// A message that was accepted.
struct Accepted {
    address: Address,
    /// Whether its entity is another once it is handled.
    changes_state: bool,
}

#[derive(Default)]
pub(super) struct Messages {
    accepted: BTreeMap<MessageId, Accepted>,
    finished: BTreeSet<MessageId>,
    /// Those that are soon forgotten, and may be accepted anew when they are sent again later.
    forgotten: BTreeSet<MessageId>,
    /// Per entity what has neither an outcome nor is set aside, as it was accepted.
    waiting: BTreeMap<Address, VecDeque<MessageId>>,
}

impl Messages {
    /// Whether its row stands, or stood.
    pub(super) fn has(&self, id: MessageId) -> bool {
        self.accepted.contains_key(&id)
    }

    pub(super) fn committed(&mut self, chronicle: &Chronicle, commit: &Commit) {
        for row in &commit.messages {
            self.accept(chronicle, row);
        }
        for row in &commit.open {
            let (id, address) = (row.message.message_id, &row.message.address);
            self.check_attempts(chronicle, id, row.attempts);
            if row.state == OpenState::Quarantined {
                chronicle.reach(Point::Quarantine);
                // What comes after a bomb waits until it is dropped.
                if address.entity_type.as_str() != Bomb::TYPE {
                    self.leave(address, id);
                }
            }
        }
        for row in &commit.outcomes {
            self.finish(chronicle, commit, row);
        }
    }

    /// D1: a message is accepted once.
    fn accept(&mut self, chronicle: &Chronicle, row: &MessageRow) {
        let (id, address) = (row.message_id, row.address.clone());
        let changes_state = match row.method.as_str() {
            "append" | "publish" | "tell" | "count" | "carry" => true,
            "add" => *row.payload != *b"0",
            _ => false,
        };
        self.waiting.entry(address.clone()).or_default().push_back(id);
        if address.entity_type.as_str() == Brief::TYPE {
            self.forgotten.insert(id);
        }
        let again = self.accepted.insert(id, Accepted { address, changes_state });
        chronicle.expect(again.is_none() || self.forgotten.contains(&id), || {
            format!("D1: message {id} is accepted twice")
        });
    }

    /// D1, D2, D3: an outcome, with its state, of a message that stands and whose turn it is.
    fn finish(&mut self, chronicle: &Chronicle, commit: &Commit, row: &OutcomeRow) {
        let id = row.message_id;
        let is_first = self.finished.insert(id) || self.forgotten.contains(&id);
        chronicle.expect(is_first, || format!("D2: two outcomes of {id}"));
        self.check_attempts(chronicle, id, row.attempts);
        let Some(Accepted { address, changes_state }) = self.accepted.get(&id) else {
            return chronicle.violation(&format!("D1: an outcome of {id}, which is not there"));
        };
        let (address, changes_state) = (address.clone(), *changes_state);
        let has_state = commit.states.iter().any(|state| state.address == address);
        let is_success = matches!(row.outcome, Outcome::Success(_));
        chronicle.expect(has_state || !changes_state || !is_success, || {
            format!("D2: the outcome of {id} is committed without the state of {address}")
        });
        let first = self.waiting.get(&address).and_then(|waiting| waiting.front()).copied();
        chronicle.expect(first == Some(id), || {
            format!("D3: {id} of {address} is handled where it is the turn of {first:?}")
        });
        self.leave(&address, id);
    }

    fn leave(&mut self, address: &Address, id: MessageId) {
        if let Some(waiting) = self.waiting.get_mut(address) {
            waiting.retain(|other| *other != id);
        }
    }

    /// D4.
    fn check_attempts(&self, chronicle: &Chronicle, id: MessageId, attempts: u32) {
        let Some(Accepted { address, .. }) = self.accepted.get(&id) else { return };
        let most = most_attempts(&address.entity_type);
        chronicle.expect(attempts <= most, || {
            format!("D4: {attempts} attempts of {id} to {address}, of {most}")
        });
    }
}

fn most_attempts(entity_type: &EntityType) -> u32 {
    let own = match entity_type.as_str() {
        Teller::TYPE => Teller::ATTEMPTS,
        Grump::TYPE => Grump::ATTEMPTS,
        _ => None,
    };
    own.unwrap_or(ATTEMPTS)
}
