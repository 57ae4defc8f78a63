//! What a runner asks of the coordinator.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{LeaseGuard, watch};
use async_trait::async_trait;
use quarry_types::{ClusterView, EntityType, Epoch, NodeId, ShardId};

/// Why the coordinator did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CoordinatorError {
    /// No leader is reachable; try again.
    #[error("no coordinator leader is reachable: {reason}")]
    Unavailable {
        /// What hindered it.
        reason: String,
    },
    /// The applied state forbids it.
    #[error("{reason}")]
    Refused {
        /// Why, and what to do.
        reason: String,
    },
    /// The applied state forbids it for now; try again.
    #[error("{reason}")]
    NotYet {
        /// Why.
        reason: String,
    },
}

/// What an operator asks of the coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Administration {
    /// Move all shards away from these nodes, and none to another of them; all or none; idempotent.
    /// Refused where no node that takes shards would be left.
    Drain(BTreeSet<NodeId>),
    /// Move all shards away from this node, whose process ends, though nobody may be left to take
    /// them; idempotent.
    Withdraw(NodeId),
    /// Let these nodes take shards again; all or none; idempotent.
    Undrain(BTreeSet<NodeId>),
    /// Let one node vote in the place of another, which is down; idempotent, and goes on where an
    /// attempt before it was broken off.
    ReplaceVoter {
        /// Who votes no more.
        old: NodeId,
        /// Who votes instead: up, and started as a voter.
        new: NodeId,
    },
    /// Put two shards of half the slots each in the place of this one; idempotent.
    Split(ShardId),
    /// Bind an entity type that was never used to a group of runners; idempotent.
    Bind {
        /// The type.
        entity_type: EntityType,
        /// The group.
        group: String,
    },
    /// Record that an entity type is used, so that its binding stands; idempotent.
    Use(EntityType),
}

impl Administration {
    /// [`Administration::Drain`] of these nodes.
    pub fn drain(nodes: impl IntoIterator<Item = NodeId>) -> Self {
        Self::Drain(nodes.into_iter().collect())
    }

    /// [`Administration::Undrain`] of these nodes.
    pub fn undrain(nodes: impl IntoIterator<Item = NodeId>) -> Self {
        Self::Undrain(nodes.into_iter().collect())
    }
}

/// The Raft group as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoordinatorStatus {
    /// The leader, where one is known.
    pub leader: Option<NodeId>,
    /// The Raft term.
    pub term: u64,
    /// The last log index applied on this node.
    pub applied: u64,
    /// How many entries the leader has applied that this node has not, as it was told last.
    pub behind: u64,
    /// The voters.
    pub voters: Vec<NodeId>,
    /// Whether this node heard of a working leader (as leader: had its quorum) within the last
    /// lease time.
    pub has_quorum: bool,
}

/// The coordinator as a runner sees it.
#[async_trait]
pub trait Coordinator: Send + Sync + 'static {
    /// The applied state, newest last; `applied` only grows. A hint for routing; for ownership it
    /// counts together with [`Coordinator::lease`].
    fn view(&self) -> watch::Receiver<Arc<ClusterView>>;

    /// This runner's lease. It is held only while [`Coordinator::view`] is at least as new as this
    /// process's last join.
    fn lease(&self) -> LeaseGuard;

    /// Says what this runner's shards cost to serve, where that is more than one with little to do:
    /// the leader hears of it by a later heartbeat. A hint for balance, the last one counts.
    fn report(&self, loads: BTreeMap<ShardId, u32>);

    /// Says that this runner has closed these shards: it commits nothing more in them under these
    /// epochs. Repeating it changes nothing.
    ///
    /// # Errors
    /// [`CoordinatorError`]; the caller repeats it while it is alive.
    async fn release(&self, shards: Vec<(ShardId, Epoch)>) -> Result<(), CoordinatorError>;

    /// Reports that the store refused to load these shards because epochs up to these were spent. Those
    /// that are granted under newer ones are passed over.
    ///
    /// # Errors
    /// [`CoordinatorError`]; the caller repeats it.
    async fn fences_refused(&self, spent: Vec<(ShardId, Epoch)>) -> Result<(), CoordinatorError>;

    /// Asks for a change; returns when it is applied, with its log index.
    ///
    /// # Errors
    /// [`CoordinatorError`].
    async fn administer(&self, what: Administration) -> Result<u64, CoordinatorError>;

    /// Ends this node's lease for good: its shards are given away at once.
    ///
    /// # Errors
    /// [`CoordinatorError`]; the lease then ends by time.
    async fn goodbye(&self) -> Result<(), CoordinatorError>;

    /// The Raft group as this node sees it.
    fn status(&self) -> CoordinatorStatus;
}
