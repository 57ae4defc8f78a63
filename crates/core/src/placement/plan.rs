//! The plan: which shards are to go where.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};
use quarry_types::{NodeId, ShardId};

use super::pool::Pool;

/// A live runner that may take shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runner {
    /// Its share relative to others; 0 takes none.
    pub weight: u32,
    /// Its labels.
    pub groups: BTreeSet<String>,
}

/// A shard as it is recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shard {
    /// Where it is, or where it is going.
    pub home: Option<NodeId>,
    /// Whether it is under way to its home, so that it cannot be moved now.
    pub is_moving: bool,
    /// The label that its runner must have, where it is bound to one.
    pub group: Option<String>,
    /// What it costs to serve, in units of a shard with little to do; 0 counts as 1.
    pub load: u32,
}

/// What a plan is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// The runners that may take shards now: live and not draining.
    pub runners: BTreeMap<NodeId, Runner>,
    /// All shards.
    pub shards: BTreeMap<ShardId, Shard>,
}

/// How much one plan may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many shards may move for balance alone. Shards without a home are placed at once,
    /// whatever this says.
    pub max_moves: u32,
}

/// One shard that is to go somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Move {
    /// The shard.
    pub shard: ShardId,
    /// Where it was, if anywhere.
    pub from: Option<NodeId>,
    /// Its new home.
    pub to: NodeId,
}

/// What is to change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// First the shards without a home among the runners, heaviest first, then by id; then those
    /// that move for balance.
    pub moves: Vec<Move>,
    /// The shards without a home that no runner can take.
    pub unplaced: Vec<ShardId>,
}

/// Makes the plan. Shards whose home is none of the runners go to the runner they prefer among
/// those below their share; then runners above their share give the shards they suit least, as
/// many as `limits` allows, to those below. A shard moves only where giver and taker stay within
/// what they should have, so a shard with a high load makes its runner give others away. The shards
/// of each group are divided among that group's runners apart from all others.
#[must_use]
pub fn plan(input: &Input, limits: Limits) -> Plan {
    let mut plan = Plan::default();
    let mut pools = pools(input);
    for pool in pools.values_mut() {
        pool.settle(&mut plan);
    }
    let mut budget = usize::try_from(limits.max_moves).unwrap_or(usize::MAX);
    for pool in pools.values_mut() {
        budget = budget.saturating_sub(pool.balance(budget, &mut plan));
    }
    plan
}

/// One pool per group that shards are bound to, and one for the shards that are bound to none.
pub(super) fn pools(input: &Input) -> BTreeMap<Option<&str>, Pool> {
    let mut pools: BTreeMap<Option<&str>, Pool> = BTreeMap::new();
    for (id, shard) in &input.shards {
        let group = shard.group.as_deref();
        pools.entry(group).or_insert_with(|| Pool::new(group, &input.runners)).add(*id, shard);
    }
    pools.into_iter().map(|(group, pool)| (group, pool.apportioned())).collect()
}
