//! What a group of commits writes, as a value: rows merged over its commits, parts per shard.

use std::collections::{BTreeMap, BTreeSet};

use quarry_ports::{
    ChunkRow, Commit, JournalRow, LeaseGuard, MessageRow, OpenRow, OutcomeRow, Position, SendKey,
    SendRow, StateRow, StuckSend,
};
use quarry_types::{
    Address, Epoch, Keep, MessageId, Sequence, ShardId, Statement, Tenant, Timestamp,
};

use crate::{check::Encoded, head::Head};

/// What one shard records of a group: one commit of `shard_commit`.
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

/// A commit that was checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checked<'a> {
    pub(crate) commit: &'a Commit,
    pub(crate) encoded: &'a Encoded,
    pub(crate) lease: &'a LeaseGuard,
}

/// An open message as it is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened<'a> {
    pub(crate) position: Position,
    pub(crate) row: &'a OpenRow,
    pub(crate) errors: &'a [u8],
}

/// Chunks of one message as they are stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunks<'a> {
    pub(crate) row: &'a ChunkRow,
    pub(crate) body: &'a [u8],
    /// Whether they must follow on what stands already. Others follow on a row of the same group.
    pub(crate) leads: bool,
}

impl Chunks<'_> {
    pub(crate) fn count(&self) -> u64 {
        u64::try_from(self.row.chunks.len()).unwrap_or(u64::MAX)
    }
}

/// The rows of a group, borrowed from its commits.
#[derive(Debug, Default)]
pub(crate) struct Batch<'a> {
    /// In order of shard.
    pub(crate) parts: Vec<Part>,
    pub(crate) messages: Vec<Of<(u32, &'a MessageRow)>>,
    /// The tenant is known where the group itself names the message.
    pub(crate) outcomes: Vec<Of<(Option<&'a Tenant>, &'a OutcomeRow)>>,
    pub(crate) open: Vec<Of<Opened<'a>>>,
    /// Open messages that an outcome removes.
    pub(crate) closed: Vec<Of<MessageId>>,
    pub(crate) chunks: Vec<Of<Chunks<'a>>>,
    /// Messages of which only the key is kept from here on: payload and chunks go.
    pub(crate) discarded: Vec<Of<MessageId>>,
    /// Those of them that the group itself accepts: they never get a payload.
    emptied: BTreeSet<MessageId>,
    /// Messages that the group finishes, or copies to the open ones.
    settled: BTreeSet<MessageId>,
    /// With their places among the sends of their shard's commits.
    pub(crate) sends: Vec<Of<(u32, &'a SendRow)>>,
    pub(crate) sent: Vec<Of<SendKey>>,
    pub(crate) stuck: Vec<Of<&'a StuckSend>>,
    /// In the order of their numbers.
    pub(crate) journal: Vec<Of<&'a JournalRow>>,
    pub(crate) states: Vec<Of<(&'a Address, &'a [u8])>>,
    pub(crate) deleted: Vec<Of<&'a Address>>,
    /// A handler's own statements; then the batch is of one commit.
    pub(crate) statements: &'a [Statement],
    pub(crate) leases: Vec<&'a LeaseGuard>,
    /// The ordinal of each commit's first message, in the order of the commits.
    pub(crate) first_ordinals: Vec<u32>,
}

impl<'a> Batch<'a> {
    /// Merges `commits`, whose shards all have a head.
    pub(crate) fn build(
        commits: impl Iterator<Item = Checked<'a>> + Clone,
        heads: &BTreeMap<ShardId, Head>,
    ) -> Self {
        let parts = parts(commits.clone(), heads);
        let mut merge = Merge::default();
        for checked in commits {
            if let Some(part) = parts.get(&checked.commit.shard) {
                merge.batch.leases.push(checked.lease);
                merge.add(*part, checked);
            }
        }
        merge.finish(parts)
    }

    /// What is stored of the payload of a message that the group accepts.
    pub(crate) fn payload(&self, row: &'a MessageRow) -> &'a [u8] {
        if self.emptied.contains(&row.message_id) { &[] } else { &row.payload }
    }

    /// Whether the group itself finishes a message that it accepts, or copies it to the open ones: then
    /// nobody looks for it by its position.
    pub(crate) fn is_settled(&self, row: &MessageRow) -> bool {
        self.settled.contains(&row.message_id)
    }

    /// Whether there are rows besides the fences, the messages, open or not, their outcomes and states.
    pub(crate) fn has_rare(&self) -> bool {
        // All are named, so that none is forgotten.
        let Self {
            parts: _,
            messages: _,
            outcomes: _,
            open: _,
            closed: _,
            states: _,
            emptied: _,
            settled: _,
            statements: _,
            leases: _,
            first_ordinals: _,
            deleted,
            chunks,
            discarded,
            sends,
            sent,
            stuck,
            journal,
        } = self;
        let has_sends = !(sends.is_empty() && sent.is_empty() && stuck.is_empty());
        let goes = !(deleted.is_empty() && discarded.is_empty());
        has_sends || goes || !(chunks.is_empty() && journal.is_empty())
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
    commits: impl Iterator<Item = Checked<'a>>,
    heads: &BTreeMap<ShardId, Head>,
) -> BTreeMap<ShardId, Part> {
    let mut parts: BTreeMap<ShardId, Part> = BTreeMap::new();
    for Checked { commit, .. } in commits {
        let Some(head) = heads.get(&commit.shard) else { continue };
        let part = parts.entry(commit.shard).or_insert(Part {
            shard: commit.shard,
            epoch: head.epoch,
            sequence: head.sequence.next(),
            low_water: head.low_water,
            now: head.now,
        });
        part.low_water = part.low_water.max(commit.low_water).min(head.most_low_water);
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
    open: BTreeMap<MessageId, Of<Opened<'a>>>,
    states: BTreeMap<&'a Address, Of<&'a StateRow>>,
    /// Places of the next sends.
    send_ordinals: BTreeMap<ShardId, u32>,
    /// The sends of the group itself.
    made: BTreeSet<SendKey>,
    /// The number behind the last chunk of each message.
    chunk_ends: BTreeMap<MessageId, u64>,
}

impl<'a> Merge<'a> {
    fn add(&mut self, part: Part, checked: Checked<'a>) {
        let Checked { commit, encoded, .. } = checked;
        let ordinal = self.ordinals.entry(part.shard).or_default();
        self.batch.first_ordinals.push(*ordinal);
        for row in &commit.messages {
            let position = Position { sequence: part.sequence, ordinal: *ordinal };
            self.batch.messages.push(Of { part, row: (*ordinal, row) });
            self.accepted.insert(row.message_id, position);
            self.tenants.insert(row.message_id, &row.address.tenant);
            *ordinal = ordinal.saturating_add(1);
        }
        for (row, errors) in commit.open.iter().zip(&encoded.errors) {
            let id = row.message.message_id;
            let accepted = self.accepted.get(&id).copied();
            let position = row.position.or(accepted).unwrap_or_default();
            self.tenants.insert(id, &row.message.address.tenant);
            self.open.insert(id, Of { part, row: Opened { position, row, errors } });
        }
        for row in &commit.outcomes {
            let tenant = self.tenants.get(&row.message_id).copied();
            self.batch.outcomes.push(Of { part, row: (tenant, row) });
            if !self.accepted.contains_key(&row.message_id) {
                self.batch.closed.push(Of { part, row: row.message_id });
            }
            if row.keep == Keep::Key {
                self.batch.discarded.push(Of { part, row: row.message_id });
                if self.accepted.contains_key(&row.message_id) {
                    self.batch.emptied.insert(row.message_id);
                }
            }
            self.finished.insert(row.message_id);
        }
        for (row, body) in commit.chunks.iter().zip(&encoded.chunks) {
            let leads = self.chunk_ends.get(&row.message_id) != Some(&row.first);
            let chunks = Chunks { row, body, leads };
            let end = row.first.saturating_add(chunks.count());
            self.chunk_ends.insert(row.message_id, end);
            self.batch.chunks.push(Of { part, row: chunks });
        }
        self.add_sends(part, commit);
        self.add_entries(part, commit);
        self.batch.statements = &commit.statements;
        for row in &commit.states {
            self.states.insert(&row.address, Of { part, row });
        }
    }

    fn add_sends(&mut self, part: Part, commit: &'a Commit) {
        let ordinal = self.send_ordinals.entry(part.shard).or_default();
        for row in &commit.sends {
            self.batch.sends.push(Of { part, row: (*ordinal, row) });
            self.made.insert(row.key);
            *ordinal = ordinal.saturating_add(1);
        }
        for key in &commit.sent {
            // What the group itself makes cannot be found in the store yet.
            if self.made.remove(key) {
                self.batch.sends.retain(|of| of.row.1.key != *key);
            } else {
                self.batch.sent.push(Of { part, row: *key });
            }
        }
        self.batch.stuck.extend(commit.stuck.iter().map(|row| Of { part, row }));
    }

    fn add_entries(&mut self, part: Part, commit: &'a Commit) {
        for row in &commit.journal {
            if row.clears {
                // What the same group records before it goes too.
                self.batch.journal.retain(|of| of.row.address != row.address);
            }
            self.batch.journal.push(Of { part, row });
        }
    }

    fn finish(mut self, parts: BTreeMap<ShardId, Part>) -> Batch<'a> {
        let finished = self.finished;
        let discarded = self.batch.discarded.iter().map(|of| of.row).collect::<BTreeSet<_>>();
        self.batch.chunks.retain(|of| !discarded.contains(&of.row.row.message_id));
        self.batch.parts = parts.into_values().collect();
        self.batch.open = self
            .open
            .into_iter()
            .filter(|(id, _)| !finished.contains(id))
            .map(|(_, row)| row)
            .collect();
        let copied = self.batch.open.iter().map(|of| of.row.row.message.message_id);
        self.batch.settled = finished.into_iter().chain(copied).collect();
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
