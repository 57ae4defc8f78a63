//! How much is known of an entity of which only a part is in memory.

use quarry_types::Sequence;

use super::{
    message::Position,
    reading::{Purpose, Reading},
};

/// Behind all rows.
pub(super) const LAST: Position = (Sequence(u64::MAX), u32::MAX);

/// An entity of which only a part is in memory.
#[derive(Clone, Copy)]
pub(super) struct Part {
    /// What stands up to here is in memory; behind it, only some.
    pub(super) end: Position,
    /// What stands up to here is in memory, or has a copy among the open messages.
    pub(super) copied: Position,
    /// What the next page is read for.
    pub(super) purpose: Purpose,
}

impl Part {
    pub(super) const fn new(end: Position) -> Self {
        Self { end, copied: (Sequence(0), 0), purpose: Purpose::Run }
    }

    /// Up to where nothing is left to the log.
    pub(super) fn floor(&self) -> Position {
        self.end.max(self.copied)
    }

    /// Behind which place the next page begins.
    pub(super) fn next(&self) -> Position {
        self.behind(self.purpose)
    }

    fn behind(&self, purpose: Purpose) -> Position {
        match purpose {
            Purpose::Run | Purpose::Audit => self.end,
            Purpose::Copy => self.floor(),
        }
    }

    /// Whether the page is the next one.
    pub(super) fn is_next(&self, reading: &Reading) -> bool {
        reading.after.1 == self.behind(reading.purpose)
    }
}
