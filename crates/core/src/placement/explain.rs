//! Why a shard is where it is.

use alloc::vec::Vec;
use quarry_types::{NodeId, ShardId};

use super::{
    plan::{Input, pools},
    score::{Cost, cost},
};

/// A runner that may take a shard, as the planner sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suitor {
    /// The runner.
    pub node: NodeId,
    /// How little it suits the shard.
    pub cost: Cost,
    /// How much of the pool's load it has, or is to have by moves under way; where no load is
    /// known, how many shards.
    pub count: u64,
    /// How much it should have.
    pub share: u64,
}

/// The runners that may take `shard`, best first; none where the shard is not of the input.
#[must_use]
pub fn explain(input: &Input, shard: ShardId) -> Vec<Suitor> {
    let Some(group) = input.shards.get(&shard).map(|shard| shard.group.as_deref()) else {
        return Vec::new();
    };
    let mut suitors: Vec<Suitor> = pools(input)
        .into_iter()
        .find(|(of, _)| *of == group)
        .map(|(_, pool)| {
            pool.seats()
                .map(|(node, seat)| Suitor {
                    node,
                    cost: cost(shard, node, seat.weight),
                    count: seat.count,
                    share: seat.share,
                })
                .collect()
        })
        .unwrap_or_default();
    suitors.sort_unstable_by_key(|suitor| (suitor.cost, suitor.node));
    suitors
}

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeMap, vec};

    use super::*;
    use crate::placement::{Runner, Shard, preference};

    #[test]
    fn suitors_stand_in_the_order_of_preference_with_count_and_share() {
        let runner = |weight| Runner { weight, ..Runner::default() };
        let home = |node| Shard { home: Some(NodeId(node)), ..Shard::default() };
        let input = Input {
            runners: BTreeMap::from([(NodeId(1), runner(100)), (NodeId(2), runner(300))]),
            shards: (0..8).map(|id| (ShardId(id), home(1))).collect(),
        };
        let suitors = explain(&input, ShardId(3));
        let order: Vec<NodeId> = suitors.iter().map(|suitor| suitor.node).collect();
        assert_eq!(order, preference(ShardId(3), [(NodeId(1), 100), (NodeId(2), 300)]));
        let mut shares: Vec<_> =
            suitors.iter().map(|suitor| (suitor.node.0, suitor.count, suitor.share)).collect();
        shares.sort_unstable();
        assert_eq!(shares, [(1, 8, 2), (2, 0, 6)]);
        assert_eq!(explain(&input, ShardId(99)), vec![]);
    }
}
