//! Routing: from any node to the shard's owner, within the caller's deadline.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use quarry_ports::{Reply, RequestHandler, TransportError, codec};
use quarry_types::{
    Address, Answer, CallError, Delivery, Envelope, Epoch, MessageId, Monotonic, NodeId, Refusal,
    RefusalCode, Slot, Unknown, UnknownCode,
};
use tokio::sync::{mpsc::error::TrySendError, oneshot};

use crate::{
    inbox::{Ask, Waiter},
    node::Inner,
    patience::{Patience, cut_off},
    wire::{Request, Response},
};

/// Pauses between looks for an owner: doubling between these.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// A request with a durable message is given up after this long and sent again under the same key,
/// which attaches to it. A change of owner ends it earlier.
const ONE_TRY: Duration = Duration::from_secs(10);
/// After this long a node that asked about a durable message has surely ended its try, also where
/// its clock runs slower than this node's.
const TRY_IS_OVER: Duration = Duration::from_secs(20);

impl Inner {
    /// Routes `envelope` until it is answered, refused for good, `timeout` is over, or this node has
    /// been cut off from the coordinator.
    pub(crate) async fn route(
        &self,
        mut envelope: Envelope,
        delivery: Delivery,
        timeout: Duration,
    ) -> Result<Answer, CallError> {
        let deadline = self.ports.host.now().after(timeout);
        let mut view = self.ports.coordinator.view();
        let mut pause = FIRST_PAUSE;
        let mut patience = Patience::default();
        let mut is_unknown = false;
        loop {
            let last = match self.try_once(&envelope, delivery, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(CallError::Unknown(unknown)) if unknown.code == UnknownCode::Quarantined => {
                    return Err(CallError::Unknown(unknown));
                }
                Err(CallError::Unknown(unknown)) => {
                    is_unknown = delivery == Delivery::Durable;
                    envelope.send_count = envelope.send_count.saturating_add(1);
                    CallError::Unknown(unknown)
                }
                Err(CallError::Refused(refusal)) if refusal.code.is_misrouted() => {
                    CallError::Refused(refusal)
                }
                Err(CallError::Refused(refusal)) if is_unknown => {
                    return Err(unknown(
                        UnknownCode::Deadline,
                        &refusal.message,
                        envelope.message_id,
                    ));
                }
                Err(error) => return Err(error),
            };
            if self.ports.host.now() >= deadline || self.gives_up(&mut patience) {
                return Err(at_deadline(last, is_unknown, envelope.message_id));
            }
            let left = deadline.since(self.ports.host.now());
            // A change of the view is what usually ends the wait; the pause is for hints that lag.
            let _ = tokio::time::timeout(pause.min(left), view.changed()).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn try_once(
        &self,
        envelope: &Envelope,
        delivery: Delivery,
        deadline: Monotonic,
    ) -> Result<Answer, CallError> {
        let request = Request::Call(envelope.clone());
        let left = deadline.since(self.ports.host.now());
        let response = match self.owner(envelope.address.slot()) {
            Owner::There(_) | Owner::None if self.is_cut_off() => {
                Err(CallError::Refused(cut_off(&envelope.address)))
            }
            Owner::None => Err(CallError::Refused(no_owner(&envelope.address))),
            Owner::Here(inbox) => {
                let (sender, receiver) = oneshot::channel();
                let waiter = Waiter::Here(sender);
                push(&inbox, Ask::Call { envelope: Arc::new(envelope.clone()), delivery, waiter })?;
                let lost = || {
                    unknown(UnknownCode::OwnerLost, "the shard's task ended", envelope.message_id)
                };
                match tokio::time::timeout(left, receiver).await {
                    Ok(response) => response.map_err(|_| lost()),
                    Err(_) => Err(in_hand_at_deadline(delivery, envelope.message_id)),
                }
            }
            Owner::There(node) => {
                // A durable message may rightly take long; asking again attaches to it. A read would
                // begin anew.
                let one_try = if delivery == Delivery::Durable { left.min(ONE_TRY) } else { left };
                let asked = self.ask(node, &request, one_try, envelope.message_id);
                tokio::select! {
                    biased;
                    response = asked => response,
                    () = self.owner_changes(envelope.address.slot(), node) => {
                        Err(unknown(UnknownCode::LinkLost, "the owner changed", envelope.message_id))
                    }
                    () = self.stays_cut_off() => {
                        let what = "this node lost its lease and the coordinator meanwhile";
                        Err(unknown(UnknownCode::OwnerLost, what, envelope.message_id))
                    }
                }
            }
        };
        match response? {
            Response::Call(result) => result,
            Response::NotHere | Response::Readable => {
                Err(CallError::Refused(no_owner(&envelope.address)))
            }
        }
    }

    async fn ask(
        &self,
        node: NodeId,
        request: &Request,
        timeout: Duration,
        message_id: MessageId,
    ) -> Result<Response, CallError> {
        let too_large =
            |error: codec::CodecError| refused(RefusalCode::TooLarge, error.to_string());
        let body = codec::encode(codec::schema::REQUEST, request).map_err(too_large)?;
        match self.ports.transport.request(node, body, timeout).await {
            Ok(reply) => codec::decode(codec::schema::REPLY, &reply)
                .map_err(|error| unknown(UnknownCode::LinkLost, &error.to_string(), message_id)),
            Err(error @ TransportError::NotSent { .. }) => {
                Err(refused(RefusalCode::NoOwner, error.to_string()))
            }
            Err(error @ TransportError::Lost { .. }) => {
                Err(unknown(UnknownCode::LinkLost, &error.to_string(), message_id))
            }
        }
    }

    /// Waits at the message's owner until it is finished, or until more than `have` of its chunks
    /// are durable; returns early where it is not open there.
    pub(crate) async fn await_at_owner(
        &self,
        message_id: MessageId,
        have: Option<u64>,
        timeout: Duration,
    ) {
        match self.owner(message_id.slot()) {
            Owner::None => {}
            Owner::Here(inbox) => {
                let (sender, receiver) = oneshot::channel();
                let waiter = Waiter::Here(sender);
                let ask = match have {
                    Some(have) => Ask::AwaitChunks { message_id, have, waiter },
                    None => Ask::Await { message_id, waiter },
                };
                if push(&inbox, ask).is_ok() {
                    // However it ends, the store is asked next.
                    let _ = tokio::time::timeout(timeout, receiver).await;
                }
            }
            Owner::There(node) => {
                let request = match have {
                    Some(have) => Request::AwaitChunks(message_id, have),
                    None => Request::Await(message_id),
                };
                // As above.
                let _ = self.ask(node, &request, timeout.min(ONE_TRY), message_id).await;
            }
        }
    }

    /// Waits until another node than `node` owns `slot`, as this node knows.
    async fn owner_changes(&self, slot: Slot, node: NodeId) {
        let mut view = self.ports.coordinator.view();
        loop {
            let owner = view.borrow_and_update().shard_of(slot).and_then(|shard| shard.owner);
            if owner.is_some_and(|owner| owner != node) || view.changed().await.is_err() {
                return;
            }
        }
    }

    fn owner(&self, slot: Slot) -> Owner {
        let view = self.ports.coordinator.view();
        let view = view.borrow();
        let Some(shard) = view.shard_of(slot) else { return Owner::None };
        match shard.owner {
            None => Owner::None,
            Some(node) if node == self.config.node => {
                self.served.get(shard.id).map_or(Owner::None, Owner::Here)
            }
            Some(node) => Owner::There(node),
        }
    }
}

enum Owner {
    None,
    Here(tokio::sync::mpsc::Sender<Ask>),
    There(NodeId),
}

impl RequestHandler for Inner {
    fn handle(&self, from: NodeId, body: Bytes, reply: Reply) {
        let request = match codec::decode::<Request>(codec::schema::REQUEST, &body) {
            Ok(request) => request,
            Err(error) => return tracing::warn!(%from, %error, "a request could not be decoded"),
        };
        let until = self.ports.host.now().after(TRY_IS_OVER);
        let waiter = Waiter::There { reply, until };
        let (slot, ask) = match request {
            Request::Call(envelope) => {
                let checked = self.registry.check(
                    &envelope.address.entity_type,
                    &envelope.method,
                    &envelope.payload,
                );
                let slot = envelope.address.slot();
                match checked {
                    Ok(delivery) => {
                        (slot, Ask::Call { envelope: Arc::new(envelope), delivery, waiter })
                    }
                    Err(refusal) => return waiter.answer(Err(CallError::Refused(refusal))),
                }
            }
            Request::Await(message_id) => (message_id.slot(), Ask::Await { message_id, waiter }),
            Request::AwaitChunks(message_id, have) => {
                (message_id.slot(), Ask::AwaitChunks { message_id, have, waiter })
            }
        };
        match self.owner(slot) {
            Owner::Here(inbox) => match inbox.try_send(ask) {
                Ok(()) => {}
                Err(TrySendError::Full(ask)) => tell_refused(ask, overloaded()),
                Err(TrySendError::Closed(ask)) => tell_refused(ask, not_owner()),
            },
            Owner::None | Owner::There(_) => tell_refused(ask, not_owner()),
        }
    }
}

fn tell_refused(ask: Ask, error: CallError) {
    match ask {
        Ask::Call { waiter, .. } => waiter.answer(Err(error)),
        Ask::Await { waiter, .. } | Ask::AwaitChunks { waiter, .. } => {
            waiter.tell(Response::NotHere);
        }
    }
}

fn push(inbox: &tokio::sync::mpsc::Sender<Ask>, ask: Ask) -> Result<(), CallError> {
    inbox.try_send(ask).map_err(|error| match error {
        TrySendError::Full(_) => overloaded(),
        TrySendError::Closed(_) => not_owner(),
    })
}

fn overloaded() -> CallError {
    CallError::Refused(Refusal {
        code: RefusalCode::Overloaded,
        message: "the shard's queue is full".to_owned(),
        retry_after_ms: Some(1_000),
    })
}

fn not_owner() -> CallError {
    refused(RefusalCode::NotOwner(Epoch(0)), "this node does not own the shard".to_owned())
}

fn no_owner(address: &Address) -> Refusal {
    Refusal {
        code: RefusalCode::NoOwner,
        message: format!("no runner owns the shard of {address} now"),
        retry_after_ms: Some(500),
    }
}

fn refused(code: RefusalCode, message: String) -> CallError {
    let retry_after_ms = code.is_retryable().then_some(500);
    CallError::Refused(Refusal { code, message, retry_after_ms })
}

fn unknown(code: UnknownCode, message: &str, message_id: MessageId) -> CallError {
    CallError::Unknown(Unknown { code, message: message.to_owned(), message_id: Some(message_id) })
}

/// A read changes nothing: surely not done. A durable message may still be handled.
fn in_hand_at_deadline(delivery: Delivery, message_id: MessageId) -> CallError {
    match delivery {
        Delivery::Durable => unknown(
            UnknownCode::Deadline,
            "the message was not finished in time; it goes on",
            message_id,
        ),
        Delivery::VolatileLocal | Delivery::VolatileCurrent => {
            refused(RefusalCode::Deadline, "the read was not answered in time".to_owned())
        }
    }
}

fn at_deadline(last: CallError, is_unknown: bool, message_id: MessageId) -> CallError {
    match last {
        CallError::Refused(refusal) if is_unknown => {
            unknown(UnknownCode::Deadline, &refusal.message, message_id)
        }
        CallError::Unknown(last) if !is_unknown => refused(RefusalCode::Deadline, last.message),
        CallError::Unknown(last) => {
            CallError::Unknown(Unknown { message_id: Some(message_id), ..last })
        }
        CallError::Refused(refusal) => CallError::Refused(refusal),
    }
}
