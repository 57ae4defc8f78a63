//! What one entity sends to another.

use std::collections::{BTreeMap, BTreeSet};

use quarry_ports::{Commit, SendKey};
use quarry_types::MessageId;

use super::messages::Messages;
use crate::chronicle::Chronicle;

#[derive(Default)]
pub(super) struct Sends {
    /// Under which id each will be stored.
    sent: BTreeMap<SendKey, MessageId>,
    promised: BTreeSet<MessageId>,
}

impl Sends {
    /// O1: what is sent is accepted only after the commit that made it, and closed only when its
    /// target has it.
    pub(super) fn committed(
        &mut self,
        chronicle: &Chronicle,
        commit: &Commit,
        messages: &Messages,
    ) {
        for row in &commit.sends {
            let (id, index) = (row.key.message_id, row.key.index);
            let again = self.sent.insert(row.key, row.send_id);
            chronicle.expect(again.is_none(), || format!("O1: send {index} of {id} twice"));
            let is_with_outcome = commit.outcomes.iter().any(|row| row.message_id == id);
            chronicle.expect(is_with_outcome, || {
                format!("G2: send {index} of {id} is committed without its outcome")
            });
            self.promised.insert(row.send_id);
        }
        for row in &commit.messages {
            let is_sent = row.address.id.as_str().starts_with('x');
            let id = row.message_id;
            chronicle.expect(!is_sent || self.promised.contains(&id), || {
                format!("O1: {id} to {} came before the commit that sends it", row.address)
            });
        }
        for key in &commit.sent {
            let (id, index) = (key.message_id, key.index);
            let arrived = self.sent.get(key).is_some_and(|send_id| messages.has(*send_id));
            chronicle.expect(arrived, || {
                format!("G1: send {index} of {id} is closed, and its target does not have it")
            });
        }
    }
}
