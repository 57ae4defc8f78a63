//! Reply chunks: stored with gapless numbers as a handler makes them (R1).
//!
//! A handler that runs again makes its chunks again. Those that are equal to what stands are passed
//! over, so a handler that repeats itself repeats nothing to its readers; at the first difference a
//! reset is stored and numbering goes on behind it.

use alloc::vec::Vec;

use bytes::Bytes;
use quarry_types::{Address, MessageId, Timestamp};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    Effect, RunId, Shard,
    batch::{Change, Unit},
    entity::Running,
    message::Acceptance,
};

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
        /// Whether an entry of the journal is among those: then the journal tells it too.
        is_entry: bool,
    },
}

/// What stands under a number.
#[derive(Clone, Copy)]
enum Mark {
    /// A chunk that a handler made.
    Made(Made),
    /// What stands from this number on counts no more.
    Reset(u64),
}

/// A chunk that a handler made.
#[derive(Clone, Copy)]
struct Made {
    hash: u64,
    is_entry: bool,
}

impl Mark {
    fn of(chunk: &Chunk) -> Self {
        let made = |bytes, is_entry| Self::Made(Made { hash: xxh3_64(bytes), is_entry });
        match chunk {
            Chunk::Made(bytes) => made(bytes, false),
            Chunk::Entry { entry, .. } => made(entry, true),
            Chunk::Reset { from, .. } => Self::Reset(*from),
        }
    }
}

/// The chunks of one message, as its owner knows them.
pub(super) struct Stream<W> {
    /// All that stands or is on its way, by number.
    marks: Vec<Mark>,
    /// What counts, by number.
    counts: Vec<(u64, Made)>,
    /// How many of `marks` are durable.
    pub(super) durable: u64,
    /// While the present attempt repeats what counts: how many chunks it has repeated.
    repeated: Option<usize>,
    pub(super) readers: Vec<(W, u64)>,
}

impl<W> Default for Stream<W> {
    fn default() -> Self {
        let (marks, counts, readers) = (Vec::new(), Vec::new(), Vec::new());
        Self { marks, counts, durable: 0, repeated: None, readers }
    }
}

impl<W> Stream<W> {
    /// What a new owner finds.
    pub(super) fn recovered(chunks: &[Chunk]) -> Self {
        let mut stream = Self::default();
        for chunk in chunks {
            stream.push(Mark::of(chunk));
        }
        stream.durable = stream.next();
        stream
    }

    /// The number of the next chunk.
    fn next(&self) -> u64 {
        u64::try_from(self.marks.len()).unwrap_or(u64::MAX)
    }

    fn push(&mut self, mark: Mark) {
        match mark {
            Mark::Made(made) => self.counts.push((self.next(), made)),
            Mark::Reset(from) => self.counts.retain(|(number, _)| *number < from),
        }
        self.marks.push(mark);
    }

    /// An attempt begins: what it makes is compared with what counts.
    pub(super) fn begin(&mut self) {
        self.repeated = Some(0);
    }

    /// What stands from `first` on was not written.
    pub(super) fn undo(&mut self, first: u64) {
        let marks = core::mem::take(&mut self.marks);
        self.counts.clear();
        for mark in marks.into_iter().take(usize::try_from(first).unwrap_or(usize::MAX)) {
            self.push(mark);
        }
    }

    /// What of `made` is new: chunks to store behind what stands.
    fn take(&mut self, attempt: u32, chunks: Vec<Chunk>) -> Vec<Chunk> {
        let mut new = Vec::new();
        for chunk in chunks {
            let Mark::Made(made) = Mark::of(&chunk) else { continue };
            if let Some(repeated) = self.repeated {
                if self.counts.get(repeated).is_some_and(|(_, known)| known.hash == made.hash) {
                    self.repeated = Some(repeated + 1);
                    continue;
                }
                new.extend(self.part(attempt));
            }
            self.push(Mark::Made(made));
            new.push(chunk);
        }
        new
    }

    /// The attempt repeats no more: what counts and was not repeated is reset.
    fn part(&mut self, attempt: u32) -> Option<Chunk> {
        let unrepeated = self.counts.get(self.repeated.take()?..)?;
        let (from, _) = *unrepeated.first()?;
        let is_entry = unrepeated.iter().any(|(_, made)| made.is_entry);
        self.push(Mark::Reset(from));
        Some(Chunk::Reset { attempt, from, is_entry })
    }
}

impl<W> Shard<W> {
    /// A handler made chunks. They are stored in the order of their making, with what else is ready.
    /// Resets are the machine's own: one among them is passed over.
    pub fn emitted(
        &mut self,
        _now: Timestamp,
        address: &Address,
        run: RunId,
        made: Vec<Chunk>,
        out: &mut Vec<Effect<W>>,
    ) {
        let running = self.entities.get(address).and_then(|entity| entity.running.as_ref());
        let Some(Running::Command { run: present, message_id, .. }) = running else { return };
        if *present != run {
            return;
        }
        let message_id = *message_id;
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        let first = message.stream.next();
        let chunks = message.stream.take(message.attempts, made);
        self.append(message_id, first, chunks);
        self.flush(out);
    }

    /// The last attempt is done: what an earlier one made beyond it counts no more.
    pub(super) fn end_stream(&mut self, message_id: MessageId) {
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        let first = message.stream.next();
        let reset = message.stream.part(message.attempts);
        self.append(message_id, first, reset.into_iter().collect());
    }

    fn append(&mut self, message_id: MessageId, first: u64, chunks: Vec<Chunk>) {
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        if chunks.is_empty() {
            return;
        }
        let is_accept = message.acceptance == Acceptance::None;
        if is_accept {
            message.acceptance = Acceptance::Pending;
        }
        let address = message.envelope.address.clone();
        let change = Change::Chunks { first, chunks };
        self.pending.push_back(Unit { message_id, address, is_accept, change });
    }

    /// Tells `waiter` when more than `have` chunks of the message are durable, or it is over; gives
    /// the waiter back where the message is not here.
    ///
    /// # Errors
    /// The waiter, unused.
    pub fn await_chunks(
        &mut self,
        message_id: MessageId,
        have: u64,
        waiter: W,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), W> {
        let Some(message) = self.messages.get_mut(&message_id) else { return Err(waiter) };
        if message.stream.durable > have {
            out.push(Effect::Readable(waiter));
        } else {
            message.stream.readers.push((waiter, have));
        }
        Ok(())
    }

    /// Chunks up to `end` are durable.
    pub(super) fn chunks_are_durable(
        &mut self,
        message_id: MessageId,
        end: u64,
        out: &mut Vec<Effect<W>>,
    ) {
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        let stream = &mut message.stream;
        stream.durable = stream.durable.max(end);
        let (ready, waiting): (Vec<_>, Vec<_>) =
            core::mem::take(&mut stream.readers).into_iter().partition(|(_, have)| *have < end);
        stream.readers = waiting;
        out.extend(ready.into_iter().map(|(waiter, _)| Effect::Readable(waiter)));
    }
}
