//! Entities that have nothing to do: they may leave memory.

use alloc::vec::Vec;

use quarry_types::{Address, Timestamp};

use super::{Shard, entity::Activation};

impl<W> Shard<W> {
    /// Lets go of entities that were idle for their type's time. Their actors are to be dropped, and
    /// what is committed is their state.
    pub fn passivate_idle(&mut self, now: Timestamp) -> Vec<Address> {
        let limits = &self.limits;
        let mut idle = Vec::new();
        self.entities.retain(|address, entity| {
            let idle_after = limits.of(&address.entity_type).idle_after;
            let stays = !entity.is_idle() || now < entity.used_at.after(idle_after);
            if !stays {
                idle.push(address.clone());
            }
            stays
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
        if entity.activation == Activation::Active && entity.is_idle() && !entity.rests {
            entity.rests = true;
            self.rested.push(address.clone());
        }
    }

    /// Lets go of an entity that is to make room; whether it had nothing to do. Its actor is to be
    /// dropped then, and what is committed is its state. Where it had, it is told when it rests again.
    pub fn evict(&mut self, address: &Address) -> bool {
        let Some(entity) = self.entities.get_mut(address) else { return false };
        entity.rests = false;
        let is_idle = entity.is_idle();
        if is_idle {
            self.entities.remove(address);
        }
        is_idle
    }
}
