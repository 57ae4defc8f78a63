//! What a group of commits writes, as a value: rows merged over its commits, parts per shard.

use std::collections::{BTreeMap, BTreeSet};

use quarry_ports::{
    ChunkRow, Commit, LeaseGuard, MessageRow, OpenRow, OutcomeRow, Position, StateRow,
};
use quarry_types::{Address, Epoch, MessageId, Sequence, ShardId, SlotRange, Tenant, Timestamp};

use crate::head::Head;

/// What one shard records of a group: one row of `shard_commit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) shard: ShardId,
    pub(crate) epoch: Epoch,
    pub(crate) sequence: Sequence,
    pub(crate) low_water: Sequence,
    pub(crate) now: Timestamp,
}

/// A row and the part that it goes with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Of<T> {
    pub(crate) part: Part,
    pub(crate) row: T,
}

/// The rows of a group, borrowed from its commits.
#[derive(Debug, Default)]
pub(crate) struct Batch<'a> {
    /// In order of shard.
    pub(crate) parts: Vec<Part>,
    pub(crate) messages: Vec<Of<(u32, &'a MessageRow)>>,
    /// The tenant is known where the group itself names the message.
    pub(crate) outcomes: Vec<Of<(Option<&'a Tenant>, &'a OutcomeRow)>>,
    pub(crate) open: Vec<Of<(Position, &'a OpenRow)>>,
    /// Open messages that an outcome removes.
    pub(crate) closed: Vec<Of<MessageId>>,
    pub(crate) chunks: Vec<Of<&'a ChunkRow>>,
    pub(crate) states: Vec<Of<(&'a Address, &'a [u8])>>,
    pub(crate) deleted: Vec<Of<&'a Address>>,
    pub(crate) leases: Vec<&'a LeaseGuard>,
    /// The ordinal of each commit's first message, in the order of the commits.
    pub(crate) first_ordinals: Vec<u32>,
}

impl<'a> Batch<'a> {
    /// Merges `commits`, which were checked and whose shards all have a head.
    pub(crate) fn build(
        commits: impl Iterator<Item = (&'a Commit, &'a LeaseGuard)> + Clone,
        heads: &BTreeMap<ShardId, Head>,
    ) -> Self {
        let parts = parts(commits.clone(), heads);
        let mut merge = Merge::default();
        for (commit, lease) in commits {
            if let Some(part) = parts.get(&commit.shard) {
                merge.batch.leases.push(lease);
                merge.add(*part, commit);
            }
        }
        merge.finish(parts)
    }

    /// Whether every writer's lease is still held (L2).
    pub(crate) fn leases_are_held(&self) -> bool {
        self.leases.iter().all(|lease| lease.is_held())
    }

    /// How many messages the group accepts.
    pub(crate) fn message_count(&self) -> u64 {
        u64::try_from(self.messages.len()).unwrap_or(u64::MAX)
    }
}

fn parts<'a>(
    commits: impl Iterator<Item = (&'a Commit, &'a LeaseGuard)>,
    heads: &BTreeMap<ShardId, Head>,
) -> BTreeMap<ShardId, Part> {
    let mut parts: BTreeMap<ShardId, Part> = BTreeMap::new();
    for (commit, _) in commits {
        let Some(head) = heads.get(&commit.shard) else { continue };
        let part = parts.entry(commit.shard).or_insert(Part {
            shard: commit.shard,
            epoch: head.epoch,
            sequence: head.sequence.next(),
            low_water: head.low_water,
            now: head.now,
        });
        part.low_water = part.low_water.max(commit.low_water);
        part.now = part.now.max(commit.now);
    }
    parts
}

#[derive(Default)]
struct Merge<'a> {
    batch: Batch<'a>,
    ordinals: BTreeMap<ShardId, u32>,
    accepted: BTreeMap<MessageId, Position>,
    tenants: BTreeMap<MessageId, &'a Tenant>,
    finished: BTreeSet<MessageId>,
    open: BTreeMap<MessageId, Of<(Position, &'a OpenRow)>>,
    states: BTreeMap<&'a Address, Of<&'a StateRow>>,
}

impl<'a> Merge<'a> {
    fn add(&mut self, part: Part, commit: &'a Commit) {
        let ordinal = self.ordinals.entry(part.shard).or_default();
        self.batch.first_ordinals.push(*ordinal);
        for row in &commit.messages {
            let position = Position { sequence: part.sequence, ordinal: *ordinal };
            self.batch.messages.push(Of { part, row: (*ordinal, row) });
            self.accepted.insert(row.message_id, position);
            self.tenants.insert(row.message_id, &row.address.tenant);
            *ordinal = ordinal.saturating_add(1);
        }
        for row in &commit.open {
            let id = row.message.message_id;
            let accepted = self.accepted.get(&id).copied();
            let position = row.position.or(accepted).unwrap_or_default();
            self.tenants.insert(id, &row.message.address.tenant);
            self.open.insert(id, Of { part, row: (position, row) });
        }
        for row in &commit.outcomes {
            let tenant = self.tenants.get(&row.message_id).copied();
            self.batch.outcomes.push(Of { part, row: (tenant, row) });
            if !self.accepted.contains_key(&row.message_id) {
                self.batch.closed.push(Of { part, row: row.message_id });
            }
            self.finished.insert(row.message_id);
        }
        for row in &commit.chunks {
            self.batch.chunks.push(Of { part, row });
        }
        for row in &commit.states {
            self.states.insert(&row.address, Of { part, row });
        }
    }

    fn finish(mut self, parts: BTreeMap<ShardId, Part>) -> Batch<'a> {
        let finished = self.finished;
        self.batch.parts = parts.into_values().collect();
        self.batch.open = self
            .open
            .into_iter()
            .filter(|(id, _)| !finished.contains(id))
            .map(|(_, row)| row)
            .collect();
        for Of { part, row } in self.states.into_values() {
            match &row.state {
                Some(state) => {
                    self.batch.states.push(Of { part, row: (&row.address, state.as_ref()) });
                }
                None => self.batch.deleted.push(Of { part, row: &row.address }),
            }
        }
        self.batch
    }
}

/// The most bytes that the errors of one open message hold.
const MOST_ERRORS: usize = 1024 * 1024;

/// Checks what the store can tell of a commit without the database.
pub(crate) fn check(commit: &Commit, range: SlotRange) -> Result<(), String> {
    let mut accepted = BTreeSet::new();
    for row in &commit.messages {
        let slot = row.address.slot();
        if !range.contains(slot) || row.message_id.slot() != slot {
            return Err(format!("message {} is not of the shard's slots", row.message_id));
        }
        accepted.insert(row.message_id);
    }
    for row in &commit.open {
        let id = row.message.message_id;
        if !range.contains(row.message.address.slot()) {
            return Err(format!("open message {id} is not of the shard's slots"));
        }
        if row.errors.iter().map(String::len).sum::<usize>() > MOST_ERRORS {
            return Err(format!("the errors of open message {id} are over {MOST_ERRORS} bytes"));
        }
        if row.position.is_none() && !accepted.contains(&id) {
            return Err(format!("open message {id} has no position"));
        }
    }
    for row in &commit.outcomes {
        if !range.contains(row.message_id.slot()) {
            return Err(format!("outcome of {} is not of the shard's slots", row.message_id));
        }
    }
    for row in &commit.chunks {
        if !range.contains(row.message_id.slot()) || row.chunks.is_empty() {
            return Err(format!("chunks of {} are not of the shard's slots", row.message_id));
        }
    }
    match commit.states.iter().find(|row| !range.contains(row.address.slot())) {
        Some(row) => Err(format!("state of {} is not of the shard's slots", row.address)),
        None => Ok(()),
    }
}
