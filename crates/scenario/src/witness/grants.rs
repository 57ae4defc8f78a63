//! Who may write a shard, and what is written of it: one commit behind the other.

use std::collections::{BTreeMap, BTreeSet};

use quarry_ports::{Commit, FenceRequest, LoadedShard};
use quarry_types::{BootId, Division, Epoch, Sequence, ShardId, SlotRange};

use crate::chronicle::{Chronicle, Point};

#[derive(Default)]
pub(super) struct Grants {
    fences: BTreeMap<ShardId, (Epoch, BootId)>,
    sequences: BTreeMap<ShardId, Sequence>,
    ranges: BTreeMap<ShardId, SlotRange>,
    /// Shards of which a part was loaded.
    closed: BTreeSet<ShardId>,
    /// Commits on their way, by the shard.
    under_way: BTreeMap<ShardId, u32>,
}

impl Grants {
    /// L1, L5: each load is under a newer epoch than the one before, or of the same process again.
    pub(super) fn loaded(
        &mut self,
        chronicle: &Chronicle,
        request: &FenceRequest,
        loaded: &LoadedShard,
    ) {
        let FenceRequest { shard, range, epoch, boot } = *request;
        let Some((last, owner)) = self.fences.insert(shard, (epoch, boot)) else {
            return self.begun(chronicle, Division { id: shard, range }, loaded);
        };
        chronicle.expect(last <= epoch, || format!("L1: shard {shard}: {epoch} after {last}"));
        chronicle.expect(last < epoch || owner == boot, || {
            format!("L5: shard {shard}: two processes loaded epoch {epoch}")
        });
        if owner != boot {
            chronicle.reach(Point::Takeover);
            if self.under_way.get(&shard).is_some_and(|commits| *commits > 0) {
                chronicle.reach(Point::HandoffDuringCommit);
            }
        }
    }

    /// A part of a shard goes on where the shard stood, which is closed for good.
    fn begun(&mut self, chronicle: &Chronicle, part: Division, loaded: &LoadedShard) {
        let is_whole = |range: &SlotRange| {
            *range != part.range
                && range.contains(part.range.first)
                && range.contains(part.range.last)
        };
        let wholes = self.ranges.iter().filter(|(_, range)| is_whole(range));
        let whole = wholes.min_by_key(|(_, range)| range.last.0 - range.first.0);
        if let Some(whole) = whole.map(|(whole, _)| *whole) {
            let last = self.sequences.get(&whole).copied().unwrap_or_default();
            chronicle.expect(loaded.sequence == last, || {
                let begins = loaded.sequence;
                format!("L3: shard {} begins at {begins}, and {whole} ends at {last}", part.id)
            });
            self.closed.insert(whole);
            chronicle.note(&format!("split {whole}: {} at {last}", part.id));
            chronicle.reach(Point::Split);
        }
        self.sequences.insert(part.id, loaded.sequence);
        self.ranges.insert(part.id, part.range);
    }

    pub(super) fn left(&mut self, shard: ShardId) {
        *self.under_way.entry(shard).or_default() += 1;
    }

    pub(super) fn arrived(&mut self, shard: ShardId) {
        if let Some(commits) = self.under_way.get_mut(&shard) {
            *commits = commits.saturating_sub(1);
        }
    }

    /// L3: one commit after the other, each under the epoch that was loaded last.
    pub(super) fn committed(&mut self, chronicle: &Chronicle, commit: &Commit, sequence: Sequence) {
        let (shard, epoch) = (commit.shard, commit.epoch);
        let fence = self.fences.get(&shard).map(|(epoch, _)| *epoch);
        chronicle.expect(fence == Some(epoch), || {
            format!("L3: shard {shard}: a commit of epoch {epoch} where {fence:?} is loaded")
        });
        chronicle.expect(!self.closed.contains(&shard), || {
            format!("G3: shard {shard}: a commit of epoch {epoch} after a part of it was loaded")
        });
        let last = self.sequences.insert(shard, sequence).unwrap_or_default();
        chronicle.expect(last.next() == sequence, || {
            format!("L3: shard {shard}: commit {sequence} follows {last}")
        });
    }
}
