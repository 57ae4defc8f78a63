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
    /// What stands from chunk `from` on was made by an earlier attempt and counts no more.
    Reset {
        /// The attempt that begins here.
        attempt: u32,
        /// The first chunk that counts no more.
        from: u64,
    },
}

/// The chunks of one message, as its owner knows them.
pub(super) struct Stream<W> {
    /// A hash per chunk that stands or is on its way; of a reset, none.
    made: Vec<Option<u64>>,
    /// How many of them are durable.
    pub(super) durable: usize,
    /// What the present attempt makes next is compared with this one, while it repeats the last.
    repeats: Option<usize>,
    /// The first chunk of the attempt that counts.
    begins: usize,
    pub(super) readers: Vec<(W, u64)>,
}

impl<W> Default for Stream<W> {
    fn default() -> Self {
        Self { made: Vec::new(), durable: 0, repeats: None, begins: 0, readers: Vec::new() }
    }
}

impl<W> Stream<W> {
    /// What a new owner finds.
    pub(super) fn recovered(chunks: &[Chunk]) -> Self {
        let mut stream = Self::default();
        for chunk in chunks {
            match chunk {
                Chunk::Made(bytes) => stream.made.push(Some(xxh3_64(bytes))),
                Chunk::Reset { .. } => {
                    stream.made.push(None);
                    stream.begins = stream.made.len();
                }
            }
        }
        stream.durable = stream.made.len();
        stream
    }

    /// An attempt begins: what is not durable is forgotten, what is is compared.
    pub(super) fn begin(&mut self) {
        self.made.truncate(self.durable);
        self.begins = self.begins.min(self.made.len());
        self.repeats = Some(self.begins);
    }

    /// Number of chunks that stand or are on their way.
    pub(super) fn len(&self) -> usize {
        self.made.len()
    }

    /// What of `made` is new: chunks to store behind what stands.
    fn take(&mut self, attempt: u32, made: Vec<Bytes>) -> Vec<Chunk> {
        let mut new = Vec::new();
        for bytes in made {
            let hash = Some(xxh3_64(&bytes));
            if let Some(at) = self.repeats {
                if self.made.get(at) == Some(&hash) {
                    self.repeats = Some(at + 1);
                    continue;
                }
                self.repeats = None;
                if at < self.made.len() {
                    new.push(Chunk::Reset { attempt, from: u64::try_from(at).unwrap_or(u64::MAX) });
                    self.made.push(None);
                    self.begins = self.made.len();
                }
            }
            self.made.push(hash);
            new.push(Chunk::Made(bytes));
        }
        new
    }
}

impl<W> Shard<W> {
    /// A handler made chunks. They are stored in the order of their making, with what else is ready.
    pub fn emitted(
        &mut self,
        _now: Timestamp,
        address: &Address,
        run: RunId,
        made: Vec<Bytes>,
        out: &mut Vec<Effect<W>>,
    ) {
        let running = self.entities.get(address).and_then(|entity| entity.running.as_ref());
        let Some(Running::Command { run: present, message_id, .. }) = running else { return };
        if *present != run {
            return;
        }
        let message_id = *message_id;
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        let first = message.stream.len();
        let chunks = message.stream.take(message.attempts, made);
        if chunks.is_empty() {
            return;
        }
        let is_accept = message.acceptance == Acceptance::None;
        if is_accept {
            message.acceptance = Acceptance::Pending;
        }
        let first = u64::try_from(first).unwrap_or(u64::MAX);
        let change = Change::Chunks { first, chunks };
        self.pending.push_back(Unit { message_id, address: address.clone(), is_accept, change });
        self.flush(out);
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
        if u64::try_from(message.stream.durable).unwrap_or(u64::MAX) > have {
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
        stream.durable = stream.durable.max(usize::try_from(end).unwrap_or(usize::MAX));
        let (ready, waiting): (Vec<_>, Vec<_>) =
            core::mem::take(&mut stream.readers).into_iter().partition(|(_, have)| *have < end);
        stream.readers = waiting;
        out.extend(ready.into_iter().map(|(waiter, _)| Effect::Readable(waiter)));
    }
}
