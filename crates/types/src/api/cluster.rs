//! The documents that show the cluster.

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

use crate::{MoveReason, NodeState, Role};

/// Where an entity lives, and why.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// The entity's type.
    #[serde(rename = "type")]
    pub entity_type: String,
    /// The entity's id.
    pub id: String,
    /// Its tenant.
    pub tenant: String,
    /// Its slot.
    pub slot: u16,
    /// The group of runners that its type is bound to; `default` for none.
    pub group: String,
    /// The space of that group; 0 for none.
    pub space: u16,
    /// The shard that holds the slot; absent before the first shards are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// `host:port` of the owner's HTTP listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_http: Option<String>,
    /// The log index of the coordinator that this is read from.
    pub applied: u64,
    /// The coordinator's leader then, where one was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<u64>,
    /// Why it lives there, for people.
    pub reason: String,
    /// The runners that may own the shard, in the order in which it prefers them.
    pub candidates: Vec<Candidate>,
}

/// A runner that may own a shard, as the planner sees it.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The node.
    pub node: u64,
    /// How little it suits the shard, by weighted rendezvous: the lowest is preferred. In
    /// millionths, for a weight of 100.
    pub cost: u64,
    /// What it has, or is to have by moves under way: the loads of its shards.
    pub load: u64,
    /// What it should have.
    pub share: u64,
}

/// A shard.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shard {
    /// Its id.
    pub id: u32,
    /// The space that it is one of; absent where it is that of types bound to no group.
    #[serde(default, skip_serializing_if = "is_default_space")]
    pub space: u16,
    /// Its first slot.
    pub first: u16,
    /// Its last slot.
    pub last: u16,
    /// The node that owns it.
    pub owner: Option<u64>,
    /// The epoch of the last grant; 0 before the first.
    pub epoch: u64,
    /// The node that is to own it next.
    pub moving_to: Option<u64>,
    /// What it costs to serve, in units of a shard with little to do: 1 to 64, as the planner
    /// counts it.
    pub load: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
const fn is_default_space(space: &u16) -> bool {
    *space == 0
}

/// An entity type that is bound to a group of runners.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// The type.
    #[serde(rename = "type")]
    pub entity_type: String,
    /// The group; `default` for none.
    pub group: String,
}

/// A type is bound.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// The type.
    #[serde(rename = "type")]
    pub entity_type: String,
    /// The group; `default` for none.
    pub group: String,
    /// The log index of the coordinator at which it stands, or at which it had been done.
    pub applied: u64,
}

/// All shards.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shards {
    /// The log index of the coordinator that this is read from.
    pub applied: u64,
    /// The coordinator's leader then, where one was known.
    #[serde(default)]
    pub leader: Option<u64>,
    /// The shards in order of their slots.
    pub shards: Vec<Shard>,
}

/// A node.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its id.
    pub id: u64,
    /// Its state.
    pub state: NodeState,
    /// What it does.
    pub roles: Vec<Role>,
    /// Its share of the shards relative to others.
    pub weight: u32,
    /// Labels that entity types may be bound to.
    pub groups: Vec<String>,
    /// `host:port` of its HTTP listener.
    pub http: String,
    /// `host:port` of its control plane.
    pub control: String,
    /// `host:port` of its message plane.
    pub mesh: String,
    /// How many shards it owns.
    pub shards: u32,
}

/// How many shards are in which state.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardCount {
    /// All of them.
    pub total: u32,
    /// Those that a node owns.
    pub owned: u32,
    /// Those that nobody owns.
    pub unowned: u32,
    /// Those on their way to another node.
    pub moving: u32,
}

/// The cluster as the answering node knows it.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// The node that answers.
    pub node: u64,
    /// The log index of the coordinator that this is read from.
    pub applied: u64,
    /// The coordinator's leader, where one is known.
    pub leader: Option<u64>,
    /// The Raft term.
    pub term: u64,
    /// The coordinator's voters.
    pub voters: Vec<u64>,
    /// Whether the answering node heard of a working leader lately.
    pub has_quorum: bool,
    /// How the answering node's control and message planes are protected.
    pub planes: Protection,
    /// How many shards are in which state.
    pub shards: ShardCount,
    /// The entity types that are bound to groups, by name.
    #[serde(default)]
    pub bindings: Vec<Binding>,
    /// The nodes, by id.
    pub nodes: Vec<Node>,
}

/// How the planes of a node are protected, beside the cookie that they always ask for.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protection {
    /// Mutual TLS with certificates of the cluster's authority.
    Tls,
    /// They are reached from their own machine only.
    #[default]
    Loopback,
    /// Anyone on the way can read and change what crosses: `cluster.insecure`.
    Insecure,
}

/// What is to change hands.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The log index of the coordinator that this is read from.
    pub applied: u64,
    /// The coordinator's leader then, where one was known.
    #[serde(default)]
    pub leader: Option<u64>,
    /// The nodes that are taken to be lost.
    pub if_lost: Vec<u64>,
    /// The changes, by shard.
    pub moves: Vec<PlannedMove>,
    /// Shards that nobody could own, or that stay with a node that is drained.
    pub waiting: Vec<u32>,
}

/// One shard that is to change hands.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedMove {
    /// The shard.
    pub shard: u32,
    /// Who owns it now.
    pub from: Option<u64>,
    /// Who is to own it.
    pub to: u64,
    /// Why.
    pub reason: MoveReason,
    /// Whether its owner hands it over; else it is taken at once.
    pub handed_over: bool,
}

/// The last changes of hands.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moves {
    /// The log index of the coordinator that this is read from.
    pub applied: u64,
    /// The coordinator's leader then, where one was known.
    #[serde(default)]
    pub leader: Option<u64>,
    /// At most 256, newest first.
    pub moves: Vec<Move>,
}

/// Shards that went from one node to another, or were granted to the same one anew, together and
/// for one reason.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The log index of the coordinator at which it stands.
    pub index: u64,
    /// When its leader proposed it (RFC 3339, UTC).
    pub at: String,
    /// Who owned them last, where that was not forgotten.
    pub from: Option<u64>,
    /// Who owned them then.
    pub to: u64,
    /// Why.
    pub reason: MoveReason,
    /// The epoch of the grants.
    pub epoch: u64,
    /// How many shards.
    pub count: u32,
    /// The first of them by id, at most 32.
    pub shards: Vec<u32>,
}

/// Asks for one voter in the place of another.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplaceVoter {
    /// Who votes no more; its process has ended.
    pub old: u64,
    /// Who votes instead: a node that is up, and was started as a voter with an empty directory.
    pub new: u64,
}

/// A voter was replaced.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoterReplaced {
    /// Who votes no more.
    pub old: u64,
    /// Who votes instead.
    pub new: u64,
    /// The log index of the coordinator at which the change stands.
    pub applied: u64,
}

/// A change of the cluster that is applied.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The node that was changed, or the first of them.
    pub node: u64,
    /// All nodes that were changed.
    pub nodes: Vec<u64>,
    /// The log index of the coordinator at which the change stands.
    pub applied: u64,
}

/// A shard that is split.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// The shard that was split: it is no more.
    pub shard: u32,
    /// What came in its place, in order of their slots: its halves, or what these were split into
    /// since.
    pub parts: Vec<Shard>,
    /// The log index of the coordinator at which the split stands, or at which it had been done.
    pub applied: u64,
}
