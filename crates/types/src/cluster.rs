//! What a node knows of the cluster: the applied state of the coordinator, as values.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    Address, Bindings, BootId, Division, Epoch, NodeId, ShardId, Slot, SlotRange, Space, Timestamp,
};

/// What a node does.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Hosts entities.
    Runner,
    /// Is a voter of the coordinator.
    Coordinator,
    /// Answers HTTP.
    Gateway,
    /// Serves limits.
    Limiter,
}

/// The state of a node in the cluster.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// Has a lease and takes shards.
    Up,
    /// Has a lease and gives its shards away.
    Draining,
    /// Said goodbye, or its lease ended.
    Down,
}

/// One node as the coordinator knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    /// The node.
    pub id: NodeId,
    /// Which of its process starts this is.
    pub boot: BootId,
    /// Its state.
    pub state: NodeState,
    /// What it does.
    pub roles: BTreeSet<Role>,
    /// Its share of the shards relative to others; 100 is usual, 0 takes none.
    pub weight: u32,
    /// Labels that entity types may be bound to.
    pub groups: BTreeSet<String>,
    /// `host:port` of its HTTP listener.
    pub http: String,
    /// `host:port` of its control plane.
    pub control: String,
    /// `host:port` of its message plane.
    pub mesh: String,
}

/// One shard as the coordinator knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardView {
    /// The shard.
    pub id: ShardId,
    /// Its slots.
    pub range: SlotRange,
    /// Who owns it, if anyone does.
    pub owner: Option<NodeId>,
    /// The epoch of the last grant; 0 before the first.
    pub epoch: Epoch,
    /// Who is to own it next: the owner finishes what runs and releases it.
    pub moving_to: Option<NodeId>,
    /// What it costs to serve, in units of a shard with little to do, as was recorded last.
    pub load: u32,
}

impl ShardView {
    /// Its place in the division of all slots.
    #[must_use]
    pub const fn division(&self) -> Division {
        Division { id: self.id, range: self.range }
    }

    /// Whether it came of `shard` by splits.
    #[must_use]
    pub fn is_part_of(&self, shard: ShardId) -> bool {
        let mut wholes = core::iter::successors(self.division().whole(), |part| part.whole());
        wholes.any(|whole| whole.id == shard)
    }
}

/// Why a shard changed hands, or was granted anew to whoever had it.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoveReason {
    /// It was granted for the first time.
    Founded,
    /// Nobody owned it until a runner could take it.
    Unowned,
    /// The lease of its owner ran out: by the coordinator's count, or by its own, so that it gave the
    /// shard up unasked.
    LeaseOver,
    /// Its owner said goodbye.
    Goodbye,
    /// A newer process of its owner's node took the older one's place.
    Restarted,
    /// Its owner's node was drained.
    Drained,
    /// Its owner had more than its share.
    Balanced,
    /// The store had recorded a higher epoch than the coordinator knew.
    EpochRaised,
    /// It is a half of a shard that was split.
    Split,
}

impl MoveReason {
    /// Its name in metrics, as in the API.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Founded => "founded",
            Self::Unowned => "unowned",
            Self::LeaseOver => "lease_over",
            Self::Goodbye => "goodbye",
            Self::Restarted => "restarted",
            Self::Drained => "drained",
            Self::Balanced => "balanced",
            Self::EpochRaised => "epoch_raised",
            Self::Split => "split",
        }
    }
}

/// Shards that went from one node to another for one reason in one log entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveView {
    /// The log index.
    pub index: u64,
    /// What the leader's clock said when it proposed the entry; for showing.
    pub at: Timestamp,
    /// Who owned them last, where that was not forgotten.
    pub from: Option<NodeId>,
    /// Who owns them now.
    pub to: NodeId,
    /// Why.
    pub reason: MoveReason,
    /// The epoch of the grants.
    pub epoch: Epoch,
    /// How many shards.
    pub count: u32,
    /// The first of them, by id.
    pub shards: Vec<ShardId>,
}

/// The applied state of the coordinator at one log index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterView {
    /// The Raft log index of the last applied entry; grows only.
    pub applied: u64,
    /// The coordinator's leader, as this node knows it.
    pub leader: Option<NodeId>,
    /// The nodes, by id.
    pub nodes: BTreeMap<NodeId, NodeView>,
    /// The shards by space, and in order of their ranges: those of each space together hold every
    /// slot, once (S1).
    pub shards: Vec<ShardView>,
    /// The last changes of hands, oldest first; bounded.
    pub moves: Vec<MoveView>,
    /// Which types are bound to which groups. Written apart, and only where there is something to
    /// write: older programs read the rest.
    #[serde(skip)]
    pub bindings: Bindings,
    /// How long leases live with which nodes do not count with the usual time; known to voters.
    #[serde(skip)]
    pub lease_ttls: BTreeMap<NodeId, Duration>,
}

/// Where an entity lives, by a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home<'a> {
    /// In this shard.
    Shard(&'a ShardView),
    /// In a shard of this space, when the first shards are made.
    Unmade(Space),
    /// In one of this space, once it is recorded that its type is used.
    Unused(Space),
}

impl ClusterView {
    /// The shard of the default space that holds `slot`; none before the first shards are made.
    #[must_use]
    pub fn shard_of(&self, slot: Slot) -> Option<&ShardView> {
        self.shard_at(Space::DEFAULT, slot)
    }

    /// The shard of `space` that holds `slot`; none before it is made.
    #[must_use]
    pub fn shard_at(&self, space: Space, slot: Slot) -> Option<&ShardView> {
        let place = |shard: &ShardView| (shard.id.space(), shard.range.last);
        let index = self.shards.partition_point(|shard| place(shard) < (space, slot));
        let found = self.shards.get(index)?;
        (found.id.space() == space && found.range.contains(slot)).then_some(found)
    }

    /// Where `address` lives.
    #[must_use]
    pub fn home_of(&self, address: &Address) -> Home<'_> {
        let Some(space) = self.bindings.space_of(&address.entity_type) else {
            return Home::Unused(self.bindings.bound_to(&address.entity_type));
        };
        self.shard_at(space, address.slot()).map_or(Home::Unmade(space), Home::Shard)
    }

    /// The shards that `node` owns.
    pub fn owned_by(&self, node: NodeId) -> impl Iterator<Item = &ShardView> {
        self.shards.iter().filter(move |shard| shard.owner == Some(node))
    }
}
