//! What of the store is not in memory: pages of it, which come when they come.

use alloc::vec::Vec;

use quarry_types::Timestamp;

use super::{
    super::{BacklogLimits, Effect, OpenPage, OpenRead, Recovered, Which},
    disk::Disk,
    step::Step,
    world::{Waiter, World},
};

/// Bounds so narrow that they are met. Where more is due than memory holds, some of it is late.
pub(super) fn few_messages(is_ever_late: bool) -> BacklogLimits {
    let delayed = if is_ever_late { 3 } else { 1_000 };
    BacklogLimits { page: 2, window: 3, of_entity: 2, held: 5, delayed }
}

impl Disk {
    fn page(&self, read: &OpenRead) -> OpenPage {
        let of = |open: &Recovered| match &read.which {
            Which::Waiting => !open.is_delayed,
            Which::Entity(address) => !open.is_delayed && *address == open.envelope.address,
            Which::Delayed => open.is_delayed,
        };
        let place = |open: &Recovered| {
            let due = if open.is_delayed { open.due } else { Timestamp(0) };
            (due, open.position)
        };
        let mut messages = self.open();
        messages.retain(|open| {
            let is_covered = open.position.0.0 <= self.low_water;
            let is_found = !is_covered || self.open.contains_key(&open.envelope.message_id);
            is_found && place(open) > read.after && of(open)
        });
        messages.sort_by_key(place);
        let limit = usize::try_from(read.limit).unwrap();
        let is_whole = messages.len() <= limit;
        messages.truncate(limit);
        let next = messages.last().map(place).filter(|_| !is_whole);
        OpenPage { messages, next }
    }
}

impl World {
    /// Reads a page as the store is now; it comes later.
    pub(super) fn read_open(
        &mut self,
        read: &OpenRead,
        step: &Step,
        out: &mut Vec<Effect<Waiter>>,
    ) {
        if matches!(step, Step::StoreAway) {
            return self.shard.open_read(self.now, read.number, None, out);
        }
        self.alone += usize::from(matches!(read.which, Which::Entity(_)));
        self.due_later += usize::from(read.which == Which::Delayed && read.after.0 > self.now);
        self.pages.push_back((read.number, self.disk.page(read)));
    }

    /// The page that was read first comes.
    pub(super) fn page_comes(&mut self) {
        let Some((number, page)) = self.pages.pop_front() else { return };
        let mut out = Vec::new();
        self.shard.open_read(self.now, number, Some(page), &mut out);
        assert_eq!(self.shard.take_stalls(), 0, "a row is in no memory (G9)");
        self.todo.extend(out);
    }

    /// Nothing is found: whatever happens, all that waits will be woken (G9).
    pub(super) fn audit(&mut self) {
        let mut out = Vec::new();
        self.shard.audit(self.now, true, &mut out);
        self.todo.extend(out);
        assert_eq!(self.shard.take_stalls(), 0, "it would never go on (G9)");
    }
}
