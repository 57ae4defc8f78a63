//! Ids of journal entries.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{MessageId, Slot, Timestamp};

/// The id of an entry of a journal: a `UUIDv7` that is made as a [`MessageId`] is, of the slot of the
/// entity whose journal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EntryId(MessageId);

impl EntryId {
    /// Makes an id from the time of its making, the entity's slot and 64 random bits.
    #[must_use]
    pub fn new(time: Timestamp, slot: Slot, random: u64) -> Self {
        Self(MessageId::new(time, slot, random))
    }

    /// The slot of the entity.
    #[must_use]
    pub fn slot(self) -> Slot {
        self.0.slot()
    }

    /// The id's 16 bytes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_bytes()
    }

    /// The id of 16 bytes, as [`EntryId::to_bytes`] made them.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(MessageId::from_bytes(bytes))
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
