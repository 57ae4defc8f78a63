//! What changed hands lately, and why: bounded, and in the state, so that every node can tell.

use alloc::{collections::BTreeMap, vec::Vec};
use quarry_types::{MoveReason, MoveView, NodeId, ShardId, ShardView};

use super::{LeaseEnd, State, ownership::Entry};

/// How many changes are remembered.
pub(super) const MAX_MOVES: usize = 256;
/// How many shards of one change are remembered by id.
const MAX_IDS: usize = 32;

/// The grants of one entry by where they came from, where they went, and why.
#[derive(Debug, Default)]
pub(super) struct Grants {
    /// Why the entry takes shards from their owners.
    pub(super) reason: Option<MoveReason>,
    /// Who owned the shards that the entry took, and whether they were to move.
    vacated: BTreeMap<ShardId, (NodeId, bool)>,
    granted: BTreeMap<(MoveReason, Option<NodeId>, NodeId), Vec<ShardId>>,
}

impl Grants {
    /// The entry takes `shard` from its owner.
    pub(super) fn vacate(&mut self, shard: &ShardView) {
        if let Some(owner) = shard.owner {
            self.vacated.insert(shard.id, (owner, shard.moving_to.is_some()));
        }
    }

    /// The entry is about to grant `shard` to `to`.
    pub(super) fn grant(&mut self, shard: &ShardView, to: NodeId) {
        let vacated = self.vacated.get(&shard.id).copied();
        let from = shard.owner.or_else(|| vacated.map(|(owner, _)| owner));
        let reason = match (self.reason, from) {
            // Its owner gave it up unasked.
            (Some(MoveReason::Balanced), Some(_)) if matches!(vacated, Some((_, false))) => {
                MoveReason::LeaseOver
            }
            (Some(reason), Some(_)) => reason,
            _ if shard.epoch.0 == 0 => MoveReason::Founded,
            _ => MoveReason::Unowned,
        };
        self.granted.entry((reason, from, to)).or_default().push(shard.id);
    }
}

impl From<LeaseEnd> for MoveReason {
    fn from(end: LeaseEnd) -> Self {
        match end {
            LeaseEnd::Expired => Self::LeaseOver,
            LeaseEnd::Goodbye => Self::Goodbye,
            LeaseEnd::NewIncarnation => Self::Restarted,
        }
    }
}

impl State {
    /// Forgets what changed hands: it decides nothing, and models that compare states need not
    /// tell apart how they came about.
    pub fn forget_moves(&mut self) {
        self.moves.clear();
    }

    /// Remembers what the entry granted, and forgets the oldest beyond [`MAX_MOVES`].
    pub(super) fn remember(&mut self, entry: Entry) {
        let (at, epoch) = (entry.at, entry.epoch);
        for ((reason, from, to), mut shards) in entry.grants.granted {
            let count = u32::try_from(shards.len()).unwrap_or(u32::MAX);
            shards.sort_unstable();
            shards.truncate(MAX_IDS);
            let (index, at) = (at.index, at.time);
            self.moves.push(MoveView { index, at, from, to, reason, epoch, count, shards });
        }
        let beyond = self.moves.len().saturating_sub(MAX_MOVES);
        self.moves.drain(..beyond);
    }
}
