//! One pool: shards that may live on the same runners.

use alloc::{collections::BTreeMap, vec::Vec};
use core::cmp::Reverse;
use quarry_types::{
    NodeId, ShardId,
    planted::{Bug, is_planted},
};

use super::{
    apportion::{Seat, apportion},
    plan::{Move, Plan, Runner, Shard},
    score::{Candidate, Cost, cost, preferred},
};

/// Shards, and the runners among which they are divided. Counts are units of load: where no load is
/// known, shards.
#[derive(Debug, Default)]
pub(super) struct Pool {
    seats: BTreeMap<NodeId, Seat>,
    /// The runners below their share, in no order.
    open: Vec<Candidate>,
    /// Shards without a home among the seats.
    homeless: Vec<Homeless>,
    /// Shards that may move.
    movable: Vec<Movable>,
    /// The load of all of the pool's shards.
    size: u64,
}

/// A shard without a home among the seats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Homeless {
    load: Reverse<u64>,
    shard: ShardId,
    /// The home that it had.
    from: Option<NodeId>,
}

/// A shard that may move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Movable {
    shard: ShardId,
    home: NodeId,
    load: u64,
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

    pub(super) fn add(&mut self, shard: ShardId, known: &Shard) {
        let load = u64::from(known.load.max(1));
        self.size = self.size.saturating_add(load);
        match known.home.and_then(|home| Some((home, self.seats.get_mut(&home)?))) {
            Some((home, seat)) => {
                seat.count = seat.count.saturating_add(load);
                if !known.is_moving {
                    self.movable.push(Movable { shard, home, load });
                }
            }
            None => self.homeless.push(Homeless { load: Reverse(load), shard, from: known.home }),
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

    /// Gives every homeless shard its preferred runner among those that have room for its load, or
    /// else the one with the most room. There is always one below its share, as long as there are
    /// runners: the shares add up to the load of all shards.
    pub(super) fn settle(&mut self, plan: &mut Plan) {
        let mut homeless = core::mem::take(&mut self.homeless);
        homeless.sort_unstable();
        for Homeless { load: Reverse(load), shard, from } in homeless {
            match self.take_seat(shard, load).or_else(|| self.take_roomiest(load)) {
                Some(to) => plan.moves.push(Move { shard, from, to }),
                None => plan.unplaced.push(shard),
            }
        }
        plan.unplaced.sort_unstable();
    }

    /// Moves at most `budget` shards from runners above their share to runners below it, of each the
    /// ones that suit it least; returns how many. Only what may leave is compared with other
    /// runners, so the work grows with shards plus moves times runners, not with shards times
    /// runners.
    pub(super) fn balance(&mut self, budget: usize, plan: &mut Plan) -> usize {
        let beyond = u64::from(is_planted(Bug::GiveTooMuch));
        let over = |seat: &Seat| (seat.count + beyond).saturating_sub(seat.share);
        let mut excess: BTreeMap<NodeId, u64> = self
            .seats
            .iter()
            .filter(|(_, seat)| over(seat) > 0)
            .map(|(node, seat)| (*node, over(seat)))
            .collect();
        let mut left: u64 = excess.values().sum();
        if left == 0 || budget == 0 {
            return 0;
        }
        let mut moved = 0;
        for Movable { shard, home, load } in self.by_aversion(&excess) {
            if moved == budget || left == 0 || self.open.is_empty() {
                break;
            }
            let Some(over) = excess.get_mut(&home).filter(|over| **over >= load) else { continue };
            let Some(to) = self.take_seat(shard, load) else { continue };
            *over -= load;
            left -= load;
            if let Some(giver) = self.seats.get_mut(&home) {
                giver.count -= load;
            }
            plan.moves.push(Move { shard, from: Some(home), to });
            moved += 1;
        }
        moved
    }

    /// The shards of these runners that may move, those first that suit their runner least.
    fn by_aversion(&self, excess: &BTreeMap<NodeId, u64>) -> Vec<Movable> {
        let mut ranked: Vec<(Reverse<Cost>, ShardId, Movable)> = self
            .movable
            .iter()
            .filter(|movable| excess.contains_key(&movable.home))
            .filter_map(|movable| {
                let Movable { shard, home, .. } = *movable;
                let seat = self.seats.get(&home)?;
                Some((Reverse(cost(shard, home, seat.weight)), shard, *movable))
            })
            .collect();
        ranked.sort_unstable_by_key(|(cost, shard, _)| (*cost, *shard));
        ranked.into_iter().map(|(_, _, movable)| movable).collect()
    }

    /// Gives the shard to the runner that it prefers among those that have room for its load.
    fn take_seat(&mut self, shard: ShardId, load: u64) -> Option<NodeId> {
        let position = if load == 1 {
            preferred(shard, &self.open)?
        } else {
            let has_room = |candidate: &Candidate| {
                self.seats.get(&candidate.node).is_some_and(|seat| seat.share - seat.count >= load)
            };
            let fit: Vec<Candidate> = self.open.iter().copied().filter(has_room).collect();
            let chosen = fit.get(preferred(shard, &fit)?)?.node;
            self.open.iter().position(|candidate| candidate.node == chosen)?
        };
        self.seat(position, load)
    }

    /// Gives a load to the runner that is furthest below its share; of equals, to the lowest id.
    fn take_roomiest(&mut self, load: u64) -> Option<NodeId> {
        let room = |candidate: &Candidate| {
            self.seats.get(&candidate.node).map_or(0, |seat| seat.share - seat.count)
        };
        let (position, _) = self
            .open
            .iter()
            .enumerate()
            .max_by_key(|(_, candidate)| (room(candidate), Reverse(candidate.node)))?;
        self.seat(position, load)
    }

    fn seat(&mut self, position: usize, load: u64) -> Option<NodeId> {
        let node = self.open.get(position)?.node;
        let seat = self.seats.get_mut(&node)?;
        seat.count = seat.count.saturating_add(load);
        if seat.count >= seat.share {
            self.open.swap_remove(position);
        }
        Some(node)
    }
}
