//! Slots: the 65,536 parts of the address space.

use core::fmt;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

/// How many slots there are, for ever.
pub const SLOT_COUNT: u32 = 65_536;

/// One of the 65,536 parts of the address space.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Slot(pub u16);

impl Slot {
    /// `xxh3_64(tenant 0x00 type 0x00 id) >> 48` with seed 0. Golden vectors in the tests hold it
    /// fixed, because every stored row depends on it.
    #[must_use]
    pub fn of(tenant: &str, entity_type: &str, id: &str) -> Self {
        let mut hash = Xxh3::new();
        hash.update(tenant.as_bytes());
        hash.update(&[0]);
        hash.update(entity_type.as_bytes());
        hash.update(&[0]);
        hash.update(id.as_bytes());
        let [high, low, ..] = hash.digest().to_be_bytes();
        Self(u16::from_be_bytes([high, low]))
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A range of slots, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SlotRange {
    /// The first slot of the range.
    pub first: Slot,
    /// The last slot of the range.
    pub last: Slot,
}

impl SlotRange {
    /// All slots.
    pub const ALL: Self = Self { first: Slot(0), last: Slot(u16::MAX) };

    /// Whether `slot` lies in the range.
    #[must_use]
    pub const fn contains(self, slot: Slot) -> bool {
        self.first.0 <= slot.0 && slot.0 <= self.last.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_vectors_never_change() {
        let golden = [
            ("default", "Counter", "c1", GOLDEN[0]),
            ("default", "Register", "r1", GOLDEN[1]),
            ("default", "KGExtractor", "größe/1", GOLDEN[2]),
            ("acme", "Counter", "c1", GOLDEN[3]),
            ("a", "B", "\u{1f600}", GOLDEN[4]),
        ];
        for (tenant, entity_type, id, slot) in golden {
            assert_eq!(
                Slot::of(tenant, entity_type, id),
                Slot(slot),
                "{tenant} {entity_type}/{id}"
            );
        }
    }

    const GOLDEN: [u16; 5] = [54_149, 58_625, 44_251, 211, 63_829];

    #[test]
    fn parts_are_separated() {
        assert_ne!(Slot::of("ab", "C", "d"), Slot::of("a", "bC", "d"));
    }

    #[test]
    fn a_range_holds_both_its_ends() {
        let range = SlotRange { first: Slot(2), last: Slot(4) };
        let inside: alloc::vec::Vec<u16> = (0..7).filter(|s| range.contains(Slot(*s))).collect();
        assert_eq!(inside, [2, 3, 4]);
    }
}
