//! Several messages in one request. `J` is how a user's JSON is held.

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

use crate::api::Problem;

/// Messages in one request.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch<J> {
    /// 1 to 1,000 of them. Those to one entity are taken in this order.
    pub messages: Vec<J>,
}

/// A message of a batch.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BatchMessage<J> {
    /// The entity that it is for, as `Type/id`.
    pub entity: String,
    /// The method that it calls.
    pub method: String,
    /// The method's argument; nothing for none.
    #[serde(default = "none::<J>", skip_serializing_if = "Option::is_none")]
    pub payload: Option<J>,
    /// Names one intent: the same entity, method and key are handled once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Whether it is answered once it is stored, before it is handled.
    #[serde(default, rename = "async", skip_serializing_if = "core::ops::Not::not")]
    pub is_async: bool,
    /// After how long it is to be handled, as `5s`; it is answered once it is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<String>,
    /// At what time it is to be handled (RFC 3339); it is answered once it is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deliver_at: Option<String>,
    /// Whether only its key is kept once it has ended; it is answered once it is stored.
    #[serde(default, rename = "discard", skip_serializing_if = "core::ops::Not::not")]
    pub is_discarded: bool,
    /// How often it was sent before; raised by clients that repeat.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub send_count: u32,
}

/// The answers to a batch.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchAnswers<J> {
    /// One for each message, in their order.
    pub answers: Vec<BatchAnswer<J>>,
}

/// What became of a message of a batch: what a request of its own would have been answered.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchAnswer<J> {
    /// The HTTP status: 200 handled, 202 stored, 409 failed for good, 504 not known, all others
    /// refused.
    pub status: u16,
    /// The message's id, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// The key of the message: repeat it under this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Whether the answer stood before this request.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub replayed: bool,
    /// The handler's reply, where it was handled; `null` for none.
    #[serde(default = "none::<J>", skip_serializing_if = "Option::is_none")]
    pub reply: Option<J>,
    /// Why it was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

fn none<T>() -> Option<T> {
    None
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}
