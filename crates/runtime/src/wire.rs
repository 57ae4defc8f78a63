//! What runtimes say to one another.

use quarry_types::{Answer, CallError, Envelope, Intervention, MessageId, Tenant};
use serde::{Deserialize, Serialize};

/// A request to the node that owns a shard.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Take this message.
    Call(Envelope),
    /// Answer when this message is finished.
    Await(MessageId),
    /// Answer when more than this many chunks of the message are durable, or it is over.
    AwaitChunks(MessageId, u64),
    /// Take these messages, which are to one shard, in this order, and answer when all are answered
    /// or so many milliseconds have passed.
    CallInOrder(Vec<Envelope>, u64),
    /// Do this to this message of the tenant.
    Intervene(MessageId, Tenant, Intervention),
}

/// The reply.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Response {
    /// How the call, or the intervention, ended.
    Call(Result<Answer, CallError>),
    /// There is more to read.
    Readable,
    /// The awaited message is not open here: the store knows more.
    NotHere,
    /// How each of several calls ended, in their order.
    CallsInOrder(Vec<Result<Answer, CallError>>),
}
