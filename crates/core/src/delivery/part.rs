//! How much is known of an entity of which only a part is in memory.

use quarry_types::Sequence;

use super::{message::Position, reading::Reading};

/// Behind all rows.
pub(super) const LAST: Position = (Sequence(u64::MAX), u32::MAX);

/// An entity of which only a part is in memory.
#[derive(Clone, Copy)]
pub(super) struct Part {
    /// What stands up to here is in memory; behind it, only some.
    pub(super) end: Position,
    /// What stands up to here is in memory, or has a copy among the open messages.
    pub(super) copied: Position,
    /// The next page is to be copied, and left in the store.
    pub(super) is_copying: bool,
}

impl Part {
    pub(super) const fn new(end: Position) -> Self {
        Self { end, copied: (Sequence(0), 0), is_copying: false }
    }

    /// Up to where nothing is left to the log.
    pub(super) fn floor(&self) -> Position {
        self.end.max(self.copied)
    }

    /// Behind which place the next page begins.
    pub(super) fn next(&self) -> Position {
        if self.is_copying { self.floor() } else { self.end }
    }

    /// Whether the page is the next one.
    pub(super) fn is_next(&self, reading: &Reading) -> bool {
        let after = if reading.is_copying { self.floor() } else { self.end };
        reading.after.1 == after
    }
}
