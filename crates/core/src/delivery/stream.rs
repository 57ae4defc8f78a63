//! The chunks of one message: those that stand, those that its handler repeats, and who waits for them.
//!
//! A handler that runs again makes its chunks again. Those that are equal to what stands are passed
//! over, so a handler that repeats itself repeats nothing to its readers; at the first difference a
//! reset is stored and numbering goes on behind it.
//!
//! Memory holds marks of the newest only. What a handler repeats beyond them is read from the store
//! in pages; what it made meanwhile waits, and a window bounds that (G7).

use alloc::{collections::VecDeque, vec::Vec};

use bytes::Bytes;

use super::marks::{Made, Marks};

/// A part of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// What the handler made.
    Made(Bytes),
    /// What the handler made, which is an entry of its entity's journal too.
    Entry {
        /// The entry.
        entry: Bytes,
        /// Whether all entries before it go.
        clears: bool,
    },
    /// What stands from chunk `from` on was made by an earlier attempt and counts no more.
    Reset {
        /// The attempt that begins here.
        attempt: u32,
        /// The first chunk that counts no more.
        from: u64,
        /// Whether an entry of the journal is among those: then the journal tells it too. Where no
        /// mark of them is in memory, it may be said of entries that an earlier reset took back.
        is_entry: bool,
    },
}

impl Chunk {
    /// The bytes that are written for it.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Made(bytes) => bytes.len(),
            // In the message's stream and in the journal.
            Self::Entry { entry, .. } => 2 * entry.len(),
            Self::Reset { .. } => 0,
        }
    }
}

/// A chunk that a handler made just now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emission<W> {
    /// The chunk. Resets are the machine's own: one that a handler makes is passed over.
    pub chunk: Chunk,
    /// Who holds the handler's window; told by [`super::Effect::Settled`] when the chunk is durable, or
    /// stood already, and let go where it is dropped.
    pub waiter: Option<W>,
}

/// What a handler that runs again has repeated.
#[derive(Debug, Default)]
struct Repeat {
    /// The number behind the last chunk that it repeated.
    at: u64,
    /// The last entry of the journal among what it repeated.
    entry: Option<u64>,
    /// A page of what stands, from a number on; none under what is a reset.
    page: (u64, Vec<Option<Made>>),
}

impl Repeat {
    fn made(&self, number: u64) -> Option<Made> {
        let (first, page) = &self.page;
        *page.get(usize::try_from(number.checked_sub(*first)?).ok()?)?
    }

    fn passes(&mut self, number: u64, made: Made) {
        self.at = number.saturating_add(1);
        if made.is_entry {
            self.entry = Some(number);
        }
    }
}

/// What a handler is to repeat next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Nothing: it makes what is new.
    New,
    /// This.
    Made(u64, Made),
    /// Nothing that counts is left.
    End,
    /// What is not in memory: it is read from this number on.
    Unread(u64),
}

/// What is done where it is not in memory what the handler is to repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is waited for.
    Waits,
    /// The handler is taken to make something else: readers start over from there.
    Differs,
}

/// The chunks of one message, as its owner knows them.
pub(super) struct Stream<W> {
    marks: Marks,
    /// So many stood when the message was taken over; as long as fewer marks are known, they are read.
    stored: u64,
    /// Marks of what stood when the message was taken over are not known, since it could not be read.
    is_skipped: bool,
    /// So many are durable.
    pub(super) durable: u64,
    /// While the present attempt repeats what counts.
    repeat: Option<Repeat>,
    /// What the present attempt made and was not compared.
    held: VecDeque<Emission<W>>,
    /// The page that is being read.
    reading: Option<u64>,
    /// Who is told when what was made was compared.
    catching_up: Vec<W>,
    /// Who is told when the chunk of a number is durable, in order.
    windows: VecDeque<(u64, W)>,
    pub(super) readers: Vec<(W, u64)>,
}

impl<W> Default for Stream<W> {
    fn default() -> Self {
        Self::recovered(0)
    }
}

impl<W> Stream<W> {
    /// What a new owner finds: how many chunks stand.
    pub(super) fn recovered(stored: u64) -> Self {
        Self {
            marks: Marks::default(),
            stored,
            is_skipped: false,
            durable: stored,
            repeat: None,
            held: VecDeque::new(),
            reading: None,
            catching_up: Vec::new(),
            windows: VecDeque::new(),
            readers: Vec::new(),
        }
    }

    /// The number of the next chunk.
    pub(super) fn next(&self) -> u64 {
        self.marks.next().max(self.stored)
    }

    /// How much of it is in memory: marks, chunks and who waits for them.
    #[cfg(test)]
    pub(super) fn in_memory(&self) -> usize {
        let page = self.repeat.as_ref().map_or(0, |repeat| repeat.page.1.len());
        self.marks.held() + page + self.held.len() + self.windows.len()
    }

    /// An attempt begins: what it makes is compared with what counts. Whether anything stands.
    pub(super) fn begin(&mut self) -> bool {
        self.stop();
        self.repeat = Some(Repeat::default());
        self.next() > 0
    }

    /// The attempt is over, or given up: what it made and was not compared is not stored.
    pub(super) fn stop(&mut self) {
        self.held.clear();
        self.catching_up.clear();
        self.reading = None;
        self.repeat = None;
    }

    /// What stands from `first` on was not written.
    pub(super) fn undo(&mut self, first: u64) {
        if self.is_skipped && first <= self.stored {
            // Nor was the reset behind what was skipped: it is read again.
            (self.marks, self.is_skipped) = (Marks::default(), false);
        }
        self.marks.undo(first);
        self.windows.retain(|(number, _)| *number < first);
    }

    /// What the attempt is to repeat next.
    fn next_repeated(&self) -> Next {
        let Some(repeat) = &self.repeat else { return Next::New };
        if self.marks.next() < self.stored {
            return Next::Unread(self.marks.next());
        }
        let at = self.marks.counting_from(repeat.at);
        if at >= self.marks.next() {
            return Next::End;
        }
        let made = self.marks.made(at).or_else(|| repeat.made(at));
        made.map_or(Next::Unread(at), |made| Next::Made(at, made))
    }

    /// The attempt made this.
    pub(super) fn hold(&mut self, made: Vec<Emission<W>>) {
        self.held.extend(made);
    }

    /// Compares what the attempt made with what counts, as far as that is in memory; what is new of
    /// it is returned, to be stored behind what stands. Those whose chunks stood already are `told`.
    pub(super) fn advance(
        &mut self,
        attempt: u32,
        unread: Unread,
        told: &mut Vec<W>,
    ) -> Vec<Chunk> {
        let mut new = Vec::new();
        while let Some(emission) = self.held.pop_front() {
            let Some(made) = Made::of(&emission.chunk) else { continue };
            match (self.next_repeated(), &mut self.repeat) {
                (Next::Unread(_), _) if unread == Unread::Waits => {
                    self.held.push_front(emission);
                    break;
                }
                (Next::Made(number, known), Some(repeat)) if known.hash == made.hash => {
                    repeat.passes(number, known);
                    told.extend(emission.waiter);
                    continue;
                }
                (Next::New, _) | (_, None) => {}
                (Next::Unread(_) | Next::Made(..) | Next::End, Some(_)) => {
                    new.extend(self.part(attempt));
                }
            }
            let number = self.next();
            self.windows.extend(emission.waiter.map(|waiter| (number, waiter)));
            self.marks.push(made);
            new.push(emission.chunk);
        }
        if unread == Unread::Differs && matches!(self.next_repeated(), Next::Unread(_)) {
            new.extend(self.part(attempt));
        }
        new
    }

    /// The attempt is done, and made no more than this: what an earlier one made beyond counts no
    /// more. What is to be stored of both is returned.
    pub(super) fn end(&mut self, attempt: u32, told: &mut Vec<W>) -> Vec<Chunk> {
        let mut new = self.advance(attempt, Unread::Differs, told);
        new.extend(self.part(attempt));
        new
    }

    /// The attempt repeats no more: what counts and was not repeated is reset.
    fn part(&mut self, attempt: u32) -> Option<Chunk> {
        let next = self.next_repeated();
        let repeat = self.repeat.take()?;
        let from = match next {
            Next::New | Next::End => return None,
            Next::Made(from, _) => from,
            Next::Unread(_) => {
                if self.marks.next() < self.stored {
                    self.marks.skip_to(self.stored);
                    self.is_skipped = true;
                }
                repeat.at
            }
        };
        let is_entry = self.marks.has_entry_from(from);
        self.marks.push_reset(from, repeat.entry);
        Some(Chunk::Reset { attempt, from, is_entry })
    }

    /// Where a page has to be read from that is not being read.
    pub(super) fn wants(&self) -> Option<u64> {
        let is_awaited = !self.held.is_empty() || !self.catching_up.is_empty();
        match self.next_repeated() {
            Next::Unread(from) if is_awaited && self.reading.is_none() => Some(from),
            _ => None,
        }
    }

    /// The page of this number is being read.
    pub(super) const fn begin_reading(&mut self, number: u64) {
        self.reading = Some(number);
    }

    /// The page of this number has come; whether it is waited for.
    pub(super) fn ends_reading(&mut self, number: u64) -> bool {
        self.reading.take_if(|reading| *reading == number).is_some()
    }

    /// The page that was wanted has come, with `keep` marks to be held. Where it does not have what
    /// was asked for, that is not waited for any more.
    pub(super) fn take_page(&mut self, page: &[Chunk], keep: usize) -> Unread {
        let Next::Unread(from) = self.next_repeated() else { return Unread::Waits };
        let is_there = if self.marks.next() < self.stored {
            for chunk in page {
                if self.marks.next() < self.stored {
                    self.marks.push_stored(chunk);
                    self.marks.trim(self.durable, keep);
                }
            }
            self.marks.next() > from
        } else {
            if let Some(repeat) = &mut self.repeat {
                repeat.page = (from, page.iter().map(Made::of).collect());
            }
            self.next_repeated() != Next::Unread(from)
        };
        if is_there { Unread::Waits } else { Unread::Differs }
    }

    /// Tells `waiter` when all that was made was compared.
    pub(super) fn await_compared(&mut self, waiter: W) {
        self.catching_up.push(waiter);
    }

    /// Those who wait for a comparison, where all was compared.
    pub(super) fn compared(&mut self) -> Vec<W> {
        let is_compared = self.held.is_empty() && !matches!(self.next_repeated(), Next::Unread(_));
        if is_compared { core::mem::take(&mut self.catching_up) } else { Vec::new() }
    }

    /// Chunks up to `end` are durable, and `keep` marks of what is are held: whose window that was,
    /// and the readers for whom there is more.
    pub(super) fn settle(&mut self, end: u64, keep: usize) -> (Vec<W>, Vec<W>) {
        self.durable = self.durable.max(end);
        self.marks.trim(self.durable, keep);
        let mut windows = Vec::new();
        while let Some((_, waiter)) = self.windows.pop_front_if(|(number, _)| *number < end) {
            windows.push(waiter);
        }
        let (ready, waiting): (Vec<_>, Vec<_>) =
            core::mem::take(&mut self.readers).into_iter().partition(|(_, have)| *have < end);
        self.readers = waiting;
        (windows, ready.into_iter().map(|(waiter, _)| waiter).collect())
    }
}
