//! What a process knows of commits, and what the store has of them.

use quarry_types::{Epoch, Sequence, ShardId};

/// The newest commit of a shard that was acknowledged to this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownCommit {
    /// The shard.
    pub shard: ShardId,
    /// The epoch under which it was made.
    pub epoch: Epoch,
    /// Its sequence; 0 where the store turned out not to have what it acknowledged.
    pub sequence: Sequence,
}

/// What the store has of the shard of a [`KnownCommit`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FoundCommit {
    /// The epoch of the commit with that sequence, where it is kept.
    pub epoch: Option<Epoch>,
    /// The newest commit; nothing where the shard has none.
    pub newest: Option<Sequence>,
}
