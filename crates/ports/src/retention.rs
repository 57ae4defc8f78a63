//! The end of what is kept for a time.

use quarry_types::{Epoch, ShardAge, ShardId};

/// A shard that is looked through for what is past its retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retiring {
    /// The shard.
    pub shard: ShardId,
    /// The epoch under which its owner holds it.
    pub epoch: Epoch,
    /// Its age now.
    pub age: ShardAge,
    /// Whether the age is to be recorded, where the shard keeps any outcome.
    pub record: bool,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retired {
    /// Messages, each with its outcome.
    pub messages: u64,
    /// Whether more is past its retention.
    pub more: bool,
}
