//! The fences of shards.

use quarry_ports::{ClockRead, FenceError, FenceRequest, LoadedShard};
use quarry_types::{
    ShardId, SlotRange, Space, Timestamp,
    planted::{Bug, is_planted},
};

use super::tables::{Fence, Tables};

impl Tables {
    pub(super) fn load(
        &mut self,
        request: FenceRequest,
        wall: Timestamp,
        read: ClockRead,
    ) -> Result<LoadedShard, FenceError> {
        match self.fences.get(&request.shard) {
            Some(fence) => is_ours(fence, &request)?,
            None => self.begin(&request)?,
        }
        if !is_planted(Bug::FenceLate) {
            let FenceRequest { epoch, boot, range, .. } = request;
            self.fences.insert(request.shard, Fence { epoch, boot, range, is_closed: false });
        }
        let mark = self.marks.get(&request.shard).copied().unwrap_or_default();
        Ok(LoadedShard {
            sequence: mark.sequence,
            low_water: mark.low_water,
            now: wall.max(mark.now),
            read,
            age: self.ages.get(&request.shard).copied().unwrap_or_default(),
        })
    }

    /// Lets a shard begin behind the one that it is a part of, whose fence it closes.
    fn begin(&mut self, request: &FenceRequest) -> Result<(), FenceError> {
        let space = request.shard.space();
        let parts = self
            .fences
            .iter()
            .filter(|(shard, fence)| shard.space() == space && is_part(fence.range, request.range));
        if let Some(recorded) = parts.map(|(_, fence)| fence.epoch).max() {
            let is_newer = request.epoch > recorded;
            return Err(if is_newer {
                FenceError::Split
            } else {
                FenceError::Refused { recorded }
            });
        }
        let Some((whole, fence)) = self.whole_of(space, request.range) else { return Ok(()) };
        if !fence.is_closed && fence.epoch >= request.epoch {
            return Err(FenceError::Refused { recorded: fence.epoch });
        }
        if !fence.is_closed {
            let closed = Fence { epoch: request.epoch, is_closed: true, ..fence };
            self.fences.insert(whole, closed);
        }
        if let Some(mark) = self.marks.get(&whole).copied() {
            self.marks.insert(request.shard, mark);
        }
        if let Some(age) = self.ages.get(&whole).copied() {
            self.ages.insert(request.shard, age);
        }
        Ok(())
    }

    /// The narrowest shard of `space` that `range` is a part of.
    fn whole_of(&self, space: Space, range: SlotRange) -> Option<(ShardId, Fence)> {
        let wholes = self
            .fences
            .iter()
            .filter(|(shard, fence)| shard.space() == space && is_part(range, fence.range));
        let narrowest = wholes.min_by_key(|(_, fence)| fence.range.last.0 - fence.range.first.0);
        narrowest.map(|(shard, fence)| (*shard, *fence))
    }
}

fn is_ours(fence: &Fence, request: &FenceRequest) -> Result<(), FenceError> {
    let recorded = fence.epoch;
    if fence.is_closed && request.epoch > recorded {
        return Err(FenceError::Split);
    }
    let is_own = fence.boot == request.boot || is_planted(Bug::GrantReuse);
    let is_same = recorded == request.epoch && is_own;
    let stands = !fence.is_closed && (recorded < request.epoch || is_same);
    if stands { Ok(()) } else { Err(FenceError::Refused { recorded }) }
}

/// Whether the slots of `part` are some of those of `whole`, and not all.
fn is_part(part: SlotRange, whole: SlotRange) -> bool {
    part != whole && whole.contains(part.first) && whole.contains(part.last)
}
