//! States of entities that left memory.

use alloc::collections::BTreeMap;

use bytes::Bytes;
use quarry_types::{Address, Epoch};

/// What keeping one costs beside its state: its address, and its places in the maps.
const OVERHEAD: usize = 256;

/// What is stored of an entity; none where nothing ever was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed(pub Option<Bytes>);

struct Kept {
    epoch: Epoch,
    state: Committed,
    since: u64,
}

impl Kept {
    fn size(&self) -> usize {
        OVERHEAD + self.state.0.as_ref().map_or(0, Bytes::len)
    }
}

/// The last committed states of entities without an actor, the least recently used dropped first.
///
/// A state is good for the epoch under which it was kept: only that epoch's owner writes it.
pub struct Dormant {
    /// In bytes.
    room: usize,
    size: usize,
    turns: u64,
    kept: BTreeMap<Address, Kept>,
    by_use: BTreeMap<u64, Address>,
}

impl Dormant {
    /// None yet, and room for so many bytes.
    #[must_use]
    pub const fn new(room: usize) -> Self {
        Self { room, size: 0, turns: 0, kept: BTreeMap::new(), by_use: BTreeMap::new() }
    }

    /// How many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// How many bytes they take, about.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    /// Keeps the state that is committed under `epoch`, while there is room.
    pub fn keep(&mut self, address: &Address, epoch: Epoch, state: Committed) {
        self.forget(address);
        self.turns += 1;
        let kept = Kept { epoch, state, since: self.turns };
        if kept.size() > self.room {
            return;
        }
        self.size += kept.size();
        self.kept.insert(address.clone(), kept);
        self.by_use.insert(self.turns, address.clone());
        while self.size > self.room
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.forget(&oldest);
        }
    }

    /// Takes the state out, since the entity is to be active; none where none was kept under `epoch`.
    pub fn take(&mut self, address: &Address, epoch: Epoch) -> Option<Committed> {
        let kept = self.forget(address)?;
        (kept.epoch == epoch).then_some(kept.state)
    }

    fn forget(&mut self, address: &Address) -> Option<Kept> {
        let kept = self.kept.remove(address)?;
        self.by_use.remove(&kept.since);
        self.size -= kept.size();
        Some(kept)
    }
}
