//! The replicated state, and what can be read from it.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::time::Duration;

use quarry_types::{
    Bindings, BootId, ClusterId, ClusterView, Epoch, MoveView, NodeId, NodeState, NodeView,
    ShardId, ShardView, Slot, SlotRange, Space,
};
use serde::{Deserialize, Serialize};

use super::{Loads, ownership::takes_shards};
use crate::{
    invariant::InvariantId,
    placement::{HEAVIEST, LIGHT},
};

/// The coordinator's state after some log entry. The same entries give the same state everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub(super) cluster: Option<ClusterId>,
    pub(super) max_moves: u32,
    /// Added to the log index of a grant to make its epoch.
    pub(super) base: u64,
    /// The highest epoch ever granted.
    pub(super) highest: Epoch,
    pub(super) nodes: BTreeMap<NodeId, NodeView>,
    /// Processes that can never join again, newest last: a late copy of their join is refused.
    pub(super) retired: BTreeMap<NodeId, Vec<BootId>>,
    pub(super) shards: BTreeMap<ShardId, ShardView>,
    /// What changed hands lately, oldest first.
    pub(super) moves: Vec<MoveView>,
    /// Which types are bound to which groups; snapshots hold it apart.
    #[serde(skip)]
    pub(super) bindings: Bindings,
    /// With which time to live the nodes count their leases that do not with the usual one; snapshots
    /// hold it apart.
    #[serde(skip)]
    pub(super) lease_ttls: BTreeMap<NodeId, Duration>,
}

impl State {
    /// The cluster's id; none before [`Command::Initialize`].
    #[must_use]
    pub const fn cluster(&self) -> Option<ClusterId> {
        self.cluster
    }

    /// Every node that ever joined.
    #[must_use]
    pub const fn nodes(&self) -> &BTreeMap<NodeId, NodeView> {
        &self.nodes
    }

    /// Every shard.
    #[must_use]
    pub const fn shards(&self) -> &BTreeMap<ShardId, ShardView> {
        &self.shards
    }

    /// Which types are bound to which groups.
    #[must_use]
    pub const fn bindings(&self) -> &Bindings {
        &self.bindings
    }

    /// The same state with these bindings, which a snapshot holds apart.
    #[must_use]
    pub fn bound_by(self, bindings: Bindings) -> Self {
        Self { bindings, ..self }
    }

    /// With which time to live the nodes count their leases that do not with the usual one.
    #[must_use]
    pub const fn lease_ttls(&self) -> &BTreeMap<NodeId, Duration> {
        &self.lease_ttls
    }

    /// The same state with these times to live, which a snapshot holds apart.
    #[must_use]
    pub fn counting_by(self, lease_ttls: BTreeMap<NodeId, Duration>) -> Self {
        Self { lease_ttls, ..self }
    }

    /// The processes that have a lease: all that joined and are not down.
    pub fn leased(&self) -> impl Iterator<Item = (NodeId, BootId)> + '_ {
        self.nodes
            .values()
            .filter(|node| node.state != NodeState::Down)
            .map(|node| (node.id, node.boot))
    }

    /// The highest epoch ever granted.
    #[must_use]
    pub const fn highest_epoch(&self) -> Epoch {
        self.highest
    }

    /// What the state looks like to the nodes. `applied` is the index of the last applied entry,
    /// `leader` the present leader, where one is known.
    #[must_use]
    pub fn view(&self, applied: u64, leader: Option<NodeId>) -> ClusterView {
        let mut shards: Vec<ShardView> = self.shards.values().cloned().collect();
        shards.sort_unstable_by_key(|shard| (shard.id.space(), shard.range.first));
        let (moves, bindings) = (self.moves.clone(), self.bindings.clone());
        let (nodes, lease_ttls) = (self.nodes.clone(), self.lease_ttls.clone());
        ClusterView { applied, leader, nodes, shards, moves, bindings, lease_ttls }
    }

    /// Whether [`Command::Rebalance`] with these loads would do something now.
    #[must_use]
    pub fn needs_rebalance(&self, loads: &Loads) -> bool {
        let is_news = |shard: &ShardView| shard.load != load_of(loads, shard.id);
        self.shards.values().any(is_news) || !self.next_round().moves.is_empty()
    }

    /// What the shards cost by what their owners reported, where that is not light; of a shard whose
    /// owner reported nothing yet, or what the whole cost that it came of, what was recorded.
    #[must_use]
    pub fn reported(&self, reports: &BTreeMap<NodeId, Loads>) -> Loads {
        let of = |shard: &ShardView| {
            let report = shard.owner.and_then(|owner| reports.get(&owner));
            let spoken_of = report.filter(|report| !speaks_of_whole(report, shard));
            spoken_of.map_or(shard.load, |report| load_of(report, shard.id))
        };
        let loads = self.shards.values().map(|shard| (shard.id, of(shard)));
        loads.filter(|(_, load)| *load > LIGHT).collect()
    }

    /// Records what the shards cost; whether that changed.
    pub(super) fn record(&mut self, loads: &Loads) -> bool {
        let mut is_news = false;
        for shard in self.shards.values_mut() {
            let load = load_of(loads, shard.id);
            is_news |= shard.load != load;
            shard.load = load;
        }
        is_news
    }

    /// The invariants that this state breaks; none, unless the program is wrong.
    #[must_use]
    pub fn violations(&self) -> Vec<InvariantId> {
        let mut broken = BTreeSet::new();
        let is_covered = |space| self.covers_every_slot_once(space);
        let has_strays = self.shards.keys().any(|id| !self.is_a_space(id.space()));
        if !self.shards.is_empty() && (has_strays || !self.bindings.spaces().all(is_covered)) {
            broken.insert(InvariantId::S1);
        }
        for shard in self.shards.values() {
            if !self.is_owned_soundly(shard) {
                broken.insert(InvariantId::S1);
            }
            if shard.epoch > self.highest || (shard.owner.is_some() && shard.epoch == Epoch(0)) {
                broken.insert(InvariantId::L1);
            }
        }
        broken.into_iter().collect()
    }

    fn is_a_space(&self, space: Space) -> bool {
        usize::from(space.0) <= self.bindings.groups.len()
    }

    fn covers_every_slot_once(&self, space: Space) -> bool {
        let of_it = self.shards.values().filter(|shard| shard.id.space() == space);
        let mut ranges: Vec<SlotRange> = of_it.map(|shard| shard.range).collect();
        ranges.sort_unstable();
        let mut next = Some(Slot(0));
        for range in ranges {
            if next != Some(range.first) || range.last < range.first {
                return false;
            }
            next = range.last.0.checked_add(1).map(Slot);
        }
        next.is_none()
    }

    /// The owner has a lease, and only an owned shard moves, to someone else who can take it.
    fn is_owned_soundly(&self, shard: &ShardView) -> bool {
        let is_leased =
            |id: NodeId| self.nodes.get(&id).is_some_and(|node| node.state != NodeState::Down);
        match (shard.owner, shard.moving_to) {
            (None, None) => true,
            (None, Some(_)) => false,
            (Some(owner), None) => is_leased(owner),
            (Some(owner), Some(to)) => is_leased(owner) && owner != to && self.takes(to, shard.id),
        }
    }

    /// Whether the node may be given shards now.
    pub(super) fn takes_shards(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(takes_shards)
    }

    /// Whether the node may be given this shard now: of a space that is bound to a group, its runners.
    pub(super) fn takes(&self, node: NodeId, shard: ShardId) -> bool {
        let group = self.bindings.group(shard.space());
        let is_of_group = |node: &NodeView| group.is_none_or(|group| node.groups.contains(group));
        self.nodes.get(&node).is_some_and(|node| takes_shards(node) && is_of_group(node))
    }
}

/// Whether the report was made before the whole was split that `shard` came of.
fn speaks_of_whole(report: &Loads, shard: &ShardView) -> bool {
    !report.contains_key(&shard.id) && report.keys().any(|id| shard.is_part_of(*id))
}

/// What a runner says of a load is bounded here, where every voter does the same.
fn load_of(loads: &Loads, shard: ShardId) -> u32 {
    loads.get(&shard).copied().unwrap_or(LIGHT).clamp(LIGHT, HEAVIEST)
}
