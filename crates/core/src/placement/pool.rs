//! One pool: shards that may live on the same runners.

use alloc::{collections::BTreeMap, vec::Vec};
use core::cmp::Reverse;
use quarry_types::{NodeId, ShardId};

use super::{
    apportion::{Seat, apportion},
    plan::{Move, Plan, Runner, Shard},
    score::{Candidate, Cost, cost, preferred},
};

/// Shards, and the runners among which they are divided.
#[derive(Debug, Default)]
pub(super) struct Pool {
    seats: BTreeMap<NodeId, Seat>,
    /// The runners below their share, in no order.
    open: Vec<Candidate>,
    /// Shards without a home among the seats, with the home they had.
    homeless: Vec<(ShardId, Option<NodeId>)>,
    /// Shards that may move, with their home.
    movable: Vec<(ShardId, NodeId)>,
    /// All of the pool's shards.
    size: u64,
}

impl Pool {
    pub(super) fn new(group: Option<&str>, runners: &BTreeMap<NodeId, Runner>) -> Self {
        let seats = runners
            .iter()
            .filter(|(_, runner)| runner.weight > 0)
            .filter(|(_, runner)| group.is_none_or(|group| runner.groups.contains(group)))
            .map(|(id, runner)| (*id, Seat { weight: runner.weight, count: 0, share: 0 }))
            .collect();
        Self { seats, ..Self::default() }
    }

    pub(super) fn add(&mut self, id: ShardId, shard: &Shard) {
        self.size += 1;
        match shard.home.and_then(|home| Some((home, self.seats.get_mut(&home)?))) {
            Some((home, seat)) => {
                seat.count += 1;
                if !shard.is_moving {
                    self.movable.push((id, home));
                }
            }
            None => self.homeless.push((id, shard.home)),
        }
    }

    pub(super) fn apportioned(mut self) -> Self {
        apportion(self.size, &mut self.seats);
        self.open = self
            .seats
            .iter()
            .filter(|(_, seat)| seat.count < seat.share)
            .map(|(node, seat)| Candidate::new(*node, seat.weight))
            .collect();
        self
    }

    /// The runners among which the shards are divided.
    pub(super) fn seats(&self) -> impl Iterator<Item = (NodeId, Seat)> + '_ {
        self.seats.iter().map(|(node, seat)| (*node, *seat))
    }

    /// Gives every homeless shard its preferred runner among those below their share. There is
    /// always one: the shares add up to the number of shards.
    pub(super) fn settle(&mut self, plan: &mut Plan) {
        for (shard, from) in core::mem::take(&mut self.homeless) {
            match self.take_seat(shard) {
                Some(to) => plan.moves.push(Move { shard, from, to }),
                None => plan.unplaced.push(shard),
            }
        }
    }

    /// Moves at most `budget` shards from runners above their share to runners below it; returns
    /// how many.
    pub(super) fn balance(&mut self, budget: usize, plan: &mut Plan) -> usize {
        let mut moved = 0;
        for (shard, from) in self.leaving(budget) {
            let Some(to) = self.take_seat(shard) else { break };
            if let Some(donor) = self.seats.get_mut(&from) {
                donor.count -= 1;
            }
            plan.moves.push(Move { shard, from: Some(from), to });
            moved += 1;
        }
        moved
    }

    /// The shards that leave runners above their share: of each the ones it suits least, and of
    /// all these at most `budget`. Only what leaves is then compared with other runners, so the
    /// work grows with shards plus moves times runners, not with shards times runners.
    fn leaving(&self, budget: usize) -> Vec<(ShardId, NodeId)> {
        let mut excess: BTreeMap<NodeId, u64> = self
            .seats
            .iter()
            .filter(|(_, seat)| seat.count > seat.share)
            .map(|(node, seat)| (*node, seat.count - seat.share))
            .collect();
        if excess.is_empty() || budget == 0 {
            return Vec::new();
        }
        let mut candidates: Vec<(Reverse<Cost>, ShardId, NodeId)> = self
            .movable
            .iter()
            .filter(|(_, home)| excess.contains_key(home))
            .filter_map(|(shard, home)| {
                let seat = self.seats.get(home)?;
                Some((Reverse(cost(*shard, *home, seat.weight)), *shard, *home))
            })
            .collect();
        candidates.sort_unstable();
        let mut leaving = Vec::new();
        for (_, shard, home) in candidates {
            if leaving.len() == budget {
                break;
            }
            if let Some(left) = excess.get_mut(&home).filter(|left| **left > 0) {
                *left -= 1;
                leaving.push((shard, home));
            }
        }
        leaving
    }

    /// Gives the shard to the runner that it prefers among those below their share.
    fn take_seat(&mut self, shard: ShardId) -> Option<NodeId> {
        let position = preferred(shard, &self.open)?;
        let node = self.open.get(position)?.node;
        let seat = self.seats.get_mut(&node)?;
        seat.count += 1;
        if seat.count == seat.share {
            self.open.swap_remove(position);
        }
        Some(node)
    }
}
