//! Reading what is open: pages come into the queues, and what there is no room for leaves them.

use alloc::{sync::Arc, vec::Vec};

use quarry_types::{Address, Envelope, MessageId, ReplyMode, Timestamp};

use super::{
    Effect, FoundState, Shard,
    backlog::{Absent, Extent, OpenPage, Source, Which, just_before},
    entity::{Activation, Entity},
    message::{Acceptance, Message, Phase, Position, Standing, Waiting},
    part::LAST,
    reading::{Purpose, Reading},
    shard::{Gate, answer, owner_lost},
};

impl<W> Shard<W> {
    /// Begins to read what the owner before left open.
    pub fn start(&mut self, now: Timestamp, out: &mut Vec<Effect<W>>) {
        self.pump(now, out);
        self.flush(out);
    }

    /// Asks for the pages that there is room for.
    pub(super) fn read_on(&mut self, now: Timestamp, out: &mut Vec<Effect<W>>) {
        while self.gate == Gate::Open
            && let Some(read) = self.backlog.next_read(now, self.committed)
        {
            out.push(Effect::ReadOpen(read));
        }
    }

    /// The store answered an [`Effect::ReadOpen`]; none where it is away.
    pub fn open_read(
        &mut self,
        now: Timestamp,
        number: u64,
        page: Option<OpenPage>,
        out: &mut Vec<Effect<W>>,
    ) {
        if self.gate != Gate::Open {
            return;
        }
        match page {
            None => self.backlog.read_failed(now, number),
            Some(page) => {
                if let Some(reading) = self.backlog.end_read(number) {
                    let take = match (reading.purpose, &reading.which) {
                        (Purpose::Audit, _) => Self::take_audit,
                        (Purpose::Copy, _) => Self::take_copies,
                        (Purpose::Run, Which::Delayed) => Self::take_delayed,
                        (Purpose::Run, Which::Waiting | Which::Entity(_)) => Self::take_page,
                    };
                    take(self, now, &reading, page, out);
                }
            }
        }
        self.pump(now, out);
        self.flush(out);
    }

    fn take_page(
        &mut self,
        now: Timestamp,
        reading: &Reading,
        page: OpenPage,
        out: &mut Vec<Effect<W>>,
    ) {
        let (next, mut touched) = (reading.next(&page), Vec::new());
        for row in page.messages {
            let (id, position) = (row.envelope.message_id, row.position);
            let address = row.envelope.address.clone();
            if self.holds(id) || reading.is_gone(id) {
                continue;
            }
            if reading.of().is_some() {
                self.recover_one(now, row, Source::Entity, out);
            } else if self.extent_of(&address) != Extent::Scanned {
                continue;
            } else if self.held_of(&address) >= self.backlog.of_entity() {
                self.set_extent(now, &address, Extent::UpTo(just_before(position)));
            } else {
                self.recover_one(now, row, Source::Scan, out);
            }
            if touched.last() != Some(&address) {
                touched.push(address);
            }
        }
        match reading.of() {
            Some(address) => {
                self.set_extent(now, address, next.map_or(Extent::Whole, Extent::UpTo));
                touched.push(address.clone());
            }
            None => self.scanned_to(now, next, &mut touched),
        }
        for address in touched {
            self.schedule(&address, now, out);
        }
        self.tell_unfound(out);
    }

    /// The scan came to `next`. With its first page it is known which entities have to be read by
    /// themselves, with its last one that all others are whole.
    fn scanned_to(&mut self, now: Timestamp, next: Option<Position>, touched: &mut Vec<Address>) {
        let is_first = !self.backlog.is_begun;
        self.backlog.set_scan(next);
        if !is_first && next.is_some() {
            return;
        }
        let waits = |(address, entity): (&Address, &Entity<W>)| {
            let is_meant = entity.extent == Extent::Scanned && !entity.queue.is_empty();
            is_meant.then(|| address.clone())
        };
        for address in self.entities.iter().filter_map(waits).collect::<Vec<_>>() {
            let queue = self.entities.get(&address).map(|entity| &entity.queue);
            let is_called = queue.into_iter().flatten().any(|id| {
                self.messages.get(id).is_some_and(|message| message.source != Source::Scan)
            });
            if is_called {
                self.read_alone(now, &address);
            }
            touched.push(address);
        }
    }

    /// Something is to be done for the entity before its turn in the scan: its rows are read.
    pub(super) fn read_alone(&mut self, now: Timestamp, address: &Address) {
        if !self.backlog.is_begun || self.extent_of(address) != Extent::Scanned {
            return;
        }
        if let Some(end) = self.backlog.end_of(Extent::Scanned) {
            self.set_extent(now, address, Extent::UpTo(end));
            self.backlog.want(address);
        }
    }

    fn extent_of(&self, address: &Address) -> Extent {
        self.entities.get(address).map_or(Extent::Scanned, |entity| entity.extent)
    }

    fn set_extent(&mut self, now: Timestamp, address: &Address, extent: Extent) {
        let entity = self.entities.entry(address.clone()).or_insert_with(|| Entity::new(now));
        entity.extent = extent;
        if extent == Extent::Whole {
            entity.left = 0;
        }
        let end = match extent {
            Extent::UpTo(end) => Some(end),
            Extent::Whole | Extent::Scanned => None,
        };
        self.backlog.set_part(address, end);
    }

    /// Whether the message is in memory, and not only asked for.
    pub(super) fn holds(&self, message_id: MessageId) -> bool {
        self.messages.get(&message_id).is_some_and(|message| message.phase != Phase::Checking)
    }

    fn held_of(&self, address: &Address) -> usize {
        self.entities.get(address).map_or(0, |entity| entity.queue.len())
    }

    /// Whether all of the entity's rows that stand before the first of its queue are in memory (D3).
    /// A message in line, which runs in the order of the rows, says so for all before it.
    pub(super) fn is_next_known(&self, address: &Address) -> bool {
        let Some(entity) = self.entities.get(address) else { return true };
        if !self.knows_due_before(entity) {
            return false;
        }
        let Some(end) = self.backlog.end_of(entity.extent) else { return true };
        entity.queue.iter().any(|id| self.stands_read(*id, end))
    }

    fn stands_read(&self, message_id: MessageId, end: Position) -> bool {
        let Some(message) = self.messages.get(&message_id) else { return false };
        let stands = matches!(message.acceptance, Acceptance::Stored(at) if at <= end);
        stands && message.standing == Standing::InLine
    }

    /// Wants an entity's next page where few of its rows are left.
    pub(super) fn want_rows(&mut self, address: &Address) {
        let Some(entity) = self.entities.get(address) else { return };
        let Extent::UpTo(end) = entity.extent else { return };
        if self.is_held(address) {
            return self.want_copies(address);
        }
        let few = self.backlog.few();
        let known = entity.queue.iter().filter(|id| self.stands_read(**id, end));
        if known.take(few).count() < few {
            self.backlog.want(address);
        }
    }

    /// Whether a row of the entity at `position` is left to the store.
    pub(super) fn is_unread(&self, address: &Address, position: Position) -> bool {
        self.backlog.end_of(self.extent_of(address)).is_some_and(|end| position > end)
    }

    /// The entity's row at `position` is in memory no more, and is to be read again; whether it has a
    /// copy among the open messages.
    pub(super) fn leave(
        &mut self,
        now: Timestamp,
        address: &Address,
        (position, is_copied): (Position, bool),
    ) {
        self.backlog.left(address);
        let end = just_before(position);
        let known = self.backlog.end_of(self.extent_of(address));
        if known.is_none_or(|known| known > end) {
            self.set_extent(now, address, Extent::UpTo(end));
        }
        if known.is_none() {
            // Nothing else is left.
            self.backlog.set_copied(address, LAST);
        }
        if !is_copied {
            self.backlog.not_copied(address, position);
        }
    }

    /// A message was accepted that nobody waits for: where memory is full, it is left to the store.
    pub(super) fn leave_if_full(&mut self, now: Timestamp, message_id: MessageId) {
        if self.messages.len() <= self.backlog.held() || self.gate != Gate::Open {
            return;
        }
        let Some(message) = self.messages.get(&message_id) else { return };
        let Acceptance::Stored(position) = message.acceptance else { return };
        let is_free = message.phase == Phase::Queued
            && message.standing == Standing::InLine
            && message.attempts == 0
            && message.end.is_none()
            && message.waiting.is_empty()
            && message.stream.readers.is_empty();
        let address = message.envelope.address.clone();
        let Some(entity) = self.entities.get(&address).filter(|_| is_free) else { return };
        let is_behind = self.backlog.end_of(entity.extent).is_some();
        if !is_behind
            && entity.queue.iter().take(self.backlog.of_entity()).any(|id| *id == message_id)
        {
            return;
        }
        let is_copied = !self.unfinished.contains(&(position, message_id));
        self.release(message_id);
        self.leave(now, &address, (position, is_copied));
        if let Some(entity) = self.entities.get_mut(&address) {
            entity.left += 1;
        }
        self.leave_entity(&address);
    }

    /// Lets go of an entity that is not here for anything but rows that the scan will find.
    fn leave_entity(&mut self, address: &Address) {
        let Some(entity) = self.entities.get(address) else { return };
        let Some(end) = self.backlog.end_of(entity.extent) else { return };
        let is_found = self.backlog.end_of(Extent::Scanned).is_some_and(|scan| scan <= end);
        let is_here = !entity.queue.is_empty()
            || !entity.reads.is_empty()
            || !entity.ahead.is_empty()
            || entity.running.is_some()
            || entity.activation != Activation::Inactive;
        if is_found && !is_here && !self.backlog.is_reading(address) && !self.is_under_way(address)
        {
            self.backlog.set_part(address, None);
            self.entities.remove(address);
        }
    }

    /// Who asked under the key of an open message that is not read waits until it is.
    pub(super) fn await_absent(
        &mut self,
        address: &Address,
        (stored, is_delayed): (MessageId, bool),
        waiting: Waiting<W>,
    ) -> Result<(), Waiting<W>> {
        if self.is_all_read(address, is_delayed) {
            return Err(waiting);
        }
        let absent = self.backlog.absent.entry(stored);
        let new = || Absent { address: address.clone(), is_delayed, waiting: Vec::new() };
        absent.or_insert_with(new).waiting.push(waiting);
        Ok(())
    }

    /// Whether no message of the entity is left to the store, of those that are delayed or of the
    /// others.
    fn is_all_read(&self, address: &Address, is_delayed: bool) -> bool {
        if is_delayed {
            return self.backlog.holds_all_delays();
        }
        self.backlog.end_of(self.extent_of(address)).is_none()
    }

    /// Whoever waits for a message of an entity that was read without it is told that it is open.
    pub(super) fn tell_unfound(&mut self, out: &mut Vec<Effect<W>>) {
        let is_whole = |absent: &Absent<W>| self.is_all_read(&absent.address, absent.is_delayed);
        let unfound: Vec<MessageId> = self
            .backlog
            .absent
            .iter()
            .filter(|(_, absent)| is_whole(absent))
            .map(|(id, _)| *id)
            .collect();
        for id in unfound {
            let waiting = self.backlog.absent.remove(&id).map(|absent| absent.waiting);
            out.extend(
                waiting
                    .into_iter()
                    .flatten()
                    .map(|waiting| answer(waiting.waiter, Err(owner_lost(id)))),
            );
        }
    }

    /// Who waits for what is open and not read has to ask the next owner.
    pub(super) fn release_absent(&mut self, out: &mut Vec<Effect<W>>) {
        for (id, absent) in core::mem::take(&mut self.backlog.absent) {
            let waiting = absent.waiting.into_iter();
            out.extend(waiting.map(|waiting| answer(waiting.waiter, Err(owner_lost(id)))));
        }
    }

    /// A message came into memory: who waits for it finds it, also one that came under its key.
    pub(super) fn attach_absent(&mut self, message_id: MessageId, out: &mut Vec<Effect<W>>) {
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        if let Some(absent) = self.backlog.absent.remove(&message_id) {
            message.waiting.extend(absent.waiting);
        }
        let envelope = Arc::clone(&message.envelope);
        let key = (envelope.address.clone(), envelope.method.clone(), envelope.key.clone());
        let other = self.keys.insert(key, message_id).filter(|other| *other != message_id);
        let Some(other) = other else { return };
        let asks = self.messages.get(&other).is_some_and(|other| other.phase == Phase::Checking);
        if !asks {
            return;
        }
        if let Some(other) = self.release(other) {
            self.attach_all(message_id, other, out);
        }
    }

    /// Those who wait for a message that was sent again wait for the one that is there.
    pub(super) fn attach_all(
        &mut self,
        message_id: MessageId,
        again: Message<W>,
        out: &mut Vec<Effect<W>>,
    ) {
        for waiting in again.waiting {
            let asked = Envelope { reply: waiting.mode, ..Envelope::clone(&again.envelope) };
            self.attach(message_id, &asked, waiting.waiter, out);
        }
    }
}

/// Whether a caller waits for the outcome of what was found open.
pub(super) fn waits_for<W>(waiting: &Waiting<W>, state: &FoundState) -> bool {
    let is_unfinished = matches!(state, FoundState::Open | FoundState::Delayed);
    waiting.mode == ReplyMode::Outcome && is_unfinished
}
