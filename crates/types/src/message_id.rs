//! Message ids: `UUIDv7` with the slot in 16 of the random bits.

use core::{fmt, str::FromStr};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Slot, Timestamp};

/// The id of a message: a `UUIDv7` whose last two bytes are the slot of its entity, so that an id
/// alone tells where the message lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(Uuid);

impl MessageId {
    /// Makes an id from the time of its making, the entity's slot and 64 random bits (58 of which
    /// are used).
    #[must_use]
    pub fn new(time: Timestamp, slot: Slot, random: u64) -> Self {
        let [_, _, t0, t1, t2, t3, t4, t5] = time.0.to_be_bytes();
        let [r0, r1, r2, r3, r4, r5, r6, r7] = random.to_be_bytes();
        let [s0, s1] = slot.0.to_be_bytes();
        Self(Uuid::from_bytes([
            t0,
            t1,
            t2,
            t3,
            t4,
            t5,
            0x70 | (r0 & 0x0f),
            r1,
            0x80 | (r2 & 0x3f),
            r3,
            r4,
            r5,
            r6,
            r7,
            s0,
            s1,
        ]))
    }

    /// The slot of the message's entity.
    #[must_use]
    pub fn slot(self) -> Slot {
        let [.., s0, s1] = *self.0.as_bytes();
        Slot(u16::from_be_bytes([s0, s1]))
    }

    /// The id's 16 bytes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.into_bytes()
    }

    /// The id of 16 bytes, as [`MessageId::to_bytes`] made them.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for MessageId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_is_a_version_7_uuid_that_carries_its_slot(time in 0i64..1 << 47, slot: u16, random: u64) {
            let id = MessageId::new(Timestamp(time), Slot(slot), random);
            prop_assert_eq!(id.slot(), Slot(slot));
            prop_assert_eq!(id.0.get_version_num(), 7);
            prop_assert_eq!(MessageId::from_bytes(id.to_bytes()), id);
            prop_assert_eq!(alloc::string::ToString::to_string(&id).parse(), Ok(id));
        }
    }
}
