//! The store: one shard's fence, its commits, and the state that they made.
//!
//! Each function is one transaction, and mirrors one of `quarry-store`; both databases do the same.

use quarry_types::{BootId, Epoch, Sequence};

use super::{message::Request, rules::Rules};

/// Writes that clients asked for, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Writes(u8);

impl Writes {
    pub(crate) const fn with(self, write: u8) -> Self {
        Self(self.0 | 1 << write)
    }

    pub(crate) const fn holds(self, write: u8) -> bool {
        self.0 & 1 << write != 0
    }

    pub(crate) const fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn count(self) -> u32 {
        self.0.count_ones()
    }
}

/// A row of `shard_fence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fence {
    pub(crate) epoch: Epoch,
    pub(crate) boot: BootId,
}

/// A row of `shard_commit`, with the write that came with it; none where it is void. Its sequence
/// is its place, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    pub(crate) epoch: Epoch,
    pub(crate) write: Option<u8>,
}

/// A commit as it is sent: the new state whole, as `entity_state` is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Commit {
    pub(crate) epoch: Epoch,
    /// Who sent it. The store looks at it only where it raises the fence late.
    pub(crate) boot: BootId,
    pub(crate) sequence: Sequence,
    pub(crate) write: u8,
    pub(crate) state: Writes,
}

/// What became of a commit whose answer was lost; `quarry-store`'s `Fate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Fate {
    Written,
    Voided,
    Fenced {
        written: bool,
    },
    /// It was not found; only of [`Rules::LookInsteadOfVoid`].
    Absent,
}

/// Everything the store holds of the shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Storage {
    pub(crate) fence: Option<Fence>,
    pub(crate) commits: Vec<Row>,
    pub(crate) state: Writes,
}

impl Storage {
    /// `load_shard`: `RAISE_FENCE`, then `FENCE`, then `LAST_COMMIT`. Returns the last sequence, or
    /// nothing where the load is refused.
    pub(crate) fn load(&mut self, rules: Rules, asked: Fence) -> Option<Sequence> {
        match rules {
            Rules::FenceAtFirstWrite => {
                let is_newer = self.fence.is_none_or(|fence| fence.epoch <= asked.epoch);
                return is_newer.then(|| self.last());
            }
            Rules::GrantLoadableTwice => self.raise(asked, |fence| fence.epoch <= asked.epoch),
            _ => self.raise(asked, |fence| fence.epoch < asked.epoch),
        }
        (self.fence == Some(asked)).then(|| self.last())
    }

    /// `WRITE`: the fence must stand at the commit's epoch, its sequence must be free, and the row
    /// before it must be there. Whether it was written.
    pub(crate) fn write(&mut self, rules: Rules, commit: &Commit) -> bool {
        if rules == Rules::FenceAtFirstWrite {
            let fence = Fence { epoch: commit.epoch, boot: commit.boot };
            self.raise(fence, |standing| standing.epoch < commit.epoch);
        }
        let is_fenced = !self.is_at(commit.epoch) && rules != Rules::NoFenceOnWrites;
        let is_next = commit.sequence == self.last().next() || rules == Rules::NoWriteSequence;
        if is_fenced || !is_next {
            return false;
        }
        self.commits.push(Row { epoch: commit.epoch, write: Some(commit.write) });
        self.state = commit.state;
        true
    }

    /// `decide`: locks the fence row, and where it stands at the epoch, `VOID_COMMIT`; then
    /// `COMMIT_AT` and `Fate::of`.
    pub(crate) fn decide(&mut self, rules: Rules, asked: Fence, sequence: Sequence) -> Fate {
        if rules == Rules::FenceAtFirstWrite {
            self.raise(asked, |standing| standing.epoch < asked.epoch);
        }
        let epoch = asked.epoch;
        let is_free = sequence == self.last().next();
        if self.is_at(epoch) && is_free && rules != Rules::LookInsteadOfVoid {
            self.commits.push(Row { epoch, write: None });
            return Fate::Voided;
        }
        let found = self.at(sequence).filter(|row| row.epoch == epoch);
        let written = found.is_some_and(|row| row.write.is_some());
        match found {
            _ if !self.is_at(epoch) => Fate::Fenced { written },
            Some(_) if written => Fate::Written,
            Some(_) => Fate::Voided,
            None if rules == Rules::LookInsteadOfVoid => Fate::Absent,
            None => Fate::Fenced { written: false },
        }
    }

    /// Whether a request could change something by the sound rules, now or later: a fence that is
    /// newer never goes back, and a sequence that is taken stays so.
    pub(crate) fn may_take(&self, request: &Request) -> bool {
        let fence = self.fence.map_or(Epoch(0), |fence| fence.epoch);
        match request {
            Request::Load { epoch, .. } => fence < *epoch,
            Request::Commit { commit, .. } => {
                fence <= commit.epoch && self.last() < commit.sequence
            }
            Request::Decide { epoch, sequence, .. } => fence <= *epoch && self.last() < *sequence,
        }
    }

    /// Whether this very commit is there.
    pub(crate) fn holds(&self, commit: &Commit) -> bool {
        let row = Row { epoch: commit.epoch, write: Some(commit.write) };
        self.at(commit.sequence) == Some(row)
    }

    /// The writes of all commits.
    pub(crate) fn committed(&self) -> Writes {
        let writes = self.commits.iter().filter_map(|row| row.write);
        writes.fold(Writes::default(), Writes::with)
    }

    /// Whether some write is there twice.
    pub(crate) fn has_doubled(&self) -> bool {
        let rows = self.commits.iter().filter(|row| row.write.is_some()).count();
        u32::try_from(rows) != Ok(self.committed().count())
    }

    fn raise(&mut self, to: Fence, is_older: impl FnOnce(&Fence) -> bool) {
        if self.fence.as_ref().is_none_or(is_older) {
            self.fence = Some(to);
        }
    }

    fn is_at(&self, epoch: Epoch) -> bool {
        self.fence.is_some_and(|fence| fence.epoch == epoch)
    }

    fn last(&self) -> Sequence {
        Sequence(self.commits.len() as u64)
    }

    fn at(&self, sequence: Sequence) -> Option<Row> {
        let place = usize::try_from(sequence.0).ok()?.checked_sub(1)?;
        self.commits.get(place).copied()
    }
}
