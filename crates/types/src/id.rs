//! Numbers with a meaning: nodes, shards, epochs, sequences.

use core::fmt;
use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A process of the cluster, named by its operator; never reused for another machine. 0 is valid.
    NodeId(u64)
}
number! {
    /// A shard: a range of slots, the unit of ownership.
    ShardId(u32)
}
number! {
    /// The fencing token of one grant of one shard: base plus the Raft log index of the assignment
    /// (invariant L1: it only grows).
    Epoch(u64)
}
number! {
    /// The number of a commit within its shard: gapless, from 1. 0 stands for *before the first*.
    Sequence(u64)
}
number! {
    /// Random per process start: tells a restarted process from the one before it (invariant L5).
    BootId(u64)
}
number! {
    /// Random, made once per cluster and kept in its store.
    ClusterId(u64)
}

impl Sequence {
    /// The sequence after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}
