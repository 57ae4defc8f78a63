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
    /// A set of shards that together hold every slot once, and belong to one group of runners. 0 is
    /// that of all types that are bound to no group; any runner may own its shards.
    Space(u16)
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
    /// A start of a process: 24 bits of the data directory that it holds the lock of, and 40 that are
    /// random per start. They tell a restarted process from the one before it (invariant L5), and one
    /// that took over its directory from one that did not (L2).
    BootId(u64)
}
number! {
    /// Random, made once per cluster and kept in its store.
    ClusterId(u64)
}

impl BootId {
    /// How many bits are the start's own.
    const START_BITS: u32 = 40;

    /// The same start, over the data directory that has this number; 24 bits of it count.
    #[must_use]
    pub const fn over(self, directory: u64) -> Self {
        let start = self.0 & ((1 << Self::START_BITS) - 1);
        Self(directory << Self::START_BITS | start)
    }

    /// The number of the data directory, of 24 bits.
    #[must_use]
    pub const fn directory(self) -> u64 {
        self.0 >> Self::START_BITS
    }
}

impl Space {
    /// The space of all types that are bound to no group.
    pub const DEFAULT: Self = Self(0);
}

impl ShardId {
    /// How many ids a space has: more than shards can ever be made of all slots by splits.
    const PER_SPACE: u32 = 1 << 17;
    /// The last space whose shards have ids.
    pub const LAST_SPACE: Space = Space(0x7fff);

    /// The space that the shard is one of.
    #[must_use]
    pub fn space(self) -> Space {
        Space(u16::try_from(self.0 / Self::PER_SPACE).unwrap_or(u16::MAX))
    }

    /// Its number within its space.
    #[must_use]
    pub const fn place(self) -> u32 {
        self.0 % Self::PER_SPACE
    }

    /// The shard with number `place` of `space`, where there can be one.
    #[must_use]
    pub fn at(space: Space, place: u32) -> Option<Self> {
        let is_one = space <= Self::LAST_SPACE && place < Self::PER_SPACE;
        is_one.then(|| Self(u32::from(space.0) * Self::PER_SPACE + place))
    }
}

impl Sequence {
    /// The sequence after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}
