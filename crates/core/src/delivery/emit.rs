//! What handlers make while they run, and who reads it.

use alloc::vec::Vec;

use quarry_types::{Address, MessageId, Timestamp};

use super::{
    Chunk, Effect, Emission, RunId, Shard,
    batch::{Change, Unit},
    entity::Running,
    message::{Acceptance, Phase},
    stream::Unread,
};

/// Of a message, so many chunks at most are stored in one row…
const ROW_CHUNKS: usize = 64;
/// … and so many bytes, beyond its first chunk.
const ROW_BYTES: usize = 64 * 1024;
/// How many of the last steps are looked through for one that takes more chunks.
const LOOKED_THROUGH: usize = 16;

/// How much of chunks memory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkLimits {
    /// Marks of durable chunks per message: so many of the newest are known without the store.
    pub tail: usize,
    /// Chunks of a message that are read at a time, where its handler repeats older ones.
    pub page: u32,
}

impl Default for ChunkLimits {
    fn default() -> Self {
        Self { tail: 256, page: 256 }
    }
}

/// A page of a message's durable chunks to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRead {
    /// Names it in [`Shard::chunks_read`].
    pub number: u64,
    /// The message.
    pub message_id: MessageId,
    /// The number of the first chunk.
    pub from: u64,
    /// How many at most, and at least one.
    pub limit: u32,
}

impl<W> Shard<W> {
    /// A handler made chunks. They are stored in the order of their making, with what else is ready.
    pub fn emitted(
        &mut self,
        _now: Timestamp,
        address: &Address,
        run: RunId,
        made: Vec<Emission<W>>,
        out: &mut Vec<Effect<W>>,
    ) {
        let Some(message_id) = self.runs_now(address, run) else { return };
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        message.stream.hold(made);
        self.advance(message_id, Unread::Waits, out);
        self.flush(out);
    }

    /// Tells `waiter` when all chunks that the run made are stored, on their way, or known to stand;
    /// gives the waiter back where the run is over. A run of which [`super::Work::repeats`] ends only
    /// then: what it did not repeat is taken back with its end.
    ///
    /// # Errors
    /// The waiter, unused.
    pub fn catch_up(
        &mut self,
        address: &Address,
        run: RunId,
        waiter: W,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), W> {
        let Some(message_id) = self.runs_now(address, run) else { return Err(waiter) };
        let Some(message) = self.messages.get_mut(&message_id) else { return Err(waiter) };
        message.stream.await_compared(waiter);
        self.read_chunks(message_id, out);
        Ok(())
    }

    /// The page `number` of a message's chunks was read.
    pub fn chunks_read(
        &mut self,
        message_id: MessageId,
        number: u64,
        page: &[Chunk],
        out: &mut Vec<Effect<W>>,
    ) {
        let keep = self.limits.chunks.tail;
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        if message.stream.ends_reading(number) && message.phase == Phase::Running {
            let unread = message.stream.take_page(page, keep);
            self.advance(message_id, unread, out);
            self.flush(out);
        }
    }

    /// The message that the run handles, unless it is over.
    fn runs_now(&self, address: &Address, run: RunId) -> Option<MessageId> {
        match self.entities.get(address)?.running.as_ref()? {
            Running::Command { run: present, message_id, .. } if *present == run => {
                Some(*message_id)
            }
            Running::Command { .. } | Running::Reads(_) => None,
        }
    }

    /// Goes on with what the handler made: stores what is new, and asks for what it is compared with.
    fn advance(&mut self, message_id: MessageId, unread: Unread, out: &mut Vec<Effect<W>>) {
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        let (first, mut told) = (message.stream.next(), Vec::new());
        let chunks = message.stream.advance(message.attempts, unread, &mut told);
        out.extend(told.into_iter().map(Effect::Settled));
        self.append(message_id, first, chunks);
        self.read_chunks(message_id, out);
    }

    /// Reads what a handler is to repeat, or tells those who wait that all was compared.
    fn read_chunks(&mut self, message_id: MessageId, out: &mut Vec<Effect<W>>) {
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        if let Some(from) = message.stream.wants() {
            self.chunk_reads += 1;
            let (number, limit) = (self.chunk_reads, self.limits.chunks.page.max(1));
            message.stream.begin_reading(number);
            out.push(Effect::ReadChunks(ChunkRead { number, message_id, from, limit }));
        }
        out.extend(message.stream.compared().into_iter().map(Effect::Settled));
    }

    /// The last attempt is done: what an earlier one made beyond it counts no more.
    pub(super) fn end_stream(&mut self, message_id: MessageId, out: &mut Vec<Effect<W>>) {
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        let (first, mut told) = (message.stream.next(), Vec::new());
        let chunks = message.stream.end(message.attempts, &mut told);
        message.stream.stop();
        out.extend(told.into_iter().map(Effect::Settled));
        self.append(message_id, first, chunks);
    }

    fn append(&mut self, message_id: MessageId, first: u64, chunks: Vec<Chunk>) {
        let mut first = first;
        for row in rows(chunks) {
            let next = first.saturating_add(length(&row));
            self.append_row(message_id, first, row);
            first = next;
        }
    }

    fn append_row(&mut self, message_id: MessageId, first: u64, chunks: Vec<Chunk>) {
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        let bytes: usize = chunks.iter().map(Chunk::size).sum();
        self.chunk_bytes = self.chunk_bytes.saturating_add(bytes);
        let mut last = self.pending.iter_mut().rev().take(LOOKED_THROUGH);
        if let Some(unit) = last.find(|unit| unit.message_id == message_id)
            && let Change::Chunks { first: begin, chunks: row } = &mut unit.change
            && begin.checked_add(length(row)) == Some(first)
            && row.len() + chunks.len() <= ROW_CHUNKS
            && row.iter().map(Chunk::size).sum::<usize>() + bytes <= ROW_BYTES
        {
            return row.extend(chunks);
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
        let keep = self.limits.chunks.tail;
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        let (windows, ready) = message.stream.settle(end, keep);
        out.extend(ready.into_iter().map(Effect::Readable));
        out.extend(windows.into_iter().map(Effect::Settled));
    }
}

/// These chunks as rows hold them at most.
fn rows(chunks: Vec<Chunk>) -> Vec<Vec<Chunk>> {
    let (mut rows, mut bytes): (Vec<Vec<Chunk>>, usize) = (Vec::new(), 0);
    for chunk in chunks {
        bytes = bytes.saturating_add(chunk.size());
        match rows.last_mut() {
            Some(row) if row.len() < ROW_CHUNKS && bytes <= ROW_BYTES => row.push(chunk),
            _ => {
                bytes = chunk.size();
                rows.push(Vec::from([chunk]));
            }
        }
    }
    rows
}

/// How many chunks these are.
pub(super) fn length(chunks: &[Chunk]) -> u64 {
    u64::try_from(chunks.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use bytes::Bytes;

    use super::*;

    fn counts(sizes: &[usize]) -> Vec<usize> {
        let chunk = |size: &usize| Chunk::Made(Bytes::from(vec![b'1'; *size]));
        rows(sizes.iter().map(chunk).collect()).iter().map(Vec::len).collect()
    }

    #[test]
    fn chunks_that_are_released_together_fill_rows_of_bounded_size() {
        assert!(counts(&[]).is_empty());
        assert_eq!(counts(&[1; 130]), [64, 64, 2]);
        assert_eq!(counts(&[30_000; 5]), [2, 2, 1]);
        assert_eq!(counts(&[200_000, 1, 200_000]), [1, 1, 1], "a large one has a row of its own");
    }
}
