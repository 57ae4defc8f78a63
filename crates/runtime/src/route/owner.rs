//! Who owns a slot, and the way there.

use std::time::Duration;

use quarry_ports::{TransportError, codec};
use quarry_types::{CallError, MessageId, NodeId, RefusalCode, ShardId, Slot, UnknownCode};
use std::fmt::Display;

use tokio::sync::mpsc::error::TrySendError;

use super::answer::{no_owner, not_owner, overloaded, refused, unknown};
use crate::{
    inbox::{Ask, Inbox},
    node::Inner,
    patience::cut_off,
    wire::{Request, Response},
};

impl Inner {
    /// Asks another node once.
    pub(super) async fn ask(
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

    /// Asks the owner of `slot` on another node once; ends early where another becomes the owner, or
    /// this node is cut off.
    pub(super) async fn ask_owner(
        &self,
        (slot, node): (Slot, NodeId),
        request: &Request,
        timeout: Duration,
        message_id: MessageId,
    ) -> Result<Response, CallError> {
        tokio::select! {
            biased;
            response = self.ask(node, request, timeout, message_id) => response,
            () = self.owner_changes(slot, node) => {
                Err(unknown(UnknownCode::LinkLost, "the owner changed", message_id))
            }
            () = self.stays_cut_off() => {
                let what = "this node lost its lease and the coordinator meanwhile";
                Err(unknown(UnknownCode::OwnerLost, what, message_id))
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

    /// The way to the owner of `slot`, in which `what` lives.
    ///
    /// # Errors
    /// A refusal where this node knows of none.
    pub(super) fn way(&self, slot: Slot, what: &dyn Display) -> Result<Way, CallError> {
        match self.owner(slot) {
            Owner::Here(inbox) => Ok(Way::Here(inbox)),
            Owner::There(_) | Owner::None if self.is_cut_off() => {
                Err(CallError::Refused(cut_off(what)))
            }
            Owner::There(node) => Ok(Way::There(node)),
            Owner::None => Err(CallError::Refused(no_owner(what))),
        }
    }

    /// The shard that `slot` belongs to, as this node knows.
    pub(super) fn shard_of(&self, slot: Slot) -> Option<ShardId> {
        self.ports.coordinator.view().borrow().shard_of(slot).map(|shard| shard.id)
    }

    /// Who owns `slot`, as this node knows.
    pub(super) fn owner(&self, slot: Slot) -> Owner {
        let view = self.ports.coordinator.view();
        let view = view.borrow();
        let Some(shard) = view.shard_of(slot) else { return Owner::None };
        match shard.owner {
            None => Owner::None,
            Some(node) if node == self.config.node => {
                self.served.of(shard).map_or(Owner::None, Owner::Here)
            }
            Some(node) => Owner::There(node),
        }
    }
}

/// The way to an owner.
pub(super) enum Way {
    /// On this node.
    Here(Inbox),
    /// On another.
    There(NodeId),
}

/// Who owns a slot.
pub(super) enum Owner {
    None,
    Here(Inbox),
    There(NodeId),
}

/// Hands a question to a shard's task, unless its inbox is full or closed.
pub(super) fn push(inbox: &Inbox, ask: Ask) -> Result<(), CallError> {
    inbox.try_send(ask).map_err(|error| match error {
        TrySendError::Full(_) => overloaded(),
        TrySendError::Closed(_) => not_owner(),
    })
}
