//! Routing one message.

use std::{sync::Arc, time::Duration};

use quarry_ports::MessageRecord;
use quarry_types::{Answer, CallError, Delivery, Envelope, Monotonic, UnknownCode};
use tokio::sync::oneshot;

use super::{
    ONE_TRY,
    answer::{in_hand_at_deadline, no_owner, unknown},
    owner::{Owner, Way},
    tries::{Pause, Tries},
};
use crate::{
    inbox::{Ask, Call, Waiter},
    node::Inner,
    wire::{Request, Response},
};

impl Inner {
    /// Routes `envelope` until it is answered, refused for good, or `timeout` is over.
    pub(crate) async fn route(
        &self,
        envelope: Envelope,
        delivery: Delivery,
        timeout: Duration,
    ) -> Result<Answer, CallError> {
        let deadline = self.ports.host.now().after(timeout);
        let mut pause = Pause::new(self);
        let mut tries = Tries::new(envelope, delivery);
        loop {
            let result = self.try_once(&tries.envelope, delivery, deadline).await;
            if let Some(result) = tries.take(result) {
                return result;
            }
            if !pause.before(deadline).await {
                return Err(tries.over());
            }
        }
    }

    async fn try_once(
        &self,
        envelope: &Envelope,
        delivery: Delivery,
        deadline: Monotonic,
    ) -> Result<Answer, CallError> {
        let left = deadline.since(self.ports.host.now());
        let message_id = envelope.message_id;
        let (spot, way) = self.way_to(&envelope.address)?;
        let response = match way {
            Way::Here(inbox) => {
                let (sender, receiver) = oneshot::channel();
                let (envelope, waiter) = (Arc::new(envelope.clone()), Waiter::Here(sender));
                self.push(spot, &inbox, Ask::Call(Call { envelope, delivery, waiter }))?;
                let lost = || unknown(UnknownCode::OwnerLost, "the shard's task ended", message_id);
                match tokio::time::timeout(left, receiver).await {
                    Ok(response) => response.map_err(|_| lost()),
                    Err(_) => Err(in_hand_at_deadline(delivery, message_id)),
                }
            }
            Way::There(node) => {
                // A durable message may rightly take long; asking again attaches to it. A read would
                // begin anew.
                let one_try = if delivery == Delivery::Durable { left.min(ONE_TRY) } else { left };
                let request = Request::Call(envelope.clone());
                self.ask_owner((spot, node), &request, one_try, message_id).await
            }
        };
        match response? {
            Response::Call(result) => result,
            Response::NotHere | Response::Readable | Response::CallsInOrder(_) => {
                Err(CallError::Refused(no_owner(&envelope.address)))
            }
        }
    }

    /// Waits at the message's owner until it is finished, or until more than `have` of its chunks
    /// are durable; returns early where it is not open there.
    pub(crate) async fn await_at_owner(
        &self,
        record: &MessageRecord,
        have: Option<u64>,
        timeout: Duration,
    ) {
        let message_id = record.message.message_id;
        let spot = self.spot_of_stored(message_id, &record.message.address);
        match self.owner(spot) {
            Owner::None => {}
            Owner::Here(inbox) => {
                let (sender, receiver) = oneshot::channel();
                let waiter = Waiter::Here(sender);
                let ask = match have {
                    Some(have) => Ask::AwaitChunks { message_id, have, waiter },
                    None => Ask::Await { message_id, waiter },
                };
                if self.push(spot, &inbox, ask).is_ok() {
                    // However it ends, the store is asked next.
                    let _ = tokio::time::timeout(timeout, receiver).await;
                }
            }
            Owner::There(node) => {
                let request = match have {
                    Some(have) => Request::AwaitChunks(message_id, have),
                    None => Request::Await(message_id),
                };
                let request = request.within(spot.space);
                // As above.
                let _ = self.ask(node, &request, timeout.min(ONE_TRY), message_id).await;
            }
        }
    }
}
