//! What can be asked of the coordinator: the content of log entries.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};
use core::time::Duration;

use quarry_types::{BootId, ClusterId, EntityType, Epoch, NodeId, Role, ShardId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::lease::LeaseTimes;

/// A log entry. All of them may be repeated: a second one changes nothing, or no more than the
/// first would have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Makes the cluster and its shards. Nodes may join before or after.
    Initialize {
        /// The cluster's id, drawn at random by whoever asks first.
        cluster: ClusterId,
        /// How many shards: a power of two, at most 65,536.
        shards: u32,
        /// How many shards may be moving for balance at a time; at least 1.
        max_moves: u32,
    },
    /// A process of a node comes in, or changes what it says of itself. A new boot id of a known
    /// node replaces the process before it, whose shards are granted anew, to the same node where
    /// it takes shards. Whoever proposes it vouches that the older process is gone: the new one holds
    /// the lock of the same data directory (see [`fit`](super::fit)). A drain ends with the process it
    /// was for.
    Join {
        /// Who comes in.
        node: Member,
    },
    /// Ends the lease of a process; its shards are granted to others in the same entry.
    EndLease {
        /// The node.
        node: NodeId,
        /// Its process; where it is not the present one, nothing happens.
        boot: BootId,
        /// Why.
        cause: LeaseEnd,
    },
    /// Moves all shards away from these nodes, and none of them to another of these: from all, or
    /// from none where one of them is unknown or down. Whether anybody is left to take them is not
    /// asked: a process that ends drains its own node.
    Drain {
        /// The nodes.
        nodes: BTreeSet<NodeId>,
    },
    /// Ends a drain: the shards that have not left yet stay. For all, or none.
    Undrain {
        /// The nodes.
        nodes: BTreeSet<NodeId>,
    },
    /// The owner has closed these shards and commits nothing more in them under these epochs.
    Release {
        /// The owner.
        node: NodeId,
        /// Its process.
        boot: BootId,
        /// What it closed; pairs that it does not own are passed over.
        shards: Vec<(ShardId, Epoch)>,
    },
    /// The store refused to load these shards, because these epochs are spent: where one is
    /// above the shard's grant, the coordinator's data was lost. The base is raised above it, and
    /// the shard is granted anew to its owner.
    RaiseBase {
        /// The shards, with the newest epochs that are spent.
        refused: Vec<(ShardId, Epoch)>,
    },
    /// Records what shards cost, and marks the next round of moves for balance by that.
    Rebalance {
        /// All shards that are not light.
        loads: Loads,
    },
    /// Puts two shards of half the slots each in the place of one, under a new epoch and with its
    /// owner. Their ids follow from its own ([`Division::halves`](quarry_types::Division::halves)).
    Split {
        /// The shard.
        shard: ShardId,
    },
    /// As [`Command::Drain`], unless no node that takes shards would be left. Decided where it is
    /// applied, so that of two that are asked for at once the second is refused where both together
    /// would leave none.
    DrainSome {
        /// The nodes.
        nodes: BTreeSet<NodeId>,
    },
    /// As [`Command::Initialize`], with entity types that are bound to groups; which types are used is
    /// recorded from then on.
    Found {
        /// The cluster's id, drawn at random by whoever asks first.
        cluster: ClusterId,
        /// How many shards each space begins with: a power of two, at most 65,536 in all.
        shards: u32,
        /// How many shards may be moving for balance at a time; at least 1.
        max_moves: u32,
        /// What is bound, and what was used before.
        founding: Founding,
    },
    /// Binds an entity type that was never used to a group, or to none.
    Bind {
        /// The type.
        entity_type: EntityType,
        /// The group; [`DEFAULT_GROUP`](quarry_types::DEFAULT_GROUP) for none.
        group: String,
    },
    /// Records that an entity type is used: from then on its binding stands.
    Use {
        /// The type.
        entity_type: EntityType,
    },
    /// As [`Command::Join`], of a process that does not count its lease with the usual time to live.
    JoinFor {
        /// Who comes in.
        node: Member,
        /// How long its leases live: it stops after 85 % of this, so no leader ends them before.
        lease_ttl: Duration,
    },
}

impl Command {
    /// The entry by which a process joins that counts its leases with this time to live.
    #[must_use]
    pub fn join(node: Member, lease_ttl: Duration) -> Self {
        if lease_ttl == LeaseTimes::USUAL_TTL {
            Self::Join { node }
        } else {
            Self::JoinFor { node, lease_ttl }
        }
    }

    /// Who joins by it.
    #[must_use]
    pub const fn joining(&self) -> Option<&Member> {
        match self {
            Self::Join { node } | Self::JoinFor { node, .. } => Some(node),
            _ => None,
        }
    }
}

/// What is said of entity types where a cluster is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founding {
    /// The groups of the types that are bound to one.
    pub bindings: BTreeMap<EntityType, String>,
    /// Groups that have a space already, that of space 1 first: where a coordinator is made anew for a
    /// store that has rows of them.
    pub groups: Vec<String>,
    /// The types that such a store has rows of.
    pub used: BTreeSet<EntityType>,
}

/// What shards cost to serve, where that is more than [`LIGHT`](crate::placement::LIGHT).
pub type Loads = BTreeMap<ShardId, u32>;

/// Where a log entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// Its index.
    pub index: u64,
    /// What the leader's clock said when it proposed the entry; for showing only.
    pub time: Timestamp,
}

impl From<u64> for At {
    /// At an unknown time.
    fn from(index: u64) -> Self {
        Self { index, time: Timestamp(0) }
    }
}

/// Why a lease ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaseEnd {
    /// It was not renewed in time. The same process may join again.
    Expired,
    /// The process said that it is done. It cannot join again.
    Goodbye,
    /// A newer process of the node holds the data directory. The old one cannot join again. A
    /// [`Command::Join`] of the newer one does the same, and keeps the shards at home.
    NewIncarnation,
}

/// What a process says of itself when it joins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The node.
    pub id: NodeId,
    /// This process.
    pub boot: BootId,
    /// What it does. Only a [`Role::Runner`] takes shards.
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
