//! What became of a command.

use quarry_types::{BootId, ClusterId, Epoch, NodeId, ShardId};
use serde::{Deserialize, Serialize};

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// The state changed.
    Applied(Changes),
    /// Nothing changed, because nothing needed to: it was done before, or it is out of date.
    Ignored(Ignored),
    /// Nothing changed, because the state forbids it.
    Refused(Refused),
}

/// What an applied command did to the shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Shards granted under a new epoch.
    pub granted: u32,
    /// Shards that their owner was told to hand over, or to hand over to someone else.
    pub moving: u32,
    /// Shards that no runner can take now: without an owner, or kept by one that is draining.
    /// They are placed as soon as a runner joins.
    pub waiting: u32,
}

/// Why a command changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Ignored {
    /// It was done before.
    #[error("already so")]
    AlreadySo,
    /// It speaks of a process that is not the node's present one.
    #[error("process {boot:?} is not the present one of node {node}")]
    StaleBoot {
        /// The node.
        node: NodeId,
        /// The process that the command named.
        boot: BootId,
    },
    /// The node owns none of the shards it released, or under other epochs.
    #[error("node {node} owns none of these shards under these epochs")]
    NotOwner {
        /// The node.
        node: NodeId,
    },
    /// No shard needs to move, or as many are moving as may.
    #[error("nothing to move now")]
    NothingToMove,
}

/// Why the state forbids a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refused {
    /// There is another cluster already.
    #[error("the cluster exists already, with id {present}")]
    OtherCluster {
        /// Its id.
        present: ClusterId,
    },
    /// The number of shards is out of bounds.
    #[error("{shards} shards: must be a power of two of at most 65536")]
    InvalidShards {
        /// The number asked for.
        shards: u32,
    },
    /// No shard could ever move.
    #[error("the number of moves at a time must be at least 1")]
    NoMoves,
    /// No such node ever joined.
    #[error("node {node} is not known")]
    UnknownNode {
        /// The node.
        node: NodeId,
    },
    /// The node is down.
    #[error("node {node} is down")]
    NodeDown {
        /// The node.
        node: NodeId,
    },
    /// The process said goodbye, or was replaced by a newer one: it cannot come back.
    #[error("process {boot:?} of node {node} has ended; start it again")]
    BootEnded {
        /// The node.
        node: NodeId,
        /// The process.
        boot: BootId,
    },
    /// No epoch could follow this one.
    #[error("epoch {epoch} is too high to be true")]
    EpochOutOfBounds {
        /// The epoch that was reported.
        epoch: Epoch,
    },
    /// There is no such shard, and there never was.
    #[error("shard {shard} is not known")]
    UnknownShard {
        /// The shard.
        shard: ShardId,
    },
    /// The shard is on its way to another node.
    #[error("shard {shard} is moving to node {to} and is split when it is there: try again")]
    ShardMoving {
        /// The shard.
        shard: ShardId,
        /// Where it is going.
        to: NodeId,
    },
    /// The shard has one slot.
    #[error("shard {shard} has one slot and cannot be split")]
    IndivisibleShard {
        /// The shard.
        shard: ShardId,
    },
    /// All nodes that take shards would be drained.
    #[error(
        "no runner would be left: no other node is up and takes shards; start another one or undrain \
         one first"
    )]
    NoRunnerLeft,
    /// The type was used: its entities would be looked for where they are not.
    #[error(
        "the type was used already, so it stays where its entities are: bind a type before its first \
         message, or give what is to live elsewhere a type of its own"
    )]
    TypeUsed,
    /// Nobody recorded which types were used.
    #[error(
        "this cluster was made without bound types and did not record which types were used since: \
         name at least one [entities.TYPE] group in the configuration with which a cluster is made"
    )]
    UsesUnknown,
    /// There would be too many shards.
    #[error("{groups} groups with {shards} shards each: all spaces may begin with 65536 shards")]
    TooManyGroups {
        /// The groups that would have a space.
        groups: u32,
        /// The shards of each.
        shards: u32,
    },
    /// There are too many types.
    #[error("{types} entity types are used already, and more are not recorded")]
    TooManyTypes {
        /// How many.
        types: u32,
    },
    /// It is no name of a group that types are bound to.
    #[error("a group is named by 1 to 64 letters, digits, - or _")]
    InvalidGroup,
}

impl Refused {
    /// Whether the same may be done a little later, without anybody's doing.
    #[must_use]
    pub const fn is_for_now(&self) -> bool {
        matches!(self, Self::ShardMoving { .. })
    }
}
