//! What stands of a message's chunks, as memory knows it: a mark for each of the newest, and which of
//! all of them count no more.

use alloc::{collections::VecDeque, vec::Vec};

use xxhash_rust::xxh3::xxh3_64;

use super::Chunk;

/// A chunk that a handler made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) hash: u64,
    pub(super) is_entry: bool,
}

impl Made {
    /// The mark of a chunk; none of a reset.
    pub(super) fn of(chunk: &Chunk) -> Option<Self> {
        let (bytes, is_entry) = match chunk {
            Chunk::Made(bytes) => (bytes, false),
            Chunk::Entry { entry, .. } => (entry, true),
            Chunk::Reset { .. } => return None,
        };
        Some(Self { hash: xxh3_64(bytes), is_entry })
    }
}

/// What stands under a number.
#[derive(Clone, Copy, Debug)]
enum Mark {
    Made(Made),
    /// What stands from this number on counts no more; `entry` is not before the last entry of the
    /// journal that counts still.
    Reset {
        from: u64,
        entry: Option<u64>,
    },
}

/// What stands from `from` to `at` counts no more; under `at` stands the reset itself.
#[derive(Clone, Copy, Debug)]
struct Reset {
    at: u64,
    from: u64,
}

/// All that stands or is on its way, by number: the newest marks, and the resets.
#[derive(Debug, Default)]
pub(super) struct Marks {
    next: u64,
    /// The newest, up to `next`: whatever is not durable, and some of what is.
    tail: VecDeque<Mark>,
    /// In order of their numbers. What a later durable one covers is left out, so there are at most
    /// as many as attempts.
    resets: Vec<Reset>,
    /// Not before the last entry that counts before the tail.
    entry_before: Option<u64>,
}

impl Marks {
    /// The number of the next chunk.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// The number of the first mark in memory.
    fn first(&self) -> u64 {
        self.next.saturating_sub(u64::try_from(self.tail.len()).unwrap_or(u64::MAX))
    }

    /// How many marks are in memory.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.tail.len() + self.resets.len()
    }

    pub(super) fn push(&mut self, made: Made) {
        self.push_mark(Mark::Made(made));
    }

    /// What stands from `from` on counts no more; `entry` is the last entry of the journal before.
    pub(super) fn push_reset(&mut self, from: u64, entry: Option<u64>) {
        self.resets.push(Reset { at: self.next, from });
        self.push_mark(Mark::Reset { from, entry });
    }

    fn push_mark(&mut self, mark: Mark) {
        self.tail.push_back(mark);
        self.next = self.next.saturating_add(1);
    }

    /// The next of what was stored before.
    pub(super) fn push_stored(&mut self, chunk: &Chunk) {
        match (Made::of(chunk), chunk) {
            (Some(made), _) => self.push(made),
            (None, Chunk::Reset { from, .. }) => {
                self.push_reset(*from, self.last_entry_below(*from));
            }
            (None, Chunk::Made(_) | Chunk::Entry { .. }) => {}
        }
    }

    /// What stands up to `next` will not be known.
    pub(super) fn skip_to(&mut self, next: u64) {
        self.tail.clear();
        self.resets.clear();
        self.entry_before = next.checked_sub(1);
        self.next = next;
    }

    /// What stands from `first` on was not written.
    pub(super) fn undo(&mut self, first: u64) {
        while self.next > first && self.tail.pop_back().is_some() {
            self.next = self.next.saturating_sub(1);
        }
        self.resets.retain(|reset| reset.at < first);
    }

    /// Chunks up to `durable` are: of their marks, `keep` of the newest are held.
    pub(super) fn trim(&mut self, durable: u64, keep: usize) {
        let mut lowest = u64::MAX;
        self.resets.reverse();
        self.resets.retain(|reset| {
            let is_covered = reset.at < durable && reset.from >= lowest;
            if reset.at < durable {
                lowest = lowest.min(reset.from);
            }
            !is_covered
        });
        self.resets.reverse();
        while self.tail.len() > keep && self.first() < durable {
            let number = self.first();
            if let Some(mark) = self.tail.pop_front() {
                self.entry_before = behind(self.entry_before, number, mark);
            }
        }
    }

    /// The first number from `at` on that counts, as far as is known.
    pub(super) fn counting_from(&self, mut at: u64) -> u64 {
        while let Some(over) = self.resets.iter().find(|r| r.from <= at && at <= r.at) {
            at = over.at.saturating_add(1);
        }
        at
    }

    /// The chunk of this number, where its mark is in memory.
    pub(super) fn made(&self, number: u64) -> Option<Made> {
        let at = usize::try_from(number.checked_sub(self.first())?).ok()?;
        match self.tail.get(at)? {
            Mark::Made(made) => Some(*made),
            Mark::Reset { .. } => None,
        }
    }

    /// Whether an entry of the journal counts from `from` on. Where that is not in memory any more it
    /// may be said of one that counts no more.
    pub(super) fn has_entry_from(&self, from: u64) -> bool {
        let numbered = (self.first()..).zip(&self.tail);
        let last = numbered.fold(self.entry_before, |entry, (n, mark)| behind(entry, n, *mark));
        last.is_some_and(|last| last >= from)
    }

    /// Not before the last entry below `from` that counts.
    fn last_entry_below(&self, from: u64) -> Option<u64> {
        let below = self.entry_before.map(|entry| entry.min(from.saturating_sub(1)));
        let numbered = (self.first()..from).zip(&self.tail);
        let last = numbered.fold(below, |entry, (n, mark)| behind(entry, n, *mark));
        last.filter(|last| *last < from)
    }
}

/// The last entry that counts behind `mark`, where before it that was `entry`.
fn behind(entry: Option<u64>, number: u64, mark: Mark) -> Option<u64> {
    match mark {
        Mark::Made(Made { is_entry: true, .. }) => Some(number),
        Mark::Made(_) => entry,
        Mark::Reset { from, entry: before } => match entry {
            Some(entry) if entry >= from => before,
            _ => entry,
        },
    }
}
