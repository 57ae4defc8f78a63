//! The tables of the in-memory store, and the one transaction that changes them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use quarry_ports::{
    Commit, CommitError, FenceError, FenceRequest, JournalEntry, LoadedShard, MessageRecord,
    MessageRow, MessageState, OpenMessage, OpenState, OutcomeRow, Position, SendKey, StoredChunk,
    codec,
};
use quarry_types::{
    Address, BootId, ClusterId, Epoch, IdempotencyKey, Keep, MessageId, Method, Sequence, ShardAge,
    ShardId, SlotRange, Timestamp,
};

use super::{Faults, sends::StoredSend};

/// What stands for the database server: rows that every store opened on it shares.
#[derive(Debug, Default)]
pub struct MemoryDatabase {
    tables: Mutex<Tables>,
    faults: Arc<Faults>,
}

impl MemoryDatabase {
    /// An empty database.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The switches of its faults.
    pub fn faults(&self) -> &Arc<Faults> {
        &self.faults
    }

    pub(super) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy, Debug)]
struct Fence {
    epoch: Epoch,
    boot: BootId,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    sequence: Sequence,
    low_water: Sequence,
    now: Timestamp,
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
    fences: BTreeMap<ShardId, Fence>,
    marks: BTreeMap<ShardId, Mark>,
    pub(super) messages: BTreeMap<MessageId, (Position, MessageRow)>,
    pub(super) keys: BTreeMap<(Address, Method, IdempotencyKey), MessageId>,
    open: BTreeMap<MessageId, OpenMessage>,
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

    pub(super) fn load(
        &mut self,
        request: FenceRequest,
        wall: Timestamp,
    ) -> Result<LoadedShard, FenceError> {
        if let Some(fence) = self.fences.get(&request.shard) {
            let same = fence.epoch == request.epoch && fence.boot == request.boot;
            if fence.epoch >= request.epoch && !same {
                return Err(FenceError::Refused { recorded: fence.epoch });
            }
        }
        self.fences.insert(request.shard, Fence { epoch: request.epoch, boot: request.boot });
        let mark = self.marks.get(&request.shard).copied().unwrap_or_default();
        Ok(LoadedShard {
            sequence: mark.sequence,
            low_water: mark.low_water,
            now: wall.max(mark.now),
            age: self.ages.get(&request.shard).copied().unwrap_or_default(),
        })
    }

    /// One transaction: all of `commit` as sequence `sequence`, or nothing.
    pub(super) fn write(
        &mut self,
        commit: &Commit,
        range: SlotRange,
        sequence: Sequence,
    ) -> Result<(), CommitError> {
        let recorded = self.epoch(commit.shard);
        let mark = self.marks.get(&commit.shard).copied().unwrap_or_default();
        // L3.
        if recorded != commit.epoch || mark.sequence.next() != sequence {
            return Err(CommitError::Fenced { recorded });
        }
        self.check(commit, range).map_err(|reason| CommitError::Rejected { reason })?;
        let mark = Mark {
            sequence,
            low_water: mark.low_water.max(commit.low_water),
            now: mark.now.max(commit.now),
        };
        self.marks.insert(commit.shard, mark);
        self.apply(commit, sequence);
        Ok(())
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
            if self.keys.contains_key(&key) || keys.contains(&key) {
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

    fn apply(&mut self, commit: &Commit, sequence: Sequence) {
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
        self.enter_all(commit);
        for row in &commit.states {
            match &row.state {
                Some(bytes) => {
                    let state = State { bytes: bytes.clone(), sequence, updated_at: commit.now };
                    self.states.insert(row.address.clone(), state);
                }
                None => drop(self.states.remove(&row.address)),
            }
        }
    }

    /// The unfinished messages of `range` that are not quarantined, in order of position.
    pub(super) fn unfinished(&self, range: SlotRange, low_water: Sequence) -> Vec<OpenMessage> {
        let waiting =
            self.open.values().filter(|open| open.state != OpenState::Quarantined).cloned();
        let fresh = self.messages.values().filter(|(position, row)| {
            position.sequence > low_water
                && !self.outcomes.contains_key(&row.message_id)
                && !self.open.contains_key(&row.message_id)
        });
        let fresh = fresh.map(|(position, row)| OpenMessage {
            message: row.clone(),
            original: None,
            position: *position,
            attempts: 0,
            due: row.accepted_at,
            state: OpenState::Waiting,
            errors: Vec::new(),
        });
        let mut found: Vec<OpenMessage> = waiting
            .chain(fresh)
            .filter(|open| range.contains(open.message.address.slot()))
            .collect();
        found.sort_by_key(|open| (open.position, open.message.message_id));
        found
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
