//! What runtimes say to one another.

use quarry_types::{Answer, CallError, Envelope, MessageId};
use serde::{Deserialize, Serialize};

/// A request to the node that owns a shard.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Take this message.
    Call(Envelope),
    /// Answer when this message is finished.
    Await(MessageId),
}

/// The reply.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Response {
    /// How the call ended.
    Call(Result<Answer, CallError>),
    /// The awaited message is not open here: the store knows more.
    NotHere,
}
