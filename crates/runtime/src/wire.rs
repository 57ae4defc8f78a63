//! What runtimes say to one another.

use quarry_types::{Answer, CallError, Envelope, Intervention, MessageId, Space, Tenant};
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
    /// One of those that name a message, which is to an entity of this space. Sent only where it is
    /// not the default one.
    Within(Space, OfMessage),
}

/// What is asked of a message.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum OfMessage {
    /// As [`Request::Await`].
    Await(MessageId),
    /// As [`Request::AwaitChunks`].
    AwaitChunks(MessageId, u64),
    /// As [`Request::Intervene`].
    Intervene(MessageId, Tenant, Intervention),
}

impl Request {
    /// The same of a message to an entity of `space`.
    pub(crate) fn within(self, space: Space) -> Self {
        if space == Space::DEFAULT {
            return self;
        }
        match self {
            Self::Await(id) => Self::Within(space, OfMessage::Await(id)),
            Self::AwaitChunks(id, have) => Self::Within(space, OfMessage::AwaitChunks(id, have)),
            Self::Intervene(id, tenant, what) => {
                Self::Within(space, OfMessage::Intervene(id, tenant, what))
            }
            Self::Call(_) | Self::CallInOrder(..) | Self::Within(..) => self,
        }
    }
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
