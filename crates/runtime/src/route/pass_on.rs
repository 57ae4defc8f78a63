//! Sends of a shard's outbox, on their way to their targets' owners.

use std::collections::BTreeMap;

use quarry_core::outbox::{Passing, Place};
use quarry_types::{Delivery, Envelope, ShardId};

use super::{ONE_TRY, in_order::Answers, tries::Tries};
use crate::node::Inner;

/// Sends to one shard that go together.
const TOGETHER: usize = 128;
/// Bytes of their payloads, beyond the first: well within a frame between nodes.
const TOGETHER_BYTES: usize = 4 * 1024 * 1024;

/// Sends to one shard.
#[derive(Default)]
pub(crate) struct Parcel {
    /// Their places in the outbox.
    pub(crate) places: Vec<Place>,
    envelopes: Vec<Envelope>,
    bytes: usize,
}

impl Parcel {
    fn has_room_for(&self, bytes: usize) -> bool {
        self.places.is_empty()
            || (self.places.len() < TOGETHER && self.bytes + bytes <= TOGETHER_BYTES)
    }

    fn add(&mut self, place: Place, envelope: Envelope) {
        self.bytes += envelope.payload.len();
        self.places.push(place);
        self.envelopes.push(envelope);
    }
}

impl Inner {
    /// Sends as they go together: those to one shard, as this node knows the shards.
    pub(crate) fn parcels(&self, passing: Vec<Passing>) -> Vec<Parcel> {
        let mut full = Vec::new();
        let mut open: BTreeMap<ShardId, Parcel> = BTreeMap::new();
        for send in passing {
            let envelope = send.envelope();
            // What has no shard yet goes alone: it may have one when it is tried.
            let Some(shard) = self.shard_of(&envelope.address) else {
                let mut alone = Parcel::default();
                alone.add(send.place, envelope);
                full.push(alone);
                continue;
            };
            let parcel = open.entry(shard).or_default();
            if !parcel.has_room_for(envelope.payload.len()) {
                full.push(std::mem::take(parcel));
            }
            parcel.add(send.place, envelope);
        }
        full.extend(open.into_values());
        full
    }

    /// Tries once to have the owner of their targets store them; as many answers, in their order.
    /// The outbox tries again, so nothing is waited for here.
    pub(crate) async fn pass_on(&self, parcel: Parcel) -> Answers {
        let tries = |envelope| Tries::new(envelope, Delivery::Durable);
        let open: Vec<_> = parcel.envelopes.into_iter().map(tries).enumerate().collect();
        self.try_group(&open, self.ports.host.now().after(ONE_TRY)).await
    }
}
