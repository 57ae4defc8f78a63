//! The machine against a naive model: a log of appends, with a crash or a failure at any commit.
//!
//! The handler appends its message's key to the entity's state. Whatever happens: a key that was
//! answered as done stands in the stored state exactly once (G1, G2, G5, D2), one that was refused
//! does not unless it was sent again, no key stands twice, and keys stand in admitted order (D3).

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use bytes::Bytes;
use proptest::prelude::*;
use quarry_types::{
    Address, CallError, Delivery, Envelope, Epoch, IdempotencyKey, KeyOrigin, MessageId, Method,
    Outcome, ReplyMode, Sequence, Tenant, Timestamp,
};

use super::*;

/// What stands in the store.
#[derive(Default)]
struct Disk {
    sequence: u64,
    low_water: u64,
    messages: BTreeMap<MessageId, (Arc<Envelope>, (Sequence, u32))>,
    finished: BTreeMap<MessageId, Outcome>,
    open: BTreeMap<MessageId, OpenRecord>,
    states: BTreeMap<Address, Bytes>,
    chunks: BTreeMap<MessageId, Vec<Chunk>>,
}

impl Disk {
    fn write(&mut self, batch: &Batch) {
        self.sequence += 1;
        self.low_water = batch.low_water.0;
        for (at, accept) in batch.accepts.iter().enumerate() {
            let position = (Sequence(self.sequence), u32::try_from(at).unwrap());
            let old = self
                .messages
                .insert(accept.envelope.message_id, (accept.envelope.clone(), position));
            assert!(old.is_none(), "a row is written once (D1)");
        }
        for record in &batch.chunks {
            assert!(self.messages.contains_key(&record.message_id), "no chunk without a row");
            let stream = self.chunks.entry(record.message_id).or_default();
            assert_eq!(u64::try_from(stream.len()), Ok(record.first), "gapless (R1)");
            stream.extend(record.chunks.iter().cloned());
        }
        for record in &batch.open {
            assert!(self.messages.contains_key(&record.envelope.message_id));
            self.open.insert(record.envelope.message_id, record.clone());
        }
        for finish in &batch.finishes {
            assert!(self.messages.contains_key(&finish.message_id), "no outcome without a row");
            let old = self.finished.insert(finish.message_id, finish.outcome.clone());
            assert!(old.is_none(), "one outcome per message (D2)");
            self.open.remove(&finish.message_id);
        }
        self.states.extend(batch.states.iter().cloned());
        for (id, (_, position)) in &self.messages {
            let is_covered = position.0.0 <= self.low_water;
            let is_safe = self.finished.contains_key(id) || self.open.contains_key(id);
            assert!(!is_covered || is_safe, "the low-water mark passes nothing that is open");
        }
    }

    fn recover(&self) -> Vec<Recovered> {
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
                envelope: envelope.clone(),
                accepted_at: Timestamp(0),
                position: *position,
                attempts: record.map_or(0, |record| record.attempts),
                due: record.map_or(Timestamp(0), |record| record.due),
                errors: Vec::new(),
                chunks: self.chunks.get(id).cloned().unwrap_or_default(),
            });
        }
        all.sort_by_key(|recovered| recovered.position);
        all
    }

    fn find(&self, question: &KeyQuestion) -> Option<Found> {
        let (id, (envelope, _)) = self.messages.iter().find(|(_, (envelope, _))| {
            envelope.address == question.address && envelope.key == question.key
        })?;
        let state = match self.finished.get(id) {
            Some(outcome) => FoundState::Finished(outcome.clone()),
            None if self.open.get(id).is_some_and(|r| r.state == OpenRecordState::Quarantined) => {
                FoundState::Quarantined
            }
            None => FoundState::Open,
        };
        Some(Found { message_id: *id, payload: envelope.payload.clone(), state })
    }
}

/// The chunks of a message: an attempt that fails makes others than one that is done.
fn made_by(envelope: &Envelope, is_failing: bool) -> Vec<Bytes> {
    let texts: &[&str] = if is_failing { &["a", "x", "y", "z"] } else { &["a", "b", "c"] };
    texts.iter().map(|text| Bytes::from(format!("{} {text}", envelope.key))).collect()
}

/// What a reader holds who starts over where it is told to.
fn read(stream: &[Chunk]) -> Vec<Bytes> {
    let mut held: Vec<(u64, Bytes)> = Vec::new();
    for (number, chunk) in (0..).zip(stream) {
        match chunk {
            Chunk::Made(bytes) => held.push((number, bytes.clone())),
            Chunk::Reset { from, .. } => held.retain(|(number, _)| number < from),
        }
    }
    held.into_iter().map(|(_, bytes)| bytes).collect()
}

/// One decision of the schedule; what cannot happen now is passed over.
#[derive(Clone, Debug)]
enum Step {
    Send { entity: u8, key: u8, is_one_way: bool },
    Work,
    FailHandler,
    Crash,
    CrashAfterWrite,
    StoreAway,
    Reject,
    LoseShard,
    Tick,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_u8, 0..30_u8, any::<bool>())
            .prop_map(|(entity, key, is_one_way)| Step::Send { entity, key, is_one_way }),
        12 => Just(Step::Work),
        1 => Just(Step::FailHandler),
        1 => Just(Step::Crash),
        1 => Just(Step::CrashAfterWrite),
        1 => Just(Step::StoreAway),
        1 => Just(Step::Reject),
        1 => Just(Step::LoseShard),
        2 => Just(Step::Tick),
    ]
}

struct World {
    disk: Disk,
    shard: Shard<String>,
    todo: VecDeque<Effect<String>>,
    live: BTreeMap<Address, Vec<String>>,
    now: Timestamp,
    ids: u64,
    sent: BTreeMap<String, u32>,
    done: BTreeSet<String>,
}

impl World {
    fn new() -> Self {
        let (disk, now) = (Disk::default(), Timestamp(1_000));
        let shard = Shard::new(Limits::default(), Epoch(1), Sequence(0), now);
        let (todo, live, sent, done) =
            <(VecDeque<_>, BTreeMap<_, _>, BTreeMap<_, _>, BTreeSet<_>)>::default();
        Self { disk, shard, todo, live, now, ids: 0, sent, done }
    }

    fn restart(&mut self) {
        self.todo.clear();
        self.live.clear();
        self.now = Timestamp(self.now.0 + 1);
        let sequence = Sequence(self.disk.sequence);
        self.shard =
            Shard::new(Limits::default(), Epoch(self.now.0.unsigned_abs()), sequence, self.now);
        let mut out = Vec::new();
        self.shard.recover(self.now, self.disk.recover(), &mut out);
        self.todo.extend(out);
    }

    fn send(&mut self, entity: u8, key: u8, is_one_way: bool) {
        let address = Address::parse(Tenant::default_tenant(), &format!("E/{entity}")).unwrap();
        let key = format!("{entity}-{key}");
        self.ids += 1;
        let send_count = self.sent.entry(key.clone()).or_default();
        let envelope = Envelope {
            message_id: MessageId::new(self.now, address.slot(), self.ids << 8),
            address,
            method: Method::new("append").unwrap(),
            payload: Bytes::new(),
            key: IdempotencyKey::new(&key).unwrap(),
            key_origin: KeyOrigin::Client,
            send_count: *send_count,
            reply: if is_one_way { ReplyMode::Accepted } else { ReplyMode::Outcome },
            trace_parent: None,
        };
        *send_count += 1;
        let mut out = Vec::new();
        self.shard.admit(self.now, Arc::new(envelope), Delivery::Durable, key, &mut out);
        self.todo.extend(out);
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Send { entity, key, is_one_way } => self.send(*entity, *key, *is_one_way),
            Step::Crash => self.restart(),
            Step::Tick => {
                self.now = Timestamp(self.now.0 + 200);
                let mut out = Vec::new();
                self.shard.tick(self.now, &mut out);
                self.todo.extend(out);
            }
            _ => {
                if let Some(effect) = self.todo.pop_front() {
                    self.perform(effect, step);
                }
            }
        }
    }

    fn perform(&mut self, effect: Effect<String>, step: &Step) {
        let mut out = Vec::new();
        match effect {
            Effect::Lookup(question) => {
                let found = self.disk.find(&question);
                self.shard.looked_up(self.now, question.message_id, Ok(found), &mut out);
            }
            Effect::Activate(address, activation) => {
                let stored = self.disk.states.get(&address).cloned().unwrap_or_default();
                let state = core::str::from_utf8(&stored)
                    .unwrap()
                    .split_terminator(',')
                    .map(ToString::to_string);
                if self.shard.awaits_activation(&address, activation) {
                    self.live.insert(address.clone(), state.collect());
                }
                self.shard.activated(self.now, &address, activation, Ok(()), &mut out);
            }
            Effect::Run(address, work) => {
                let is_failing = matches!(step, Step::FailHandler);
                let made = made_by(&work.envelope, is_failing);
                self.shard.emitted(self.now, &address, work.run, made, &mut out);
                let result = self.handle(&address, &work, is_failing);
                self.shard.ran(self.now, &address, work.run, result, &mut out);
            }
            Effect::Commit(batch) => return self.commit(&batch, step),
            Effect::Passivate(address) => drop(self.live.remove(&address)),
            Effect::Answer { waiter, result, .. } => self.told(waiter, &result),
            Effect::Readable(_) | Effect::Settled(_) => {}
            Effect::Closed | Effect::Lost => return self.restart(),
        }
        self.todo.extend(out);
    }

    fn handle(&mut self, address: &Address, work: &Work, is_failing: bool) -> Ran {
        let Some(state) = self.live.get_mut(address) else {
            return Ran::Retry { error: "gone".to_string(), is_broken: true };
        };
        if is_failing {
            return Ran::Retry { error: "told to fail".to_string(), is_broken: false };
        }
        state.push(work.envelope.key.to_string());
        let mut encoded = state.join(",");
        encoded.push(',');
        Ran::Done { reply: Bytes::new(), state: Some(encoded.into()) }
    }

    fn commit(&mut self, batch: &Batch, step: &Step) {
        let mut out = Vec::new();
        let failure = match step {
            Step::StoreAway => Some(CommitFailure::Unavailable("away".to_string())),
            Step::Reject => Some(CommitFailure::Rejected("no".to_string())),
            Step::LoseShard => Some(CommitFailure::ShardLost),
            Step::CrashAfterWrite => {
                self.disk.write(batch);
                return self.restart();
            }
            _ => None,
        };
        if let Some(failure) = failure {
            self.shard.commit_failed(self.now, batch.ticket, failure, &mut out);
        } else {
            self.disk.write(batch);
            let sequence = Sequence(self.disk.sequence);
            self.shard.committed(self.now, batch.ticket, sequence, 0, &mut out);
        }
        self.todo.extend(out);
    }

    fn told(&mut self, key: String, result: &Result<quarry_types::Answer, CallError>) {
        if result.is_ok() {
            self.done.insert(key);
        }
    }

    /// Lets everything finish, without faults.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            while !self.todo.is_empty() {
                self.step(&Step::Work);
            }
            if self.shard.pending_messages() == 0 {
                return;
            }
            self.step(&Step::Tick);
        }
        panic!("{} messages never end", self.shard.pending_messages());
    }

    fn check(&self) {
        for (address, state) in &self.disk.states {
            let keys: Vec<&str> =
                core::str::from_utf8(state).unwrap().split_terminator(',').collect();
            let distinct: BTreeSet<&&str> = keys.iter().collect();
            assert_eq!(distinct.len(), keys.len(), "{address}: a key stands twice");
        }
        let all: BTreeSet<String> = self
            .disk
            .states
            .values()
            .flat_map(|state| core::str::from_utf8(state).unwrap().split_terminator(','))
            .map(ToString::to_string)
            .collect();
        let quarantined: BTreeSet<String> =
            self.disk.open.values().map(|record| record.envelope.key.to_string()).collect();
        for key in &self.done {
            assert!(
                all.contains(key) || quarantined.contains(key),
                "{key} was acknowledged and is gone"
            );
        }
        for (id, (envelope, _)) in &self.disk.messages {
            let is_finished = self.disk.finished.contains_key(id);
            let key = envelope.key.to_string();
            if is_finished {
                assert_eq!(read(&self.disk.chunks[id]), made_by(envelope, false), "{key}");
            }
            assert_eq!(is_finished, all.contains(&key), "{key}: outcome and state go together");
            assert!(is_finished || quarantined.contains(&key), "{key} is stuck (G9)");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
    #[test]
    fn nothing_is_lost_or_doubled_whatever_fails(steps in prop::collection::vec(step(), 1..300)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.settle();
        world.check();
    }
}
