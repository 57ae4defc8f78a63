//! Takeover: what the owner before left open.

use alloc::{collections::BTreeSet, string::ToString, vec::Vec};

use quarry_types::Timestamp;

use super::{
    Effect, Recovered, Shard,
    batch::{Change, Unit},
    entity::Entity,
    message::{Acceptance, Message, Phase},
    stream::Stream,
};

impl<W> Shard<W> {
    /// Takes a page of what was open at the takeover, in order of position and before anything is
    /// admitted. Each runs, when its turn comes, only after the number of its next attempt is
    /// committed (one commit for the first ones of a page), so that a message that ends its process
    /// is counted, and one that only waits is not; one that is out of attempts is
    /// quarantined (D4). One whose back-off has not ended waits for its end first.
    pub fn recover(&mut self, now: Timestamp, page: Vec<Recovered>, out: &mut Vec<Effect<W>>) {
        let addresses: BTreeSet<_> =
            page.iter().map(|recovered| recovered.envelope.address.clone()).collect();
        for recovered in page {
            self.recover_one(now, recovered);
        }
        for address in addresses {
            self.schedule(&address, now, out);
        }
        self.flush(out);
    }

    fn recover_one(&mut self, now: Timestamp, recovered: Recovered) {
        let envelope = recovered.envelope;
        let (message_id, address) = (envelope.message_id, envelope.address.clone());
        if self.messages.contains_key(&message_id) {
            return;
        }
        let key = (address.clone(), envelope.method.clone(), envelope.key.clone());
        self.admissions += 1;
        let mut message =
            Message::new(envelope, recovered.accepted_at, self.admissions, Phase::Queued);
        message.acceptance = Acceptance::Stored(recovered.position);
        message.attempts = recovered.attempts;
        message.errors = recovered.errors;
        message.stream = Stream::recovered(&recovered.chunks);
        let is_out_of_attempts =
            recovered.attempts >= self.limits.of(&address.entity_type).attempts;
        message.needs_recording = true;
        let is_backing_off = recovered.due > now;
        if is_backing_off && !is_out_of_attempts {
            message.phase = Phase::BackingOff(recovered.due);
            self.due.insert((recovered.due, message_id));
        }
        self.unfinished.insert((recovered.position, message_id));
        self.keys.insert(key, message_id);
        let entity = self.entities.entry(address.clone()).or_insert_with(|| Entity::new(now));
        if is_out_of_attempts {
            message.phase = Phase::Settling;
            let error = "the last attempt ended with its process".to_string();
            message.push_error(error, self.limits.errors);
            let change = Change::Quarantine;
            self.pending.push_back(Unit { message_id, address, is_accept: false, change });
        } else {
            entity.queue.push_back(message_id);
        }
        self.messages.insert(message_id, message);
    }
}
