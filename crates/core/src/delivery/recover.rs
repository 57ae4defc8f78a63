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
        let joined = joined(&recovered);
        let envelope = recovered.envelope;
        let (message_id, address) = (envelope.message_id, envelope.address.clone());
        if self.messages.contains_key(&message_id) {
            return;
        }
        let key = (address.clone(), envelope.method.clone(), envelope.key.clone());
        self.admissions += 1;
        let order = (joined, self.admissions);
        let mut message = Message::new(envelope, recovered.accepted_at, order, Phase::Queued);
        message.original = recovered.original;
        message.acceptance = Acceptance::Stored(recovered.position);
        message.attempts = recovered.attempts;
        message.errors = recovered.errors;
        message.stream = Stream::recovered(&recovered.chunks);
        let is_out_of_attempts =
            recovered.attempts >= self.limits.of(&address.entity_type).attempts;
        message.needs_recording = true;
        if recovered.is_delayed {
            self.recover_delayed(now, &mut message);
        }
        let is_backing_off = recovered.due > now && !recovered.is_delayed;
        if is_backing_off && !is_out_of_attempts {
            message.phase = Phase::BackingOff(recovered.due);
            self.due.insert((recovered.due, message_id));
        }
        if !recovered.is_delayed {
            self.unfinished.insert((recovered.position, message_id));
        }
        self.keys.insert(key, message_id);
        if is_out_of_attempts {
            message.phase = Phase::Settling;
            let error = "the last attempt ended with its process".to_string();
            message.push_error(error, self.limits.errors);
            let change = Change::Quarantine;
            let unit = Unit { message_id, address: address.clone(), is_accept: false, change };
            self.pending.push_back(unit);
        }
        let is_delayed = message.is_delayed();
        self.messages.insert(message_id, message);
        if is_delayed {
            return;
        }
        self.entities.entry(address.clone()).or_insert_with(|| Entity::new(now));
        if !is_out_of_attempts {
            self.enqueue(&address, message_id);
        }
    }
}

/// When a message joined its entity's queue. One that was tried was the first of it.
fn joined(recovered: &Recovered) -> Timestamp {
    if recovered.attempts > 0 {
        Timestamp(i64::MIN)
    } else if recovered.is_delayed {
        recovered.due
    } else {
        recovered.accepted_at
    }
}
