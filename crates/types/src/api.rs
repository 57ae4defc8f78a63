//! The documents of the HTTP interface, shared by the gateway that writes and the client that
//! reads them. Names in JSON are in `camelCase`, but for the members of [`Problem`] that stand so
//! in the interface's description. `J` is how a user's JSON is held.

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

use crate::Delivery;

mod cluster;

pub use cluster::{
    Binding, Bound, Candidate, Change, Cluster, Move, Moves, Node, Placement, Plan, PlannedMove,
    Protection, ReplaceVoter, Shard, ShardCount, Shards, Split, VoterReplaced,
};

/// Which of the three answers a call got (G6), where it was not *done*.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemOutcome {
    /// Surely not done.
    Refused,
    /// Done: the outcome is a failure, and stays so.
    Failed,
    /// May have been done; a retry with the same key is safe.
    Unknown,
}

/// An error as `application/problem+json` (RFC 9457).
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A URN that names the kind of problem: `urn:quarry:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem, for people.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// This problem, for people: who, what, where, what to do.
    pub detail: String,
    /// The path that was asked for.
    pub instance: String,
    /// Stable, for programs.
    pub code: String,
    /// The W3C trace id of the request: 32 hexadecimal digits.
    pub trace_id: String,
    /// Whether the same request may succeed later without a change.
    pub retryable: bool,
    /// What is known of the call's effect.
    pub outcome: ProblemOutcome,
    /// The header, parameter or member of the body that is at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Where malformed JSON breaks: the line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Where malformed JSON breaks: the column, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// What exists, where something was asked for that does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub available: Vec<String>,
    /// The mistakes in a pack, where it has some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<crate::ontology::PackProblem>,
    /// When a retry may succeed, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u32>,
    /// The message's id, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
}

/// The answer 202: the message is stored and will be handled.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    /// The id to ask for at `/v1/messages/{id}`.
    pub message_id: String,
    /// Whether the message stood before this request.
    pub replayed: bool,
}

/// What a stored message waits for or ended as.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageStatus {
    /// Accepted and not finished.
    Open,
    /// Accepted, and not begun because it is to be handled at a time.
    Delayed,
    /// Set aside for an operator.
    Quarantined,
    /// Finished.
    Finished,
}

/// How a finished message ended.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "status")]
pub enum MessageOutcome<J> {
    /// The handler replied.
    Success {
        /// Its reply; `null` for none.
        reply: J,
    },
    /// The handler declared a final failure, or an operator ended the message.
    Failure {
        /// Stable, for programs.
        code: String,
        /// For people.
        message: String,
    },
}

/// A stored message.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message<J> {
    /// Its id.
    pub message_id: String,
    /// The type of its entity.
    #[serde(rename = "type")]
    pub entity_type: String,
    /// The id of its entity.
    pub id: String,
    /// The method that it calls.
    pub method: String,
    /// Its idempotency key.
    pub key: String,
    /// What it waits for or ended as.
    pub state: MessageStatus,
    /// Attempts begun so far.
    pub attempts: u32,
    /// When it was accepted (RFC 3339, UTC).
    pub accepted_at: String,
    /// Before when one that is not finished is not tried (RFC 3339, UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<String>,
    /// The quarantined message of its entity behind which it waits; shown for a single message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_up_by: Option<String>,
    /// When it ended (RFC 3339, UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// The errors of its attempts, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// How it ended.
    #[serde(default = "none::<MessageOutcome<J>>", skip_serializing_if = "Option::is_none")]
    pub outcome: Option<MessageOutcome<J>>,
    /// Its argument; shown for a single message, not in lists.
    #[serde(default = "none::<J>", skip_serializing_if = "Option::is_none")]
    pub payload: Option<J>,
    /// The argument that an operator put in its place; shown for a single message that has not
    /// finished.
    #[serde(default = "none::<J>", skip_serializing_if = "Option::is_none")]
    pub edited: Option<J>,
}

fn none<T>() -> Option<T> {
    None
}

/// Why an extraction failed.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtractionFailure {
    /// Stable, for programs.
    pub code: String,
    /// For people.
    pub message: String,
}

/// How far an extraction is.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Extraction {
    /// Its name.
    pub request_id: String,
    /// Whether it waits or runs, is set aside, or has ended.
    pub state: MessageStatus,
    /// The newest message that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// How whole the graph is, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grade: Option<String>,
    /// Why there is no graph, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<ExtractionFailure>,
}

/// A page of a list.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Pass it as `cursor`, of a journal as `after`, to get the next page; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An entity in a list.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntitySummary {
    /// Its type.
    #[serde(rename = "type")]
    pub entity_type: String,
    /// Its id.
    pub id: String,
    /// The slot that it lives in.
    pub slot: u16,
    /// The size of its stored state.
    pub state_bytes: u64,
    /// When its state changed last (RFC 3339, UTC).
    pub updated_at: String,
}

/// One entity, looked at closely.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entity {
    /// Where it lives.
    #[serde(flatten)]
    pub placement: Placement,
    /// The size of its stored state; absent where none is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_bytes: Option<u64>,
    /// The commit of its shard that wrote the state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Messages that wait for it, newest first, at most 100.
    pub open: Vec<String>,
    /// Messages that are to be handled at a time, newest first, at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delayed: Vec<String>,
    /// Messages set aside for an operator, newest first, at most 100.
    pub quarantined: Vec<String>,
    /// The newest error of the messages above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// What is in memory of it; told by the node that owns its shard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<EntityMemory>,
}

/// What its owner has of an entity in memory.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityMemory {
    /// Whether it is resident; a dormant one is activated by its next message.
    pub resident: bool,
    /// Whether a handler of it runs.
    pub running: bool,
    /// Messages that wait for it, as its limit counts them.
    pub waiting: u64,
    /// How many may; one more is refused.
    pub mailbox: u64,
}

/// A method of an entity type.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MethodEntry {
    /// Its name.
    pub name: String,
    /// How it is delivered.
    pub delivery: Delivery,
}

/// An entity type.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeEntry {
    /// Its name.
    pub name: String,
    /// Its methods.
    pub methods: Vec<MethodEntry>,
}

/// The entity types that exist.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Types {
    /// By name.
    pub types: Vec<TypeEntry>,
}

/// How a node is.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// All is well.
    Healthy,
    /// It works, and something that it leans on does not.
    Degraded,
    /// It cannot do its work.
    Unhealthy,
}

/// One thing that was looked at.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name: `store`, `coordinator`, `lease`, `shards` or `draining`.
    pub name: String,
    /// How it is.
    pub status: HealthStatus,
    /// What was seen.
    pub detail: String,
}

/// The answer of `/readyz` and `/healthz`.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The worst of the checks.
    pub status: HealthStatus,
    /// How many shards this node owns and serves.
    pub shards: u32,
    /// What was looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
}

/// Bad news of `/readyz` and `/healthz`: a [`Problem`] and what was looked at. The member `status` is
/// the HTTP status, as RFC 9457 has it; the word for how the node is stands in `health`.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IllHealth {
    /// What a client is told of any error: `code` is `not_ready` or `unhealthy`, `outcome` refused.
    #[serde(flatten)]
    pub problem: Problem,
    /// The worst of the checks.
    pub health: HealthStatus,
    /// How many shards this node owns and serves.
    pub shards: u32,
    /// What was looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
}

impl IllHealth {
    /// The bad news `health`, told as `problem`.
    pub fn new(problem: Problem, health: Health) -> Self {
        let Health { status, shards, checks } = health;
        Self { problem, health: status, shards, checks }
    }
}

impl From<IllHealth> for Health {
    fn from(ill: IllHealth) -> Self {
        Self { status: ill.health, shards: ill.shards, checks: ill.checks }
    }
}
