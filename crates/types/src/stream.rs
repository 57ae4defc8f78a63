//! What streams over HTTP carry, one JSON document per event. `J` is how a user's JSON is held.

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use serde::{Deserialize, Serialize};

use crate::api::{MessageOutcome, MessageStatus};

/// An event of a message's chunks. A stream that stops without [`Told::End`] was cut: it goes on
/// behind the last number that was read.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Told<J> {
    /// A part of the reply.
    Chunk {
        /// Its number within the message, from 0, without a gap.
        sequence: u64,
        /// When it was stored (RFC 3339).
        made_at: String,
        /// What the handler made.
        chunk: J,
    },
    /// The chunks from number `from` on were made by an earlier attempt and count no more.
    Reset {
        /// Its number: resets are counted as chunks are.
        sequence: u64,
        /// When it was stored (RFC 3339).
        made_at: String,
        /// The attempt that begins here.
        attempt: u32,
        /// The first chunk that counts no more.
        from: u64,
    },
    /// The message is over; the last event.
    End(End<J>),
    /// The server cannot go on; the last event. What was not read can be asked for.
    Error(Broken),
}

/// The end of a stream.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct End<J> {
    /// The message.
    pub message_id: String,
    /// What it ended as: finished, or set aside for an operator.
    pub state: MessageStatus,
    /// How it ended, where it is finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<MessageOutcome<J>>,
    /// The errors of its attempts, where it is set aside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

/// Why a server cannot go on with a stream.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// Stable, for programs.
    pub code: String,
    /// For people.
    pub detail: String,
    /// Whether the stream can be asked for again.
    pub retryable: bool,
}

/// An entry of a journal.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry<J> {
    /// The journal.
    pub stream: String,
    /// Its number within the journal, from 1, without a gap.
    pub sequence: u64,
    /// Names it.
    pub id: String,
    /// What happened; `reset` where entries of the same message, those from chunk `from` of the data
    /// on, count no more.
    #[serde(rename = "type")]
    pub kind: String,
    /// The request that it belongs to.
    pub request_id: String,
    /// When it was stored (RFC 3339).
    pub time: String,
    /// The message that was handled.
    pub message_id: String,
    /// The number of the chunk that it is, among those of the message.
    pub chunk: u64,
    /// All that is said of it.
    pub data: J,
}

/// What a stream of a journal carries.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum JournalTold<J> {
    /// An entry.
    Entry(Entry<J>),
    /// The last line, where the server cannot go on.
    Stopped(Stopped),
}

/// The end of a stream that goes on elsewhere.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Stopped {
    /// The server cannot go on. What was not read can be asked for.
    Error(Broken),
}

/// An event of an extraction: a chunk of its message, or of the one that does its work.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExtractionEvent<J> {
    /// What happened: `started`, `entity_found`, `completed` and so on; `reset` where what the
    /// message told from number `from` on counts no more.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where a stream goes on that was cut behind this event.
    pub id: String,
    /// The message that tells it.
    pub message_id: String,
    /// Its number among the chunks of that message.
    pub sequence: u64,
    /// When it was stored (RFC 3339).
    pub time: String,
    /// All else that is said of it.
    #[serde(flatten)]
    pub members: BTreeMap<String, J>,
}

/// An event of an extraction, or the end of its stream.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ExtractionTold<J> {
    /// An event.
    Event(ExtractionEvent<J>),
    /// The end.
    Last(Last<J>),
}

/// The end of an extraction's stream.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Last<J> {
    /// The submission is over; where it succeeded, its outcome is the graph.
    End(End<J>),
    /// The server cannot go on. What was not read can be asked for.
    Error(Broken),
}
