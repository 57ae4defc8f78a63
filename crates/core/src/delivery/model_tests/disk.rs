//! What stands in the store of the model.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec::Vec,
};

use bytes::Bytes;
use quarry_types::{
    Address, Envelope, Keep, MessageId, Outcome, PayloadDigest, Sequence, Timestamp,
};

use super::{
    super::{
        Batch, Chunk, Fetched, FetchedState, Found, FoundState, KeyQuestion, OpenRecord,
        OpenRecordState, Recovered,
    },
    world::{ATTEMPTS, is_ordered},
};
use crate::outbox::{Entry, Place};

/// A message and the place that its row has in the order of admission.
pub(super) type Stored = (Arc<Envelope>, (Sequence, u32));

/// When a message could join its entity's queue.
#[derive(Clone, Copy)]
struct Times {
    accepted_at: Timestamp,
    /// For a delayed one: when it is due.
    due: Option<Timestamp>,
    written_at: Timestamp,
}

/// What stands in the store.
#[derive(Default)]
pub(super) struct Disk {
    /// More may be due than memory holds.
    pub(super) is_ever_late: bool,
    pub(super) sequence: u64,
    pub(super) low_water: u64,
    pub(super) messages: BTreeMap<MessageId, Stored>,
    pub(super) finished: BTreeMap<MessageId, Outcome>,
    pub(super) open: BTreeMap<MessageId, OpenRecord>,
    pub(super) states: BTreeMap<Address, Bytes>,
    pub(super) chunks: BTreeMap<MessageId, Vec<Chunk>>,
    /// What was ever set aside, and what of it was let run again.
    pub(super) set_aside: BTreeSet<MessageId>,
    pub(super) redriven: BTreeSet<MessageId>,
    /// How often in a row the process ended in the handler of a message.
    pub(super) deaths: BTreeMap<MessageId, u32>,
    times: BTreeMap<MessageId, Times>,
    /// Open sends.
    pub(super) outbox: BTreeMap<Place, Arc<Entry>>,
    /// All sends that were ever made, in order.
    pub(super) made: Vec<Arc<Entry>>,
}

impl Disk {
    pub(super) fn write(&mut self, now: Timestamp, batch: &Batch) {
        self.sequence += 1;
        assert!(batch.low_water.0 >= self.low_water, "the low-water mark never falls");
        self.low_water = batch.low_water.0;
        for (at, accept) in batch.accepts.iter().enumerate() {
            let position = (Sequence(self.sequence), u32::try_from(at).unwrap());
            let old = self
                .messages
                .insert(accept.envelope.message_id, (accept.envelope.clone(), position));
            assert!(old.is_none(), "a row is written once (D1)");
            let times = Times { accepted_at: accept.accepted_at, due: None, written_at: now };
            self.times.insert(accept.envelope.message_id, times);
        }
        for record in &batch.chunks {
            let is_over = self.finished.contains_key(&record.message_id);
            assert!(!is_over, "no chunk after the outcome (R1)");
            assert!(self.messages.contains_key(&record.message_id), "no chunk without a row");
            let stream = self.chunks.entry(record.message_id).or_default();
            assert_eq!(u64::try_from(stream.len()), Ok(record.first), "gapless (R1)");
            stream.extend(record.chunks.iter().cloned());
        }
        for record in &batch.open {
            assert!(record.attempts <= ATTEMPTS, "{} attempts (D4)", record.attempts);
            let id = record.envelope.message_id;
            assert!(self.messages.contains_key(&id));
            if record.state == OpenRecordState::Delayed {
                self.times.entry(id).and_modify(|times| times.due = Some(record.due));
            }
            let old = self.open.insert(id, record.clone());
            let known = old.as_ref().map_or((0, 0), |old| (old.attempts, old.lost));
            if record.lost > known.1 {
                let begun = (record.attempts - known.0, record.lost - known.1);
                assert_eq!(begun, (1, 1), "{}: each attempt is counted (D4)", record.envelope.key);
            }
            if record.state == OpenRecordState::Quarantined {
                self.set_aside.insert(id);
            } else if old.is_some_and(|old| old.state == OpenRecordState::Quarantined) {
                assert_eq!(record.attempts, 0, "only an operator lets it run again (D4)");
                self.redriven.insert(id);
                self.deaths.remove(&id);
            }
        }
        for finish in &batch.finishes {
            assert!(finish.attempts <= ATTEMPTS, "{} attempts (D4)", finish.attempts);
            assert!(self.messages.contains_key(&finish.message_id), "no outcome without a row");
            let old = self.finished.insert(finish.message_id, finish.outcome.clone());
            assert!(old.is_none(), "one outcome per message (D2)");
            let open = self.open.remove(&finish.message_id);
            let was_aside = open.is_some_and(|open| open.state == OpenRecordState::Quarantined);
            let is_ended = matches!(finish.outcome, Outcome::Failure(_));
            assert!(!was_aside || is_ended, "what is set aside does not run (D4)");
            if finish.keep == Keep::Key {
                self.chunks.remove(&finish.message_id);
            }
        }
        self.states.extend(batch.states.iter().cloned());
        self.write_sends(batch);
        for (id, (_, position)) in &self.messages {
            let is_covered = position.0.0 <= self.low_water;
            let is_safe = self.finished.contains_key(id) || self.open.contains_key(id);
            assert!(!is_covered || is_safe, "the low-water mark passes nothing that is open");
        }
    }

    /// How many chunks of a message stand.
    fn stood(&self, id: &MessageId) -> u64 {
        self.chunks.get(id).map_or(0, |chunks| u64::try_from(chunks.len()).unwrap())
    }

    /// What is open and not set aside.
    pub(super) fn open(&self) -> Vec<Recovered> {
        let mut all: Vec<Recovered> = Vec::new();
        for (id, (envelope, position)) in &self.messages {
            if self.finished.contains_key(id) {
                continue;
            }
            let record = self.open.get(id);
            if record.is_some_and(|record| record.state == OpenRecordState::Quarantined) {
                continue;
            }
            all.push(Recovered {
                envelope: record.map_or(envelope, |record| &record.envelope).clone(),
                original: record
                    .filter(|record| record.envelope.payload != envelope.payload)
                    .map(|_| envelope.payload.clone()),
                accepted_at: self.times[id].accepted_at,
                position: *position,
                attempts: record.map_or(0, |record| record.attempts),
                lost: record.map_or(0, |record| record.lost),
                due: record.map_or(Timestamp(0), |record| record.due),
                is_delayed: record.is_some_and(|r| r.state == OpenRecordState::Delayed),
                errors: Vec::new(),
                chunks: self.stood(id),
            });
        }
        all.sort_by_key(|recovered| recovered.position);
        all
    }

    /// What the store says of a message that an operator acts on.
    pub(super) fn fetch(&self, id: MessageId) -> Option<Fetched> {
        let (envelope, position) = self.messages.get(&id)?;
        let record = self.open.get(&id);
        let aside = record.filter(|record| record.state == OpenRecordState::Quarantined);
        let state = match (self.finished.get(&id), aside) {
            (Some(outcome), _) => FetchedState::Finished(outcome.clone()),
            (None, Some(record)) => FetchedState::Quarantined(Recovered {
                envelope: record.envelope.clone(),
                original: Some(envelope.payload.clone()),
                accepted_at: self.times[&id].accepted_at,
                position: *position,
                attempts: record.attempts,
                lost: record.lost,
                due: record.due,
                is_delayed: false,
                errors: record.errors.clone(),
                chunks: self.stood(&id),
            }),
            (None, None) => {
                let open = self.open().into_iter();
                let mut of_id = open.filter(|open| open.envelope.message_id == id);
                FetchedState::Open(of_id.next()?)
            }
        };
        Some(Fetched { tenant: envelope.address.tenant.clone(), state })
    }

    /// What is set aside now.
    pub(super) fn quarantined(&self) -> impl Iterator<Item = MessageId> {
        let aside = |record: &&OpenRecord| record.state == OpenRecordState::Quarantined;
        self.open.values().filter(aside).map(|record| record.envelope.message_id)
    }

    /// The first message of the entity that is set aside.
    pub(super) fn first_aside(&self, address: &Address) -> Option<MessageId> {
        let of_entity = |id: &MessageId| self.messages[id].0.address == *address;
        self.quarantined().filter(of_entity).min_by_key(|id| self.messages[id].1)
    }

    /// The message that is stored under a key.
    pub(super) fn of_key(&self, key: &str) -> Option<MessageId> {
        let mut messages = self.messages.iter();
        messages.find(|(_, (envelope, _))| envelope.key.as_str() == key).map(|(id, _)| *id)
    }

    /// Whether the message was handled, and not ended by an operator.
    pub(super) fn is_handled(&self, id: MessageId) -> bool {
        matches!(self.finished.get(&id), Some(Outcome::Success(_)))
    }

    /// For when a message was delayed.
    pub(super) fn due(&self, id: MessageId) -> Option<Timestamp> {
        self.times.get(&id).and_then(|times| times.due)
    }

    /// Whether the first of two messages of an entity surely joined its queue before the second: in
    /// order of their rows, or of times that are apart where one was delayed. One that an operator
    /// let run again has no place in the order, unless order outranks progress; nor has one that is late beside others that were
    /// not delayed.
    pub(super) fn is_before(&self, first: MessageId, second: MessageId) -> bool {
        let is_redriven = |id| {
            let is_in_place =
                is_ordered(&self.messages[&id].0.address) && self.times[&id].due.is_none();
            self.redriven.contains(&id) && !is_in_place
        };
        if is_redriven(first) || is_redriven(second) {
            return false;
        }
        let (one, two) = (self.times[&first], self.times[&second]);
        let joins = two.due.unwrap_or(two.accepted_at);
        match one.due {
            None if two.due.is_none() => self.messages[&first].1 < self.messages[&second].1,
            None => one.accepted_at < joins,
            Some(_) if two.due.is_none() && self.is_ever_late => false,
            Some(due) => due < joins && one.written_at < joins,
        }
    }

    pub(super) fn find(&self, question: &KeyQuestion) -> Option<Found> {
        let (id, (envelope, _)) = self.messages.iter().find(|(_, (envelope, _))| {
            envelope.address == question.address && envelope.key == question.key
        })?;
        let state = match self.finished.get(id) {
            Some(outcome) => FoundState::Finished(outcome.clone()),
            None if self.open.get(id).is_some_and(|r| r.state == OpenRecordState::Quarantined) => {
                FoundState::Quarantined
            }
            None if self.open.get(id).is_some_and(|r| r.state == OpenRecordState::Delayed) => {
                FoundState::Delayed
            }
            None => FoundState::Open,
        };
        let payload = envelope.payload.clone();
        let digest = (envelope.keep == Keep::Key).then(|| PayloadDigest::of(&payload));
        Some(Found { message_id: *id, payload, digest, state })
    }
}
