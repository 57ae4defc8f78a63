//! The way into a shard's task.

use std::sync::Arc;

use quarry_core::delivery::InMemory;
use quarry_ports::{Reply, codec};
use quarry_types::{
    Address, Answer, CallError, Delivery, Envelope, Intervention, MessageId, Monotonic, Tenant,
};
use tokio::sync::{
    OwnedSemaphorePermit,
    mpsc::{self, error::TrySendError},
    oneshot,
};

use crate::wire::Response;

/// Requests waiting for one shard's task; more are refused as `overloaded`.
const MESSAGES: usize = 4_096;
/// What operators want of one shard's task; more is refused as `overloaded`.
const CONTROL: usize = 256;

/// The way into a shard's task. What operators want has a lane of its own, which goes first: a flood
/// of messages does not keep them from cancelling it.
#[derive(Clone)]
pub(crate) struct Inbox {
    messages: mpsc::Sender<Ask>,
    control: mpsc::Sender<Ask>,
}

/// The task's end of it.
pub(crate) struct Lanes {
    pub(crate) messages: mpsc::Receiver<Ask>,
    pub(crate) control: mpsc::Receiver<Ask>,
}

impl Inbox {
    pub(crate) fn new() -> (Self, Lanes) {
        let (messages, from_messages) = mpsc::channel(MESSAGES);
        let (control, from_control) = mpsc::channel(CONTROL);
        let lanes = Lanes { messages: from_messages, control: from_control };
        (Self { messages, control }, lanes)
    }

    /// Hands `ask` to the task, unless its lane is full or closed.
    pub(crate) fn try_send(&self, ask: Ask) -> Result<(), TrySendError<Ask>> {
        match ask {
            Ask::Intervene { .. } | Ask::Look { .. } => self.control.try_send(ask),
            _ => self.messages.try_send(ask),
        }
    }
}

impl Lanes {
    /// What still waits; nothing more comes.
    pub(crate) async fn close(&mut self) -> Vec<Ask> {
        let mut left = Vec::new();
        for lane in [&mut self.control, &mut self.messages] {
            lane.close();
            while let Some(ask) = lane.recv().await {
                left.push(ask);
            }
        }
        left
    }
}

/// What a shard's task is asked from outside. Each lane is bounded; when it is full, the caller is
/// refused with `overloaded`.
pub(crate) enum Ask {
    Call(Call),
    /// Calls to entities of the shard, in this order.
    CallInOrder(Vec<Call>),
    Await {
        message_id: MessageId,
        waiter: Waiter,
    },
    AwaitChunks {
        message_id: MessageId,
        have: u64,
        waiter: Waiter,
    },
    /// Do this to this message of the tenant.
    Intervene {
        message_id: MessageId,
        tenant: Tenant,
        intervention: Intervention,
        waiter: Waiter,
    },
    /// What is in memory of this entity.
    Look {
        address: Address,
        told: oneshot::Sender<InMemory>,
    },
}

/// A message and the way back to who sent it.
pub(crate) struct Call {
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) delivery: Delivery,
    pub(crate) waiter: Waiter,
}

impl Ask {
    /// Tells who asks that it cannot be asked here.
    pub(crate) fn refuse(self, error: &CallError) {
        match self {
            Self::Call(Call { waiter, .. }) | Self::Intervene { waiter, .. } => {
                waiter.answer(Err(error.clone()));
            }
            Self::CallInOrder(calls) => {
                for call in calls {
                    call.waiter.answer(Err(error.clone()));
                }
            }
            Self::Await { waiter, .. } | Self::AwaitChunks { waiter, .. } => {
                waiter.tell(Response::NotHere);
            }
            // Who looks sees that nobody tells.
            Self::Look { .. } => {}
        }
    }
}

/// The way back to who waits: a caller, on this node or another, or a handler.
#[derive(Debug)]
pub(crate) enum Waiter {
    Here(oneshot::Sender<Response>),
    /// The caller has given up `until` then, and asked again where it still wants to know.
    There {
        reply: Reply,
        until: Monotonic,
    },
    /// A part of a handler's window, which is free again when it is told, or dropped.
    Window(OwnedSemaphorePermit),
}

impl Waiter {
    /// Whether the caller has stopped waiting for a durable message, so that nothing need be kept
    /// for it.
    pub(crate) fn is_gone(&self, now: Monotonic) -> bool {
        match self {
            Self::Here(sender) => sender.is_closed(),
            Self::There { until, .. } => *until < now,
            Self::Window(_) => false,
        }
    }

    pub(crate) fn tell(self, response: Response) {
        match self {
            // A caller that is gone needs no answer: the outcome is stored.
            Self::Here(sender) => drop(sender.send(response)),
            Self::Window(permit) => drop(permit),
            Self::There { reply, .. } => match codec::encode(codec::schema::REPLY, &response) {
                Ok(body) => reply.send(body),
                Err(error) => tracing::error!(%error, "a reply could not be encoded"),
            },
        }
    }

    pub(crate) fn answer(self, result: Result<Answer, CallError>) {
        self.tell(Response::Call(result));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_that_has_stopped_waiting_is_gone() {
        let (sender, receiver) = oneshot::channel();
        let here = Waiter::Here(sender);
        assert!(!here.is_gone(Monotonic(u64::MAX)));
        drop(receiver);
        assert!(here.is_gone(Monotonic(0)));
        let there = Waiter::There { reply: Reply::new(drop), until: Monotonic(20) };
        assert!(!there.is_gone(Monotonic(20)) && there.is_gone(Monotonic(21)));
    }
}
