//! The documents that show the cluster.

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

use crate::{NodeState, Role};

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
    /// The shard that holds the slot; absent before the first shards are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// `host:port` of the owner's HTTP listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_http: Option<String>,
    /// The log index of the coordinator that this is read from.
    pub applied: u64,
    /// Why it lives there, for people.
    pub reason: String,
}

/// A shard.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shard {
    /// Its id.
    pub id: u32,
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
}

/// All shards.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shards {
    /// The log index of the coordinator that this is read from.
    pub applied: u64,
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

/// A change of the cluster that is applied.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The node that was changed.
    pub node: u64,
    /// The log index of the coordinator at which the change stands.
    pub applied: u64,
}
