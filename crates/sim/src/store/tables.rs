//! The tables of the in-memory store, and the one transaction that changes them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use bytes::Bytes;
use quarry_ports::{
    CHUNK_PAGE_BYTES, ChunkBody, Commit, CommitError, Host, JournalEntry, MessageRecord,
    MessageRow, MessageState, OpenMessage, OpenState, OutcomeRow, Position, SendKey, StoredChunk,
    codec,
};
use quarry_types::{
    Address, BootId, ClusterId, Epoch, IdempotencyKey, Keep, MessageId, Method, Sequence, ShardAge,
    ShardId, SlotRange, Timestamp,
    planted::{Bug, is_planted},
};

use super::{Faults, Weather, Witness, journals::Entered, sends::StoredSend, weather::Sky};

/// What stands for the database server: rows that every store opened on it shares.
#[derive(Default)]
pub struct MemoryDatabase {
    tables: Mutex<Tables>,
    faults: Arc<Faults>,
    sky: OnceLock<Arc<Sky>>,
    witness: OnceLock<Arc<dyn Witness>>,
}

impl MemoryDatabase {
    /// An empty database.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// From now on `weather` befalls what is asked; commits are on their way whatever becomes of the
    /// process that sent them, as tasks of `host`. Only the first call counts.
    pub fn set_weather(&self, host: Host, weather: Weather) {
        self.sky.get_or_init(|| Sky::new(host, weather));
    }

    /// From now on `witness` sees all that is done. Only the first call counts.
    pub fn set_witness(&self, witness: Arc<dyn Witness>) {
        self.witness.get_or_init(|| witness);
    }

    pub(super) fn sky(&self) -> Option<&Arc<Sky>> {
        self.sky.get()
    }

    pub(super) fn witness(&self) -> Option<&Arc<dyn Witness>> {
        self.witness.get()
    }

    /// The switches of its faults.
    pub fn faults(&self) -> &Arc<Faults> {
        &self.faults
    }

    pub(super) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDatabase").field("tables", &self.tables).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Fence {
    pub(super) epoch: Epoch,
    pub(super) boot: BootId,
    pub(super) range: SlotRange,
    /// It was split: nobody loads it again.
    pub(super) is_closed: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    pub(super) sequence: Sequence,
    pub(super) low_water: Sequence,
    pub(super) now: Timestamp,
}

#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) bytes: Bytes,
    pub(super) sequence: Sequence,
    pub(super) updated_at: Timestamp,
}

#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) cluster: Option<ClusterId>,
    pub(super) ages: BTreeMap<ShardId, ShardAge>,
    /// Until when outcomes are kept, soonest first.
    pub(super) kept: BTreeSet<(ShardAge, MessageId)>,
    pub(super) fences: BTreeMap<ShardId, Fence>,
    pub(super) marks: BTreeMap<ShardId, Mark>,
    pub(super) messages: BTreeMap<MessageId, (Position, MessageRow)>,
    pub(super) keys: BTreeMap<(Address, Method, IdempotencyKey), MessageId>,
    pub(super) open: BTreeMap<MessageId, OpenMessage>,
    pub(super) outcomes: BTreeMap<MessageId, OutcomeRow>,
    pub(super) states: BTreeMap<Address, State>,
    pub(super) chunks: BTreeMap<MessageId, Vec<StoredChunk>>,
    pub(super) sends: BTreeMap<SendKey, StoredSend>,
    pub(super) journals: BTreeMap<Address, Vec<JournalEntry>>,
}

impl Tables {
    pub(super) fn epoch(&self, shard: ShardId) -> Epoch {
        self.fences.get(&shard).map_or(Epoch(0), |fence| fence.epoch)
    }

    /// The chunks of a message from number `from` on, as many as are read at a time.
    pub(super) fn chunk_page(
        &self,
        message_id: MessageId,
        from: u64,
        limit: u32,
    ) -> impl Iterator<Item = &StoredChunk> {
        let chunks = self.chunks.get(&message_id).into_iter().flatten();
        let mut bytes = 0;
        let fits = move |chunk: &&StoredChunk| {
            let before = bytes;
            bytes += match &chunk.body {
                ChunkBody::Made(body) | ChunkBody::Entry(body) => body.len(),
                ChunkBody::Reset { .. } => 0,
            };
            before < CHUNK_PAGE_BYTES
        };
        let wanted = chunks.filter(move |chunk| chunk.sequence >= from);
        wanted.take(usize::try_from(limit).unwrap_or(usize::MAX)).take_while(fits)
    }

    /// One transaction: all of `commit` as sequence `sequence`, or nothing; what it entered.
    pub(super) fn write(
        &mut self,
        commit: &Commit,
        range: SlotRange,
        sequence: Sequence,
    ) -> Result<Vec<Entered>, CommitError> {
        if is_planted(Bug::FenceLate) && self.epoch(commit.shard) < commit.epoch {
            let (epoch, boot, is_closed) = (commit.epoch, BootId(0), false);
            self.fences.insert(commit.shard, Fence { epoch, boot, range, is_closed });
        }
        let recorded = self.epoch(commit.shard);
        let mark = self.marks.get(&commit.shard).copied().unwrap_or_default();
        // L3.
        let is_next = recorded == commit.epoch && mark.sequence.next() == sequence;
        if !is_next && !is_planted(Bug::NoFence) {
            return Err(CommitError::Fenced { recorded });
        }
        self.check(commit, range).map_err(|reason| CommitError::Rejected { reason })?;
        let mark = Mark {
            sequence,
            low_water: mark.low_water.max(commit.low_water),
            now: mark.now.max(commit.now),
        };
        self.marks.insert(commit.shard, mark);
        Ok(self.apply(commit, sequence))
    }

    fn check(&self, commit: &Commit, range: SlotRange) -> Result<(), String> {
        if !commit.statements.is_empty() {
            return Err("the in-memory store runs no statements".to_owned());
        }
        let mut keys = Vec::new();
        let mut ids = Vec::new();
        for row in &commit.messages {
            let id = row.message_id;
            let key = (row.address.clone(), row.method.clone(), row.key.clone());
            if !range.contains(row.address.slot()) || id.slot() != row.address.slot() {
                return Err(format!("message {id} is not of the shard's slots"));
            }
            if self.messages.contains_key(&id) || ids.contains(&id) {
                return Err(format!("message {id} is there already"));
            }
            let is_known = self.keys.contains_key(&key) || keys.contains(&key);
            if is_known && !is_planted(Bug::NoDedupe) {
                return Err(format!("the key of message {id} is there already"));
            }
            keys.push(key);
            ids.push(id);
        }
        let mut finished = Vec::new();
        for row in &commit.outcomes {
            let id = row.message_id;
            if !ids.contains(&id) && !self.messages.contains_key(&id) {
                return Err(format!("message {id} of an outcome is not there"));
            }
            if self.outcomes.contains_key(&id) || finished.contains(&id) {
                return Err(format!("message {id} has an outcome already")); // D2
            }
            finished.push(id);
        }
        for row in &commit.open {
            let id = row.message.message_id;
            if row.position.is_none() && !ids.contains(&id) {
                return Err(format!("open message {id} has no position"));
            }
            if !range.contains(row.message.address.slot()) {
                return Err(format!("open message {id} is not of the shard's slots"));
            }
        }
        for row in &commit.chunks {
            let stand = self.chunks.get(&row.message_id).map_or(0, Vec::len);
            // R1. Several rows of one message in one commit follow one another.
            let before = commit.chunks.iter().take_while(|other| !std::ptr::eq(*other, row));
            let before = before.filter(|other| other.message_id == row.message_id);
            let stand = stand + before.map(|other| other.chunks.len()).sum::<usize>();
            if u64::try_from(stand) != Ok(row.first) {
                return Err(format!("chunk {} of {} is not the next", row.first, row.message_id));
            }
            codec::encode(codec::schema::CHUNKS, &row.chunks)
                .map_err(|error| format!("the chunks of {}: {error}", row.message_id))?;
        }
        self.check_sends(commit, range)?;
        let states = commit.states.iter().map(|row| ("state", &row.address));
        let entries = commit.journal.iter().map(|row| ("an entry", &row.address));
        match states.chain(entries).find(|(_, address)| !range.contains(address.slot())) {
            Some((what, of)) => Err(format!("{what} of {of} is not of the shard's slots")),
            None => Ok(()),
        }
    }

    fn apply(&mut self, commit: &Commit, sequence: Sequence) -> Vec<Entered> {
        for (ordinal, row) in (0_u32..).zip(&commit.messages) {
            let position = Position { sequence, ordinal };
            let key = (row.address.clone(), row.method.clone(), row.key.clone());
            self.keys.insert(key, row.message_id);
            self.messages.insert(row.message_id, (position, row.clone()));
        }
        for row in &commit.open {
            let id = row.message.message_id;
            let accepted = self.messages.get(&id).map(|(position, _)| *position);
            let accepted_payload = self.messages.get(&id).map(|(_, row)| row.payload.clone());
            let open = OpenMessage {
                message: row.message.clone(),
                original: accepted_payload.filter(|payload| *payload != row.message.payload),
                position: row.position.or(accepted).unwrap_or_default(),
                attempts: row.attempts,
                lost: row.lost,
                due: row.due,
                state: row.state,
                errors: row.errors.clone(),
            };
            self.open.insert(id, open);
        }
        for row in &commit.outcomes {
            self.open.remove(&row.message_id);
            self.kept.insert((row.keep_until, row.message_id));
            self.outcomes.insert(row.message_id, row.clone());
        }
        for row in &commit.chunks {
            let stream = self.chunks.entry(row.message_id).or_default();
            let numbered = (row.first..).zip(row.chunks.iter().cloned());
            let made_at = commit.now;
            stream.extend(numbered.map(|(sequence, body)| StoredChunk { sequence, made_at, body }));
        }
        for row in commit.outcomes.iter().filter(|row| row.keep == Keep::Key) {
            if let Some((_, message)) = self.messages.get_mut(&row.message_id) {
                message.payload = Bytes::new();
            }
            self.chunks.remove(&row.message_id);
        }
        self.apply_sends(commit, sequence);
        let entered = self.enter_all(commit);
        for row in &commit.states {
            match &row.state {
                Some(bytes) => {
                    let state = State { bytes: bytes.clone(), sequence, updated_at: commit.now };
                    self.states.insert(row.address.clone(), state);
                }
                None => drop(self.states.remove(&row.address)),
            }
        }
        entered
    }

    pub(super) fn by_key(&self, key: &(Address, Method, IdempotencyKey)) -> Option<MessageRecord> {
        self.keys.get(key).and_then(|id| self.record(*id))
    }

    pub(super) fn record(&self, id: MessageId) -> Option<MessageRecord> {
        let (position, message) = self.messages.get(&id)?;
        let edited = self.open.get(&id).map(|open| open.message.payload.clone());
        let edited = edited.filter(|payload| *payload != message.payload);
        let state = match (self.outcomes.get(&id), self.open.get(&id)) {
            (Some(row), _) => MessageState::Finished {
                outcome: row.outcome.clone(),
                attempts: row.attempts,
                finished_at: row.finished_at,
            },
            (None, Some(open)) if open.state == OpenState::Quarantined => {
                MessageState::Quarantined { attempts: open.attempts, errors: open.errors.clone() }
            }
            (None, Some(open)) => MessageState::Open {
                attempts: open.attempts,
                due: open.due,
                is_delayed: open.state == OpenState::Delayed,
                errors: open.errors.clone(),
            },
            (None, None) => MessageState::Open {
                attempts: 0,
                due: message.accepted_at,
                is_delayed: false,
                errors: Vec::new(),
            },
        };
        Some(MessageRecord { message: message.clone(), position: *position, edited, state })
    }
}
