//! What other nodes ask of this one.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use quarry_ports::{Reply, RequestHandler, codec};
use quarry_types::{CallError, Envelope, NodeId, Space};
use tokio::sync::mpsc::error::TrySendError;

use super::{
    TRY_IS_OVER,
    answer::{elsewhere, not_owner, overloaded},
    in_order::fit,
    owner::{Owner, Spot},
};
use crate::{
    inbox::{Ask, Call, Waiter},
    node::Inner,
    wire::{OfMessage, Request, Response},
};

impl RequestHandler for Inner {
    fn handle(&self, from: NodeId, body: Bytes, reply: Reply) {
        let request = match codec::decode::<Request>(codec::schema::REQUEST, &body) {
            Ok(request) => request,
            Err(error) => return tracing::warn!(%from, %error, "a request could not be decoded"),
        };
        match request {
            Request::Call(envelope) => self.take_call(envelope, self.waiter(reply)),
            Request::CallInOrder(envelopes, within) => self.take_in_order(envelopes, within, reply),
            Request::Intervene(id, tenant, what) => {
                self.take_of_message(Space::DEFAULT, OfMessage::Intervene(id, tenant, what), reply);
            }
            Request::Await(id) => {
                self.take_of_message(Space::DEFAULT, OfMessage::Await(id), reply);
            }
            Request::AwaitChunks(id, have) => {
                self.take_of_message(Space::DEFAULT, OfMessage::AwaitChunks(id, have), reply);
            }
            Request::Within(space, of) => self.take_of_message(space, of, reply),
        }
    }
}

impl Inner {
    fn waiter(&self, reply: Reply) -> Waiter {
        Waiter::There { reply, until: self.ports.host.now().after(TRY_IS_OVER) }
    }

    fn take_of_message(&self, space: Space, of: OfMessage, reply: Reply) {
        let waiter = self.waiter(reply);
        let (message_id, ask) = match of {
            OfMessage::Await(message_id) => (message_id, Ask::Await { message_id, waiter }),
            OfMessage::AwaitChunks(message_id, have) => {
                (message_id, Ask::AwaitChunks { message_id, have, waiter })
            }
            OfMessage::Intervene(message_id, tenant, intervention) => {
                (message_id, Ask::Intervene { message_id, tenant, intervention, waiter })
            }
        };
        self.take(Some(Spot { space, slot: message_id.slot() }), ask);
    }

    fn take(&self, spot: Option<Spot>, ask: Ask) {
        let not_here = |ask: Ask| ask.refuse(&not_owner(self.epoch_of(spot)));
        match spot.map_or(Owner::None, |spot| self.owner(spot)) {
            Owner::Here(inbox) => match inbox.try_send(ask) {
                Ok(()) => {}
                Err(TrySendError::Full(ask)) => ask.refuse(&overloaded()),
                Err(TrySendError::Closed(ask)) => not_here(ask),
            },
            Owner::None | Owner::There(_) => not_here(ask),
        }
    }

    fn take_call(&self, envelope: Envelope, waiter: Waiter) {
        match self.check(&envelope) {
            Ok(delivery) => {
                let spot = self.spot_of(&envelope.address);
                self.take(spot, Ask::Call(Call { envelope: Arc::new(envelope), delivery, waiter }));
            }
            Err(refusal) => waiter.answer(Err(CallError::Refused(refusal))),
        }
    }

    /// Takes messages to one shard, and answers when all are answered or `within` milliseconds have
    /// passed.
    fn take_in_order(&self, envelopes: Vec<Envelope>, within: u64, reply: Reply) {
        let waiter = self.waiter(reply);
        let Some(first) = envelopes.first().map(|envelope| &envelope.address) else {
            return waiter.tell(Response::CallsInOrder(Vec::new()));
        };
        let spot = self.spot_of(first);
        let Some((spot, Owner::Here(inbox))) = spot.map(|spot| (spot, self.owner(spot))) else {
            return waiter.answer(Err(not_owner(self.epoch_of(spot))));
        };
        let shard = self.shard_of(first);
        let envelopes: Vec<_> = envelopes.into_iter().map(Arc::new).collect();
        let calls = envelopes.iter().map(|envelope| {
            let is_here = self.shard_of(&envelope.address) == shard;
            let refused = || elsewhere(self.epoch_of(self.spot_of(&envelope.address)));
            let checked = if is_here { self.check(envelope) } else { Err(refused()) };
            (Arc::clone(envelope), checked)
        });
        match self.hand_over(spot, &inbox, calls.collect()) {
            Err(error) => waiter.answer(Err(error)),
            Ok(handed) => {
                let host = self.ports.host.clone();
                let deadline = host.now().after(Duration::from_millis(within));
                self.ports.host.spawn("calls-in-order", async move {
                    let mut answers = handed.gather(&host, deadline).await;
                    fit(&mut answers, &envelopes);
                    waiter.tell(Response::CallsInOrder(answers));
                });
            }
        }
    }
}
