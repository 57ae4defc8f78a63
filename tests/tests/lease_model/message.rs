//! What travels between processes and the store.

use quarry_types::{BootId, Epoch, Sequence};

use super::storage::{Commit, Fate, Writes};

/// To the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Request {
    /// Raise the fence.
    Load { epoch: Epoch, boot: BootId },
    /// Write.
    Commit {
        commit: Commit,
        /// Which copy of it this is, where it is sent again.
        copy: u8,
        /// Its client was told that it is surely not done. The store does not see this.
        is_refused: bool,
    },
    /// Decide the fate of a commit.
    Decide { epoch: Epoch, boot: BootId, sequence: Sequence },
}

/// From the store. All may be lost, come late or come again; but one that nobody awaits any more
/// changes nothing, and is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Answer {
    /// The fence stands.
    Loaded { boot: BootId, epoch: Epoch, sequence: Sequence },
    /// The commit was written, or refused. It belongs to its request: when the network makes a
    /// second copy of a request, that one's answer reaches nobody.
    Committed { boot: BootId, epoch: Epoch, sequence: Sequence, written: bool },
    /// The fate is decided.
    Decided { boot: BootId, epoch: Epoch, sequence: Sequence, fate: Fate },
}

impl Answer {
    pub(crate) const fn boot(&self) -> BootId {
        match self {
            Self::Loaded { boot, .. }
            | Self::Committed { boot, .. }
            | Self::Decided { boot, .. } => *boot,
        }
    }
}

/// A set of messages, in order, so that equal sets are equal values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Messages<T>(Vec<T>);

impl<T> Default for Messages<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Ord + Copy> Messages<T> {
    pub(crate) fn insert(&mut self, message: T) {
        if let Err(place) = self.0.binary_search(&message) {
            self.0.insert(place, message);
        }
    }

    pub(crate) fn remove(&mut self, message: &T) {
        self.0.retain(|other| other != message);
    }

    pub(crate) fn retain(&mut self, is_kept: impl FnMut(&T) -> bool) {
        self.0.retain(is_kept);
    }

    pub(crate) fn change(&mut self, change: impl FnMut(&mut T)) {
        self.0.iter_mut().for_each(change);
        self.0.sort_unstable();
        self.0.dedup();
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }
}

impl Request {
    /// A commit of `write` on top of `known`.
    pub(crate) const fn commit(
        epoch: Epoch,
        boot: BootId,
        sequence: Sequence,
        write: u8,
        known: Writes,
    ) -> Self {
        let commit = Commit { epoch, boot, sequence, write, state: known.with(write) };
        Self::Commit { commit, copy: 0, is_refused: false }
    }

    /// The same, sent once more.
    pub(crate) const fn copied(self) -> Self {
        match self {
            Self::Commit { commit, copy, is_refused } => {
                Self::Commit { commit, copy: copy + 1, is_refused }
            }
            other => other,
        }
    }

    /// An answer to it: all are awaited alike.
    pub(crate) const fn any_answer(&self) -> Answer {
        match *self {
            Self::Load { epoch, boot } => Answer::Loaded { boot, epoch, sequence: Sequence(0) },
            Self::Commit { commit: Commit { boot, epoch, sequence, .. }, .. } => {
                Answer::Committed { boot, epoch, sequence, written: true }
            }
            Self::Decide { epoch, boot, sequence } => {
                Answer::Decided { boot, epoch, sequence, fate: Fate::Voided }
            }
        }
    }
}
