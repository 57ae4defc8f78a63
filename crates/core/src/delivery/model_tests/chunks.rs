//! What handlers make while they run, and what they repeat of it.

use alloc::{format, vec::Vec};

use bytes::Bytes;
use quarry_types::{Address, Envelope};

use super::{
    super::{Chunk, ChunkLimits, ChunkRead, Effect, Emission, Ran, Work},
    step::Step,
    world::{Waiter, World},
};

/// Bounds so narrow that what a handler repeats is read in pages.
pub(super) const FEW_CHUNKS: ChunkLimits = ChunkLimits { tail: 1, page: 2 };

/// The chunks of a message: an attempt that fails makes others than one that is done.
pub(super) fn made_by(envelope: &Envelope, is_failing: bool) -> Vec<Chunk> {
    let texts: &[&str] =
        if is_failing { &["a", "b", "c", "x", "y", "z", "x"] } else { &["a", "b", "c", "d", "e"] };
    let made = |text: &&str| Chunk::Made(Bytes::from(format!("{} {text}", envelope.key)));
    texts.iter().map(made).collect()
}

/// What a reader holds who starts over where it is told to.
pub(super) fn read(stream: &[Chunk]) -> Vec<Chunk> {
    let mut held: Vec<(u64, Chunk)> = Vec::new();
    for (number, chunk) in (0..).zip(stream) {
        match chunk {
            Chunk::Reset { from, .. } => held.retain(|(number, _)| number < from),
            Chunk::Made(_) | Chunk::Entry { .. } => held.push((number, chunk.clone())),
        }
    }
    held.into_iter().map(|(_, chunk)| chunk).collect()
}

impl World {
    /// The handler makes its chunks.
    pub(super) fn emit(
        &mut self,
        address: &Address,
        work: &Work,
        is_failing: bool,
        out: &mut Vec<Effect<Waiter>>,
    ) {
        let emission = |chunk| Emission { chunk, waiter: Some(Waiter::Nobody) };
        let made = made_by(&work.envelope, is_failing).into_iter().map(emission).collect();
        self.shard.emitted(self.now, address, work.run, made, out);
    }

    /// The handler ends, once what it made was compared with what stood.
    pub(super) fn end_run(
        &mut self,
        address: Address,
        work: &Work,
        result: Ran,
        out: &mut Vec<Effect<Waiter>>,
    ) {
        if !work.repeats {
            return self.shard.ran(self.now, &address, work.run, result, out);
        }
        let waiter = Waiter::Handler(work.run);
        if self.shard.catch_up(&address, work.run, waiter, out).is_ok() {
            self.ending.insert(work.run, (address, result));
        }
    }

    /// Who waited for something is told.
    pub(super) fn settled(&mut self, waiter: &Waiter, out: &mut Vec<Effect<Waiter>>) {
        let Waiter::Handler(run) = waiter else { return };
        if let Some((address, result)) = self.ending.remove(run) {
            self.shard.ran(self.now, &address, *run, result, out);
        }
    }

    /// Reads a page of chunks, or tries again later.
    pub(super) fn read_chunks(
        &mut self,
        read: ChunkRead,
        step: &Step,
        out: &mut Vec<Effect<Waiter>>,
    ) {
        if matches!(step, Step::StoreAway) {
            return out.push(Effect::ReadChunks(read));
        }
        let stored = self.disk.chunks.get(&read.message_id).cloned().unwrap_or_default();
        let from = usize::try_from(read.from).unwrap();
        let page = stored.into_iter().skip(from).take(usize::try_from(read.limit).unwrap());
        let page: Vec<Chunk> = page.collect();
        self.shard.chunks_read(read.message_id, read.number, &page, out);
    }
}
