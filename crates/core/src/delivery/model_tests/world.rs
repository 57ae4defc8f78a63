//! The machine, its store, and what was told to callers.

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::time::Duration;

use bytes::Bytes;
use quarry_types::{
    Address, Answer, CallError, Callers, Delivery, Due, EntityType, Envelope, Epoch,
    IdempotencyKey, Intervention, Keep, KeyOrigin, MessageId, Method, ReplyMode, Sequence, Tenant,
    Timestamp, UnknownCode,
};

use super::{
    super::{
        ActivationFailure, AfterQuarantine, Batch, CommitFailure, Effect, Limits, OpenPage,
        OpenRecord, OpenRecordState, Ran, RunId, RunKind, Shard, TypeLimits, Work,
    },
    chunks::FEW_CHUNKS,
    disk::Disk,
    pages::few_messages,
    processes::{Turn, is_deadly},
    sends::few_sends,
    step::{EDITED, Step},
};
use crate::outbox::Place;

/// Whether every attempt at the message fails.
fn is_poison(envelope: &Envelope) -> bool {
    envelope.key.as_str().ends_with('7') && envelope.payload != EDITED
}

/// The entities of the model; of the last one's type, order outranks progress.
pub(super) fn entity_of(number: u8) -> Address {
    let entity_type = if number == 2 { ORDERED } else { "E" };
    Address::parse(Tenant::default_tenant(), &format!("{entity_type}/{number}")).unwrap()
}

/// Whether order outranks progress.
pub(super) fn is_ordered(address: &Address) -> bool {
    address.entity_type.as_str() == ORDERED
}

const ORDERED: &str = "Ordered";

/// When a crash comes, seen from a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Nothing of it reached the store.
    Before,
    /// It is durable, and its answer never came.
    After,
}

/// Attempts that a message may have; few, so that some run out of them, and more than the ends of a process
/// that make one guilty.
pub(super) const ATTEMPTS: u32 = 6;

/// For so many ticks queries run on when all else settles.
const PATIENCE: usize = 12;
/// For so many, operators let nothing go on.
const WITHOUT_OPERATORS: usize = 60;

#[derive(Clone, Debug)]
struct Sending {
    entity: u8,
    key: u8,
    /// How often it was sent.
    count: u32,
}

/// Who waits for an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Waiter {
    /// The client that sent this key.
    Client(String),
    /// The outbox, for the entry at this place.
    Outbox(Place),
    /// The operator of this number.
    Operator(u64),
    /// Who asked the query of this number.
    Reader(u64),
    /// A handler, before it ends.
    Handler(RunId),
    /// Nobody any more.
    Nobody,
}

pub(super) struct World {
    pub(super) disk: Disk,
    /// Commits begun so far.
    pub(super) commits: usize,
    /// At which commits the process crashes, counted from 0.
    crashes: BTreeMap<usize, Moment>,
    pub(super) shard: Shard<Waiter>,
    pub(super) todo: VecDeque<Effect<Waiter>>,
    /// Pages that were read and have not come yet.
    pub(super) pages: VecDeque<(u64, OpenPage)>,
    /// Pages of single entities that were asked for.
    pub(super) alone: usize,
    /// Pages of what is delayed that were asked for before it was due.
    pub(super) due_later: usize,
    pub(super) live: BTreeMap<Address, Vec<String>>,
    pub(super) now: Timestamp,
    pub(super) ids: u64,
    sent: BTreeMap<String, Sending>,
    /// Ids under which messages were sent, by which operators know them.
    pub(super) known: Vec<MessageId>,
    /// What operators asked of this process and were not told.
    pub(super) asked: BTreeMap<u64, Intervention>,
    pub(super) done: BTreeSet<String>,
    pub(super) turn: Turn,
    /// Runs that end when what they made was compared.
    pub(super) ending: BTreeMap<RunId, (Address, Ran)>,
    /// Queries that run; nothing but a step ends them.
    pub(super) queries: VecDeque<(Address, RunId)>,
    /// Queries that were asked of this process and are not answered.
    pub(super) reading: BTreeSet<u64>,
    /// What is quarantined of entities, as it was read; the answers have not come yet.
    pub(super) asides: VecDeque<(Address, u64, Option<MessageId>)>,
}

fn shard(
    epoch: Epoch,
    marks: (Sequence, Sequence),
    now: Timestamp,
    is_ever_late: bool,
) -> Shard<Waiter> {
    let idle_after = Duration::from_millis(300);
    let default_type = TypeLimits { attempts: ATTEMPTS, idle_after, ..TypeLimits::default() };
    let (outbox, backlog) = (few_sends(), few_messages(is_ever_late));
    let ordered = TypeLimits { after_quarantine: AfterQuarantine::Wait, ..default_type };
    let types = BTreeMap::from([(EntityType::new(ORDERED).unwrap(), ordered)]);
    let limits =
        Limits { backlog, outbox, types, default_type, chunks: FEW_CHUNKS, ..Limits::default() };
    Shard::new(limits, epoch, marks, now)
}

impl Default for World {
    fn default() -> Self {
        let now = Timestamp(1_000);
        Self {
            disk: Disk::default(),
            commits: 0,
            crashes: BTreeMap::new(),
            shard: shard(Epoch(1), (Sequence(0), Sequence(0)), now, false),
            todo: VecDeque::new(),
            pages: VecDeque::new(),
            alone: 0,
            due_later: 0,
            live: BTreeMap::new(),
            now,
            ids: 0,
            sent: BTreeMap::new(),
            known: Vec::new(),
            asked: BTreeMap::new(),
            done: BTreeSet::new(),
            turn: Turn::Free,
            ending: BTreeMap::new(),
            queries: VecDeque::new(),
            reading: BTreeSet::new(),
            asides: VecDeque::new(),
        }
    }
}

impl World {
    /// A world in which the process crashes at some commits, counted from 0.
    pub(super) fn crashing(at: &[(usize, Moment)]) -> Self {
        Self { crashes: at.iter().copied().collect(), ..Self::default() }
    }

    /// The same where more may be due than memory holds.
    pub(super) fn ever_late(mut self, is_ever_late: bool) -> Self {
        self.disk.is_ever_late = is_ever_late;
        let (epoch, marks) = (Epoch(1), (Sequence(0), Sequence(0)));
        self.shard = shard(epoch, marks, self.now, is_ever_late);
        self
    }

    pub(super) fn restart(&mut self) {
        self.todo.clear();
        self.pages.clear();
        self.live.clear();
        self.asked.clear();
        self.turn = Turn::Free;
        self.ending.clear();
        self.queries.clear();
        self.reading.clear();
        self.asides.clear();
        self.now = Timestamp(self.now.0 + 1);
        let marks = (Sequence(self.disk.sequence), Sequence(self.disk.low_water));
        let epoch = Epoch(self.now.0.unsigned_abs());
        self.shard = shard(epoch, marks, self.now, self.disk.is_ever_late);
        let mut out = Vec::new();
        self.shard.start(self.now, &mut out);
        self.todo.extend(out);
    }

    fn send(&mut self, entity: u8, key: u8, is_one_way: bool, delay: u64) {
        let address = entity_of(entity);
        let text = format!("{entity}-{key}");
        self.ids += 1;
        let sending = self.sent.entry(text.clone()).or_insert(Sending { entity, key, count: 0 });
        let envelope = Envelope {
            message_id: MessageId::new(self.now, address.slot(), self.ids << 8),
            address,
            method: Method::new("append").unwrap(),
            payload: Bytes::new(),
            key: IdempotencyKey::new(&text).unwrap(),
            key_origin: KeyOrigin::Client,
            send_count: sending.count,
            reply: if is_one_way { ReplyMode::Accepted } else { ReplyMode::Outcome },
            due: Due::After(delay),
            keep: if key % 5 == 4 { Keep::Key } else { Keep::Everything },
            trace_parent: None,
            callers: Callers::none(),
        };
        sending.count += 1;
        self.known.push(envelope.message_id);
        let mut out = Vec::new();
        let waiter = Waiter::Client(text);
        self.shard.admit(self.now, Arc::new(envelope), Delivery::Durable, waiter, &mut out);
        self.todo.extend(out);
    }

    pub(super) fn step(&mut self, step: &Step) {
        match step {
            Step::Intervene { which, intervention } => self.intervene(*which, intervention),
            Step::Send { entity, key, is_one_way, delay } => {
                self.send(*entity, *key, *is_one_way, *delay);
            }
            Step::Crash => self.restart(),
            Step::Close | Step::CutOff => self.move_away(matches!(step, Step::CutOff)),
            Step::Page if self.asides.is_empty() => self.page_comes(),
            Step::Page => self.aside_comes(),
            Step::Audit => self.audit(),
            Step::Ask { entity } => self.ask(*entity),
            Step::AnswerQuery => self.answer_query(),
            Step::Tick => {
                self.now = Timestamp(self.now.0 + 200);
                let mut out = Vec::new();
                self.shard.tick(self.now, &mut out);
                self.todo.extend(out);
                self.let_rest();
            }
            _ => match self.todo.pop_front() {
                Some(effect) => self.perform(effect, step),
                None if self.turn == Turn::Asked => self.give_turn(),
                None if self.pages.is_empty() => self.aside_comes(),
                None => self.page_comes(),
            },
        }
        self.check_turn();
    }

    fn activate(
        &mut self,
        address: &Address,
        activation: u64,
        step: &Step,
    ) -> Result<(), ActivationFailure> {
        if matches!(step, Step::StoreAway) {
            return Err(ActivationFailure::Unavailable("away".to_string()));
        }
        let stored = self.disk.states.get(address).cloned().unwrap_or_default();
        let state = text(&stored).split_terminator(',').map(ToString::to_string);
        if self.shard.awaits_activation(address, activation) {
            self.live.insert(address.clone(), state.collect());
        }
        Ok(())
    }

    fn perform(&mut self, effect: Effect<Waiter>, step: &Step) {
        let mut out = Vec::new();
        match effect {
            Effect::Lookup(question) => {
                let found = self.disk.find(&question);
                self.shard.looked_up(self.now, question.message_id, Ok(found), &mut out);
            }
            Effect::Fetch(id) => {
                let found = self.disk.fetch(id);
                self.shard.fetched(self.now, id, &Ok(found), &mut out);
            }
            Effect::Activate(address, activation) => {
                let result = self.activate(&address, activation, step);
                self.shard.activated(self.now, &address, activation, result, &mut out);
            }
            Effect::Run(address, work) if work.kind == RunKind::Read => {
                self.query_begins(address, &work);
            }
            Effect::Run(address, work) => {
                assert!(work.attempt <= ATTEMPTS, "attempt {} (D4)", work.attempt);
                self.check_begun(&address, &work);
                if matches!(step, Step::CrashInHandler) || is_deadly(&work.envelope) {
                    return self.die_in(&work.envelope);
                }
                self.disk.deaths.remove(&work.envelope.message_id);
                let is_broken = matches!(step, Step::BreakHandler);
                let is_failing =
                    is_broken || matches!(step, Step::FailHandler) || is_poison(&work.envelope);
                self.emit(&address, &work, is_failing, &mut out);
                let result = if is_failing {
                    Ran::Retry { error: "told to fail".to_string(), is_broken }
                } else {
                    self.handle(&address, &work)
                };
                self.end_run(address, &work, result, &mut out);
            }
            Effect::Commit(batch) => return self.commit(&batch, step),
            Effect::Passivate(address) => self.drop_actor(&address),
            Effect::Answer { waiter: Waiter::Client(key), result, .. } => self.told(key, &result),
            Effect::Answer { waiter: Waiter::Operator(number), result, .. } => {
                self.told_operator(number, &result);
            }
            Effect::Answer { waiter: Waiter::Outbox(place), result, .. } => {
                self.shard.passed_on(self.now, place, &result, &mut out);
            }
            Effect::PassOn(passing) => self.pass_on(&passing, step, &mut out),
            Effect::ReadSends { after, limit } => {
                let page =
                    (!matches!(step, Step::StoreAway)).then(|| self.disk.sends(after, limit));
                self.shard.sends_read(self.now, page, &mut out);
            }
            Effect::ReadOpen(read) => self.read_open(&read, step, &mut out),
            Effect::Answer { waiter: Waiter::Reader(number), .. } => {
                assert!(self.reading.remove(&number), "a query is answered once");
            }
            Effect::Answer { waiter: Waiter::Nobody | Waiter::Handler(_), .. }
            | Effect::Readable(_) => {}
            Effect::Settled(waiter) => self.settled(&waiter, &mut out),
            Effect::ReadChunks(read) => self.read_chunks(read, step, &mut out),
            Effect::AskAside(address, number) => self.ask_aside(address, number, step, &mut out),
            Effect::AskTurn => self.ask_turn(),
            Effect::EndTurn => self.end_turn(),
            Effect::Closed | Effect::Lost => return self.restart(),
        }
        self.todo.extend(out);
    }

    fn handle(&mut self, address: &Address, work: &Work) -> Ran {
        let Some(state) = self.live.get_mut(address) else {
            return Ran::Retry { error: "gone".to_string(), is_broken: true };
        };
        let due = self.disk.due(work.envelope.message_id);
        assert!(due.is_none_or(|due| due <= self.now), "{} is early", work.envelope.key);
        state.push(work.envelope.key.to_string());
        let mut encoded = state.join(",");
        encoded.push(',');
        let sends = self.sends_of(&work.envelope);
        Ran::Done {
            reply: Bytes::new(),
            state: Some(encoded.into()),
            sends,
            statements: Vec::new(),
        }
    }

    fn commit(&mut self, batch: &Batch, step: &Step) {
        self.check_recorded(batch);
        let crash = self.crashes.get(&self.commits).copied();
        self.commits += 1;
        if let Some(moment) = crash {
            if moment == Moment::After {
                self.disk.write(self.now, batch);
            }
            return self.restart();
        }
        let mut out = Vec::new();
        let failure = match step {
            Step::StoreAway => Some(CommitFailure::Unavailable("away".to_string())),
            Step::Reject => Some(CommitFailure::Rejected("no".to_string())),
            Step::LoseShard => Some(CommitFailure::ShardLost),
            Step::CrashAfterWrite => {
                self.disk.write(self.now, batch);
                return self.restart();
            }
            _ => None,
        };
        if let Some(failure) = failure {
            self.shard.commit_failed(self.now, batch.ticket, failure, &mut out);
        } else {
            self.disk.write(self.now, batch);
            let sequence = Sequence(self.disk.sequence);
            self.shard.committed(self.now, batch.ticket, sequence, 0, &mut out);
        }
        self.todo.extend(out);
    }

    fn told(&mut self, key: String, result: &Result<Answer, CallError>) {
        match result {
            Ok(Answer::Accepted { message_id, .. }) => {
                assert!(self.disk.messages.contains_key(message_id), "{key} has no row (D1)");
            }
            Ok(Answer::Handled { message_id, outcome, .. }) => {
                let stored = self.disk.finished.get(message_id);
                assert_eq!(stored, Some(outcome), "{key} was told what is not stored (D1)");
            }
            Err(CallError::Unknown(unknown)) if unknown.code == UnknownCode::Quarantined => {
                let id = unknown.message_id;
                let was_aside = id.is_some_and(|id| self.disk.set_aside.contains(&id));
                assert!(was_aside, "{key} is said to be in quarantine (D4)");
            }
            Err(_) => return,
        }
        self.done.insert(key);
    }

    pub(super) fn is_quarantined(&self, key: &str) -> bool {
        let of_key = |record: &&OpenRecord| record.envelope.key.as_str() == key;
        let mut records = self.disk.open.values().filter(of_key);
        records.any(|record| record.state == OpenRecordState::Quarantined)
    }

    /// Is its message set aside, or was it and an operator ended it, or made it run again, behind
    /// later ones?
    pub(super) fn is_out_of_turn(&self, key: &str) -> bool {
        let is_of_key =
            |id| self.disk.messages.get(id).is_some_and(|(it, _)| it.key.as_str() == key);
        let is_ended = |id| self.disk.finished.contains_key(&id) && !self.disk.is_handled(id);
        let is_over = self.is_quarantined(key) || self.disk.of_key(key).is_some_and(is_ended);
        is_over || self.disk.redriven.iter().any(is_of_key)
    }

    /// Sends what was never told again, as clients do.
    pub(super) fn resend(&mut self) {
        let missing = |(key, sending): (&String, &Sending)| {
            (!self.done.contains(key)).then(|| sending.clone())
        };
        for Sending { entity, key, .. } in self.sent.iter().filter_map(missing).collect::<Vec<_>>()
        {
            self.send(entity, key, false, 0);
        }
    }

    /// Whether every message that was ever sent has been told something that stands.
    pub(super) fn has_told_all(&self) -> bool {
        self.done.len() == self.sent.len()
    }

    /// Lets everything finish, without faults.
    pub(super) fn settle(&mut self) {
        for round in 0..100_000 {
            while self.is_busy() {
                self.step(&Step::Work);
            }
            if round >= WITHOUT_OPERATORS {
                self.check_copied();
            }
            let is_over = self.shard.pending_messages() == 0 && self.disk.open().is_empty();
            if is_over && self.disk.outbox.is_empty() && self.reading.is_empty() {
                return;
            }
            self.step(&Step::Tick);
            // Others go on beside queries that do not end, and beside what waits for an operator.
            match round {
                ..PATIENCE => {}
                PATIENCE..WITHOUT_OPERATORS => self.step(&Step::AnswerQuery),
                _ => {
                    self.step(&Step::AnswerQuery);
                    self.let_go_on();
                }
            }
        }
        let (messages, sends) = (self.disk.open().len(), self.disk.outbox.len());
        panic!("{messages} messages and {sends} sends never end");
    }
}

pub(super) fn text(state: &Bytes) -> &str {
    core::str::from_utf8(state).unwrap()
}
