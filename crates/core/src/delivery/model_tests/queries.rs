//! Queries beside all else; nothing ends one but a step.

use alloc::{format, sync::Arc, vec};

use bytes::Bytes;
use quarry_types::{
    Address, Callers, Delivery, Due, Envelope, IdempotencyKey, Keep, KeyOrigin, MessageId, Method,
    ReplyMode,
};

use super::{
    super::{Batch, Ran, Work, entity::Entity, message::Phase, suspect::ProcessTurn},
    world::{Waiter, World, entity_of},
};

impl World {
    pub(super) fn ask(&mut self, entity: u8) {
        let address = entity_of(entity);
        self.ids += 1;
        let envelope = Envelope {
            message_id: MessageId::new(self.now, address.slot(), self.ids << 8),
            address,
            method: Method::new("count").unwrap(),
            payload: Bytes::new(),
            key: IdempotencyKey::new(&format!("query {}", self.ids)).unwrap(),
            key_origin: KeyOrigin::Gateway,
            send_count: 0,
            reply: ReplyMode::Outcome,
            due: Due::Now,
            keep: Keep::Everything,
            trace_parent: None,
            callers: Callers::none(),
        };
        self.reading.insert(self.ids);
        let (mut out, reader) = (vec![], Waiter::Reader(self.ids));
        self.shard.admit(self.now, Arc::new(envelope), Delivery::VolatileLocal, reader, &mut out);
        self.todo.extend(out);
    }

    pub(super) fn query_begins(&mut self, address: Address, work: &Work) {
        assert!(self.live.contains_key(&address), "{} has an actor", work.envelope.key);
        self.queries.push_back((address, work.run));
    }

    /// The query that has run longest ends.
    pub(super) fn answer_query(&mut self) {
        let Some((address, run)) = self.queries.pop_front() else { return };
        let (reply, state) = (Bytes::new(), None);
        let result = Ran::Done { reply, state, sends: vec![], statements: vec![] };
        let mut out = vec![];
        self.shard.ran(self.now, &address, run, result, &mut out);
        self.todo.extend(out);
    }

    /// The entity's actor goes, and what runs in it.
    pub(super) fn drop_actor(&mut self, address: &Address) {
        self.live.remove(address);
        self.ending.retain(|_, (of, _)| of != address);
        self.queries.retain(|(of, _)| of != address);
    }

    /// What has nothing to do leaves memory, once all that was decided before is performed.
    pub(super) fn let_rest(&mut self) {
        if !self.todo.is_empty() {
            return;
        }
        for address in self.shard.passivate_idle(self.now) {
            let is_asked = self.queries.iter().any(|(of, _)| *of == address);
            assert!(!is_asked, "{address} has something to do");
            self.drop_actor(&address);
        }
    }

    /// Who has the turn of the process does not wait for queries with it: others would wait too (G9).
    pub(super) fn check_turn(&self) {
        let ProcessTurn::Of(message_id) = self.shard.process_turn else { return };
        let Some(message) = self.shard.messages.get(&message_id) else { return };
        let entity = self.shard.entities.get(&message.envelope.address);
        let beside = entity.map_or(0, Entity::readers);
        let waits = message.phase == Phase::Queued && beside > 0 && self.shard.in_flight.is_none();
        assert!(!waits, "{} has the turn and waits", message.envelope.key);
    }

    /// The number of an attempt is recorded when the attempt can begin: no query is before it.
    pub(super) fn check_recorded(&self, batch: &Batch) {
        for record in &batch.open {
            let key = &record.envelope.key;
            let old = self.disk.open.get(&record.envelope.message_id);
            let is_begun = record.lost > old.map_or(0, |old| old.lost);
            let beside = self.queries.iter().any(|(of, _)| *of == record.envelope.address);
            // Another one may come before it meanwhile.
            let entity = self.shard.entities.get(&record.envelope.address);
            let first = entity.and_then(|entity| entity.queue.front());
            let is_first = first == Some(&record.envelope.message_id);
            assert!(!is_begun || !beside || !is_first, "{key} is recorded and waits for a query");
        }
    }
}
