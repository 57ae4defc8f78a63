//! The way into a shard's task.

use std::sync::Arc;

use quarry_ports::{Reply, codec};
use quarry_types::{Answer, CallError, Delivery, Envelope, MessageId};
use tokio::sync::oneshot;

use crate::wire::Response;

/// What a shard's task is asked from outside. The channel is bounded; when it is full, the caller is
/// refused with `overloaded`.
pub(crate) enum Ask {
    Call { envelope: Arc<Envelope>, delivery: Delivery, waiter: Waiter },
    Await { message_id: MessageId, waiter: Waiter },
    AwaitChunks { message_id: MessageId, have: u64, waiter: Waiter },
}

/// The way back to a caller, on this node or another.
#[derive(Debug)]
pub(crate) enum Waiter {
    Here(oneshot::Sender<Response>),
    There(Reply),
}

impl Waiter {
    /// Whether the caller on this node has stopped waiting. Of one on another node it is not known.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Here(sender) if sender.is_closed())
    }

    pub(crate) fn tell(self, response: Response) {
        match self {
            // A caller that is gone needs no answer: the outcome is stored.
            Self::Here(sender) => drop(sender.send(response)),
            Self::There(reply) => match codec::encode(codec::schema::REPLY, &response) {
                Ok(body) => reply.send(body),
                Err(error) => tracing::error!(%error, "a reply could not be encoded"),
            },
        }
    }

    pub(crate) fn answer(self, result: Result<Answer, CallError>) {
        self.tell(Response::Call(result));
    }
}
