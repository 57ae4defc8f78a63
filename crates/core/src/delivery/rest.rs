//! Entities that have nothing to do: they may leave memory.

use alloc::{collections::BTreeSet, vec::Vec};

use quarry_types::{Address, Timestamp};

use super::{Shard, batch::Unit, entity::Activation};

impl<W> Shard<W> {
    /// What is not durable yet. An entity of which there is something stays: where the commit fails, it
    /// goes back to its place in the queue (D3), and until it is done, the store does not tell of it.
    pub(super) fn under_way(&self) -> impl Iterator<Item = &Unit> {
        let in_flight = self.in_flight.iter().flat_map(|(_, units)| units);
        self.pending.iter().chain(in_flight)
    }

    /// Whether something of the entity is not durable yet.
    pub(super) fn is_under_way(&self, address: &Address) -> bool {
        self.under_way().any(|unit| unit.address == *address)
    }

    /// Lets go of entities that were idle for their type's time, and of the actors of those whose
    /// messages are held up. Their actors are to be dropped, and what is committed is their state.
    pub fn passivate_idle(&mut self, now: Timestamp) -> Vec<Address> {
        let under_way: BTreeSet<Address> =
            self.under_way().map(|unit| unit.address.clone()).collect();
        let limits = &self.limits;
        let mut idle = Vec::new();
        self.entities.retain(|address, entity| {
            let limits = limits.of(&address.entity_type);
            if now < entity.used_at.after(limits.idle_after) || under_way.contains(address) {
                return true;
            }
            let is_idle = entity.is_idle();
            if is_idle || entity.give_up_actor(limits) {
                idle.push(address.clone());
            }
            !is_idle
        });
        idle
    }

    /// The entities that came to have nothing to do since this was asked last: they may be asked to
    /// make room.
    pub fn take_rested(&mut self) -> Vec<Address> {
        let rested = core::mem::take(&mut self.rested).into_iter();
        let rests = |address: &Address| self.entities.get(address).is_some_and(|e| e.rests);
        rested.filter(rests).collect()
    }

    pub(super) fn rest(&mut self, address: &Address) {
        let Some(entity) = self.entities.get_mut(address) else { return };
        let limits = self.limits.of(&address.entity_type);
        let has_nothing_to_do = entity.is_idle() || (entity.is_held(limits) && entity.is_quiet());
        if entity.activation == Activation::Active && has_nothing_to_do && !entity.rests {
            entity.rests = true;
            self.rested.push(address.clone());
        }
    }

    /// Lets go of an entity that is to make room, or of its actor where all that it has is held up;
    /// whether it had nothing to do. Its actor is to be dropped then, and what is committed is its
    /// state. Where it had, it is told when it rests again.
    pub fn evict(&mut self, address: &Address) -> bool {
        let is_under_way = self.is_under_way(address);
        let Some(entity) = self.entities.get_mut(address) else { return false };
        entity.rests = false;
        if is_under_way {
            return false;
        }
        if entity.is_idle() {
            self.entities.remove(address);
            return true;
        }
        entity.give_up_actor(self.limits.of(&address.entity_type))
    }
}
