//! Unfinished messages: how they are stored, and how an owner reads them.

use bytes::Bytes;
use quarry_types::{Address, Sequence, SlotRange, Space, Timestamp};

use crate::{MessageRow, Position};

/// A page of unfinished messages ends where its payloads have so many bytes.
pub const OPEN_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// What an open message waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenState {
    /// Its turn, or the end of a back-off.
    Waiting,
    /// The time at which it is due; it was not tried yet.
    Delayed,
    /// An operator (D4).
    Quarantined,
}

/// A message that is not finished by the commit that accepted it, copied with what a new owner must
/// know. Written whole each time; the last one counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRow {
    /// The message.
    pub message: MessageRow,
    /// Where its row stands; `None` where the same commit accepts it.
    pub position: Option<Position>,
    /// Attempts begun so far.
    pub attempts: u32,
    /// Of those, the last ones in a row of which no end is known.
    pub lost: u32,
    /// Not to be run before this store time.
    pub due: Timestamp,
    /// What it waits for.
    pub state: OpenState,
    /// The errors of its attempts, oldest first, bounded by the writer.
    pub errors: Vec<String>,
}

/// An unfinished message, as an owner reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenMessage {
    /// The message, with the payload to run with.
    pub message: MessageRow,
    /// The payload that its row holds, where the open row holds another.
    pub original: Option<Bytes>,
    /// Where its row stands.
    pub position: Position,
    /// Attempts begun so far.
    pub attempts: u32,
    /// Of those, the last ones in a row of which no end is known.
    pub lost: u32,
    /// Not to be run before this store time.
    pub due: Timestamp,
    /// What it waits for.
    pub state: OpenState,
    /// The errors of its attempts, oldest first.
    pub errors: Vec<String>,
}

/// Which unfinished messages are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenQuery {
    /// The space of the shard.
    pub space: Space,
    /// The slots of the shard.
    pub range: SlotRange,
    /// The mark of the loaded shard, or a later one of its owner.
    pub low_water: Sequence,
    /// Only what stands behind this place.
    pub after: Option<OpenCursor>,
    /// Which of them.
    pub of: OpenOf,
}

/// Which unfinished messages of a shard are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenOf {
    /// Those that wait for their turn or for the end of a back-off, in order of position.
    Waiting,
    /// Those of them that are to one entity.
    Entity(Address),
    /// Those that wait for their time and were not tried yet, in the order of their times, and of
    /// position where these are equal.
    Delayed,
    /// Those to one entity that are quarantined, in order of position.
    Quarantined(Address),
}

/// Where the next page begins: behind this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpenCursor {
    /// The time of a message that is delayed; zero for all others.
    pub due: Timestamp,
    /// Where its row stands.
    pub position: Position,
}

impl OpenMessage {
    /// Its place in a page of messages that are `of` this kind.
    #[must_use]
    pub fn place(&self, of: &OpenOf) -> OpenCursor {
        let due = if *of == OpenOf::Delayed { self.due } else { Timestamp(0) };
        OpenCursor { due, position: self.position }
    }
}

/// A page of unfinished messages in order of their places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenPage {
    /// The messages.
    pub messages: Vec<OpenMessage>,
    /// Where to go on; `None` at the end.
    pub next: Option<OpenCursor>,
}
