//! What memory holds of an entity, for people.

use quarry_types::Address;

use super::{Shard, entity::Activation};

/// What memory holds of an entity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InMemory {
    /// Whether it has a live actor, or is getting one.
    pub is_resident: bool,
    /// Whether a handler of it runs.
    pub is_running: bool,
    /// Messages that wait for it, as its limit counts them.
    pub waiting: usize,
    /// How many may.
    pub mailbox: usize,
}

impl InMemory {
    /// Whether one more message is refused.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.waiting >= self.mailbox
    }
}

impl<W> Shard<W> {
    /// What memory holds of the entity.
    #[must_use]
    pub fn look(&self, address: &Address) -> InMemory {
        let entity = self.entities.get(address);
        let queued = entity.map_or(0, |entity| entity.queue.len() + entity.left);
        InMemory {
            is_resident: entity.is_some_and(|entity| entity.activation != Activation::Inactive),
            is_running: entity.is_some_and(|entity| entity.running.is_some()),
            waiting: queued + self.delays.of(address),
            mailbox: self.limits.of(&address.entity_type).mailbox,
        }
    }

    /// How many entities take no further message.
    #[must_use]
    pub fn full_mailboxes(&self) -> usize {
        let queued = self.entities.keys();
        let delayed = self.delays.addresses().filter(|at| !self.entities.contains_key(at));
        queued.chain(delayed).filter(|address| self.look(address).is_full()).count()
    }
}

#[cfg(test)]
mod tests {
    use quarry_types::{CallError, Due, Envelope, RefusalCode, Timestamp};

    use super::*;
    use crate::delivery::{
        Effect, Limits, TypeLimits,
        tests::{NOW, activate, address, admit, message, run_of, shard_of},
    };

    fn with_mailbox(mailbox: usize) -> Shard<u32> {
        let default_type = TypeLimits { mailbox, ..TypeLimits::default() };
        shard_of(Limits { default_type, ..Limits::default() })
    }

    fn is_refused(effects: &[Effect<u32>]) -> bool {
        effects.iter().any(|effect| match effect {
            Effect::Answer { result: Err(CallError::Refused(refusal)), .. } => {
                refusal.code == RefusalCode::Overloaded
            }
            _ => false,
        })
    }

    #[test]
    fn an_entity_is_dormant_until_it_has_something_to_do() {
        let mut shard = with_mailbox(3);
        let dormant = InMemory { mailbox: 3, ..InMemory::default() };
        assert_eq!(shard.look(&address("c1")), dormant);
        admit(&mut shard, message("c1", "k1"), 1);
        let loading = InMemory { is_resident: true, waiting: 1, ..dormant };
        assert_eq!(shard.look(&address("c1")), loading);
        run_of(&activate(&mut shard, "c1"));
        assert_eq!(shard.look(&address("c1")), InMemory { is_running: true, ..loading });
        assert_eq!(shard.look(&address("c2")), dormant);
    }

    #[test]
    fn a_mailbox_is_full_where_one_more_message_is_refused() {
        let mut shard = with_mailbox(2);
        let hour = Timestamp(NOW.0 + 3_600_000);
        for (id, due) in [("c1", Due::Now), ("c2", Due::At(hour))] {
            let send = |key: &str| Envelope { due, ..message(id, key) };
            for key in ["k1", "k2"] {
                assert!(!shard.look(&address(id)).is_full());
                assert!(!is_refused(&admit(&mut shard, send(key), 1)));
            }
            assert!(shard.look(&address(id)).is_full());
            assert!(is_refused(&admit(&mut shard, send("k3"), 1)));
        }
        assert_eq!(shard.full_mailboxes(), 2);
    }
}
