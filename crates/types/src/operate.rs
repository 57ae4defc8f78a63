//! The documents of operating on messages. `J` is how a user's JSON is held.

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

use crate::api::{MessageOutcome, MessageStatus, Problem};

/// The body of a redrive.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Redrive<J> {
    /// The method's argument from now on; nothing for the one that it has.
    #[serde(default = "none::<J>", skip_serializing_if = "Option::is_none")]
    pub payload: Option<J>,
}

/// What was done to a message.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Intervened<J> {
    /// The message.
    pub message_id: String,
    /// `open` where it runs again, `finished` where it was ended.
    pub state: MessageStatus,
    /// How it was ended.
    #[serde(default = "none::<MessageOutcome<J>>", skip_serializing_if = "Option::is_none")]
    pub outcome: Option<MessageOutcome<J>>,
    /// Whether it stood so before.
    pub replayed: bool,
}

/// Which messages are meant: those that fit everything that is given. At least one member is.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Filter {
    /// In this state; of a redrive and a drop always `quarantined`, of a cancel all that are not
    /// finished by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<MessageStatus>,
    /// To this entity, as `Type/id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// To entities of this type.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub entity_type: Option<String>,
    /// Accepted before this time (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Accepted at least so long ago, as `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older_than: Option<String>,
    /// With this text in one of the errors of their attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What is to be done to many messages, a page of them in one request.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bulk {
    /// Which messages.
    pub filter: Filter,
    /// How many are looked at, 1 to 1,000; 100 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Where to go on: `next` of the page before, under the same filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Whether only to count what would be tried.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub dry_run: bool,
}

/// What came of a page of messages, newest first.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BulkAnswer {
    /// How many fitted the filter.
    pub matched: u32,
    /// How many of them it was done to.
    pub done: u32,
    /// How many it was surely not done to.
    pub refused: u32,
    /// How many it may have been done to: ask again.
    pub unknown: u32,
    /// Why, of each that was refused or is not known.
    pub problems: Vec<BulkProblem>,
    /// Where to go on; nothing at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Why it was not done to a message.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BulkProblem {
    /// The message.
    pub message_id: String,
    /// The problem.
    pub problem: Problem,
}

fn none<T>() -> Option<T> {
    None
}
