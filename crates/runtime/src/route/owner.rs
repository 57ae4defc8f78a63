//! Who owns a slot, and the way there.

use std::{fmt::Display, sync::Arc, time::Duration};

use quarry_ports::{Administration, TransportError, codec};
use quarry_types::{
    Address, CallError, ClusterView, EntityType, Epoch, Home, MessageId, Monotonic, NodeId,
    NodeState, RefusalCode, ShardId, ShardView, Slot, Space, UnknownCode,
};
use tokio::sync::mpsc::error::TrySendError;

use super::answer::{no_owner, no_runner, not_owner, overloaded, refused, unknown, unused};
use crate::{
    inbox::{Ask, Inbox},
    node::Inner,
    patience::cut_off,
    wire::{Request, Response},
};

/// How long a call waits for this node to hear of a grant of which another node has told. It hears of
/// all of them sooner, unless it cannot hear, or the other's grants are of a coordinator whose data
/// were lost.
const CATCHES_UP_WITHIN: Duration = Duration::from_secs(1);

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

    /// Asks the owner of `spot` on another node once; ends early where another becomes the owner, or
    /// this node is cut off.
    pub(super) async fn ask_owner(
        &self,
        (spot, node): (Spot, NodeId),
        request: &Request,
        timeout: Duration,
        message_id: MessageId,
    ) -> Result<Response, CallError> {
        let deadline = self.ports.host.now().after(timeout);
        let response = tokio::select! {
            biased;
            response = self.ask(node, request, timeout, message_id) => response,
            () = self.owner_changes(spot, node) => {
                Err(unknown(UnknownCode::LinkLost, "the owner changed", message_id))
            }
            () = self.stays_cut_off() => {
                let what = "this node lost its lease and the coordinator meanwhile";
                Err(unknown(UnknownCode::OwnerLost, what, message_id))
            }
        }?;
        if let Some(epoch) = granted_elsewhere(&response) {
            self.catch_up((spot, node), epoch, deadline).await;
        }
        Ok(response)
    }

    /// Waits until this node knows of a grant of `spot` that is no older than `epoch`, of which the node
    /// that it asked knows, or that another owns it: before that it would ask the same one in vain. Not at all where the node
    /// asked knows no more than this one and lags behind: that is left to the pause between two tries.
    async fn catch_up(&self, (spot, asked): (Spot, NodeId), epoch: Epoch, deadline: Monotonic) {
        let mut view = self.ports.coordinator.view();
        let left = deadline.since(self.ports.host.now()).min(CATCHES_UP_WITHIN);
        // However it ends, the caller looks again.
        tokio::select! {
            biased;
            _ = view.wait_for(|view| {
                let shard = spot.shard(view);
                shard.is_none_or(|shard| shard.epoch >= epoch || shard.owner != Some(asked))
            }) => {}
            () = tokio::time::sleep(left) => {}
            () = self.stays_cut_off() => {}
        }
    }

    /// The epoch of the last grant of the shard at `spot`, as this node knows; 0 where it knows of none.
    pub(super) fn epoch_of(&self, spot: Option<Spot>) -> Epoch {
        epoch_in(&self.ports.coordinator.view().borrow(), spot)
    }

    /// Hands a question to the task of the shard at `spot`, unless its inbox is full or closed.
    pub(super) fn push(&self, spot: Spot, inbox: &Inbox, ask: Ask) -> Result<(), CallError> {
        inbox.try_send(ask).map_err(|error| match error {
            TrySendError::Full(_) => overloaded(),
            TrySendError::Closed(_) => not_owner(self.epoch_of(Some(spot))),
        })
    }

    /// Waits until another node than `node` owns `spot`, as this node knows.
    async fn owner_changes(&self, spot: Spot, node: NodeId) {
        let mut view = self.ports.coordinator.view();
        loop {
            let owner = spot.shard(&view.borrow_and_update()).and_then(|shard| shard.owner);
            if owner.is_some_and(|owner| owner != node) || view.changed().await.is_err() {
                return;
            }
        }
    }

    /// The way to the owner of `address`, and where it lives.
    ///
    /// # Errors
    /// A refusal where this node knows of none, or has yet to hear that the type is used.
    pub(super) fn way_to(&self, address: &Address) -> Result<(Spot, Way), CallError> {
        let spot = self.spot_of(address).ok_or_else(|| {
            self.take_into_use(&address.entity_type);
            CallError::Refused(unused(&address.entity_type))
        })?;
        Ok((spot, self.way(spot, address)?))
    }

    /// The way to the owner of `spot`, in which `what` lives.
    ///
    /// # Errors
    /// A refusal where this node knows of none.
    pub(super) fn way(&self, spot: Spot, what: &dyn Display) -> Result<Way, CallError> {
        match self.owner(spot) {
            Owner::Here(inbox) => Ok(Way::Here(inbox)),
            Owner::There(_) | Owner::None if self.is_cut_off() => {
                Err(CallError::Refused(cut_off(what)))
            }
            Owner::There(node) => Ok(Way::There(node)),
            Owner::None => {
                let view = self.ports.coordinator.view();
                let view = view.borrow();
                let group = view.bindings.group(spot.space).filter(|group| {
                    let is_up = |state| state != NodeState::Down;
                    let mut nodes = view.nodes.values();
                    !nodes.any(|node| is_up(node.state) && node.groups.contains(*group))
                });
                Err(CallError::Refused(match group {
                    Some(group) => no_runner(group, what),
                    None => no_owner(what),
                }))
            }
        }
    }

    /// Where `address` lives, as this node knows; none where its type has to be used first.
    pub(super) fn spot_of(&self, address: &Address) -> Option<Spot> {
        let space = match self.ports.coordinator.view().borrow().home_of(address) {
            Home::Shard(shard) => shard.id.space(),
            Home::Unmade(space) => space,
            Home::Unused(_) => return None,
        };
        Some(Spot { space, slot: address.slot() })
    }

    /// Where a message to an entity of this type lives; it is stored, so the type is used.
    pub(super) fn spot_of_stored(&self, message_id: MessageId, address: &Address) -> Spot {
        Spot { space: self.space_of(address), slot: message_id.slot() }
    }

    /// The space of an entity whose type is used, as this node knows.
    pub(crate) fn space_of(&self, address: &Address) -> Space {
        self.ports.coordinator.view().borrow().bindings.bound_to(&address.entity_type)
    }

    /// Has it recorded that a type is used, unless this is being done; callers look again.
    fn take_into_use(&self, entity_type: &EntityType) {
        if !self.first_uses.begin(entity_type) {
            return;
        }
        let (uses, entity_type) = (Arc::clone(&self.first_uses), entity_type.clone());
        let coordinator = Arc::clone(&self.ports.coordinator);
        self.ports.host.spawn("first-use", async move {
            let asked = coordinator.administer(Administration::Use(entity_type.clone())).await;
            if let Err(error) = asked {
                tracing::warn!(%entity_type, %error, "the first use of a type is not recorded yet");
            }
            uses.end(&entity_type);
        });
    }

    /// The shard that `address` lives in, as this node knows.
    pub(super) fn shard_of(&self, address: &Address) -> Option<ShardId> {
        match self.ports.coordinator.view().borrow().home_of(address) {
            Home::Shard(shard) => Some(shard.id),
            Home::Unmade(_) | Home::Unused(_) => None,
        }
    }

    /// Who owns `spot`, as this node knows.
    pub(super) fn owner(&self, spot: Spot) -> Owner {
        let view = self.ports.coordinator.view();
        let view = view.borrow();
        let Some(shard) = spot.shard(&view) else { return Owner::None };
        match shard.owner {
            None => Owner::None,
            Some(node) if node == self.config.node => {
                self.served.of(shard).map_or(Owner::None, Owner::Here)
            }
            Some(node) => Owner::There(node),
        }
    }
}

/// A slot of a space: where something lives, whichever shard holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) space: Space,
    pub(super) slot: Slot,
}

impl Spot {
    fn shard(self, view: &ClusterView) -> Option<&ShardView> {
        view.shard_at(self.space, self.slot)
    }
}

fn epoch_in(view: &ClusterView, spot: Option<Spot>) -> Epoch {
    spot.and_then(|spot| spot.shard(view)).map_or(Epoch(0), |shard| shard.epoch)
}

/// The epoch of which another node knows that does not serve what it was asked for.
fn granted_elsewhere(response: &Response) -> Option<Epoch> {
    let Response::Call(Err(CallError::Refused(refusal))) = response else { return None };
    match refusal.code {
        RefusalCode::NotOwner(epoch) => Some(epoch),
        _ => None,
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

#[cfg(test)]
#[path = "owner_tests.rs"]
mod tests;
