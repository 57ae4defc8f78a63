//! Looks for what waits and that nothing will wake (G9). There should be none: what is found is
//! counted, and goes on.
//!
//! What is in memory is held against its timers, queues and commits; what is open in the store
//! against memory. Both are cheap, and silent where nothing is wrong.

use alloc::{collections::BTreeSet, vec::Vec};

use quarry_types::{Address, MessageId, Sequence, Timestamp};

use super::{
    Effect, OpenPage, Shard, Which,
    backlog::{Source, at},
    entity::Entity,
    horizon::FIRST,
    message::{Acceptance, Cursor, Message, Phase},
    reading::Reading,
    shard::Gate,
};

/// What the last look through the store came to.
pub(super) struct Audit {
    /// The commit behind which it began.
    begun_at: Option<Sequence>,
    /// What was found and not told yet.
    found: usize,
    /// The low-water mark when it began.
    mark: Sequence,
    /// A look that began when the low-water mark was here has ended, and none ever found anything at or
    /// below it.
    sound: Sequence,
    /// The first commit of which anything was found.
    astray: Sequence,
}

impl Audit {
    /// Of a shard that begins with this low-water mark.
    pub(super) const fn new(low_water: Sequence) -> Self {
        Self {
            begun_at: None,
            found: 0,
            mark: low_water,
            sound: low_water,
            astray: Sequence(u64::MAX),
        }
    }

    fn finds(&mut self, sequence: Sequence) {
        self.found += 1;
        self.astray = self.astray.min(sequence);
    }

    fn ends(&mut self) {
        let sound = self.mark.min(Sequence(self.astray.0.saturating_sub(1)));
        self.sound = self.sound.max(sound);
    }
}

impl<W> Shard<W> {
    /// Where reads of what is open in the store begin: of a commit up to this one everything is
    /// finished or copied, and a look through the store saw that this is so. The shard's low-water
    /// mark is above it most of the time; what it has left behind by mistake is found once more.
    pub const fn sound_up_to(&self) -> Sequence {
        self.audit.sound
    }

    /// Looks through memory, and begins to look through the store where anything was committed
    /// since it was looked through, or where `is_thorough`. To be called now and then, and often
    /// enough that what is found was found in time. What was found is told by
    /// [`Shard::take_stalls`].
    pub fn audit(&mut self, now: Timestamp, is_thorough: bool, out: &mut Vec<Effect<W>>) {
        if self.gate != Gate::Open || self.is_paused {
            return;
        }
        // What is due now is no stall.
        self.tick(now, out);
        let mut found = self.set_timers();
        found += self.requeue_stray(now);
        // An entity with something in a commit goes on when that stands.
        let flying = self.in_flight.iter().flat_map(|(_, units)| units);
        let under_way: BTreeSet<&Address> =
            flying.chain(&self.pending).map(|unit| &unit.address).collect();
        let idle = self.entities.keys().filter(|address| !under_way.contains(address));
        for address in idle.cloned().collect::<Vec<_>>() {
            found += self.goes_on_now(&address, now, out);
        }
        let before = out.len();
        self.pump(now, out);
        self.flush(out);
        found += out.len() - before;
        self.audit.found += found;
        let is_due = is_thorough || self.audit.begun_at != Some(self.committed);
        if is_due && self.backlog.is_begun_or_whole() {
            self.audit.begun_at = Some(self.committed);
            let (before, mark) = (out.len(), self.low_water);
            self.audit_behind(Which::Waiting, at((Sequence(0), u32::MAX)), out);
            if out.len() > before {
                self.audit.mark = mark;
            }
        }
    }

    /// How many stalls were found since this was asked last.
    pub fn take_stalls(&mut self) -> usize {
        core::mem::take(&mut self.audit.found)
    }

    /// How much the entity does now that nothing made it do before. Where its first command waits for
    /// what is read, its queries go on when that comes, if not before.
    fn goes_on_now(
        &mut self,
        address: &Address,
        now: Timestamp,
        out: &mut Vec<Effect<W>>,
    ) -> usize {
        let is_known = self.is_next_known(address);
        let before = out.len();
        self.schedule(address, now, out);
        let done = out.iter().skip(before);
        let begins = |effect: &&Effect<W>| matches!(effect, Effect::Run(..) | Effect::Activate(..));
        done.filter(|effect| is_known || !begins(effect)).count()
    }

    /// Timers of what waits for its time. A message found without one has it from now on.
    fn set_timers(&mut self) -> usize {
        let mut found = 0;
        for (id, message) in &self.messages {
            let is_new = match message.phase {
                Phase::BackingOff(due) => self.due.insert((due, *id)),
                Phase::Delayed if matches!(message.acceptance, Acceptance::Stored(_)) => {
                    self.delays.wait(message.order, *id)
                }
                _ => false,
            };
            found += usize::from(is_new);
        }
        found
    }

    /// What waits for a commit is in one, what runs has its handler, and what waits for its turn is in
    /// its queue; what is nowhere joins its queue again.
    fn requeue_stray(&mut self, now: Timestamp) -> usize {
        let flying = self.in_flight.iter().flat_map(|(_, units)| units);
        let under_way: BTreeSet<MessageId> =
            flying.chain(&self.pending).map(|unit| unit.message_id).collect();
        let running: BTreeSet<MessageId> =
            self.entities.values().filter_map(|e| e.running.as_ref()?.message_id()).collect();
        let queued: BTreeSet<MessageId> =
            self.entities.values().flat_map(|entity| entity.queue.iter().copied()).collect();
        let is_stray = |id: &MessageId, message: &Message<W>| match message.phase {
            Phase::Checking | Phase::Delayed | Phase::BackingOff(_) => false,
            Phase::Queued => !queued.contains(id),
            Phase::Running => !running.contains(id),
            Phase::Recording => {
                !under_way.contains(id) && !self.wanting.contains(&message.envelope.address)
            }
            Phase::Settling | Phase::Aside => !under_way.contains(id),
        };
        let stray: Vec<MessageId> = self
            .messages
            .iter()
            .filter(|(id, message)| is_stray(id, message))
            .map(|(id, _)| *id)
            .collect();
        for id in &stray {
            let Some(message) = self.messages.get_mut(id) else { continue };
            message.phase = Phase::Queued;
            let address = message.envelope.address.clone();
            self.entities.entry(address.clone()).or_insert_with(|| Entity::new(now));
            if !queued.contains(id) {
                self.enqueue(&address, *id);
            }
        }
        stray.len()
    }

    fn audit_behind(&mut self, which: Which, after: Cursor, out: &mut Vec<Effect<W>>) {
        let read = self.backlog.audit_read(which, after, self.committed);
        out.extend(read.map(Effect::ReadOpen));
    }

    /// A page of the look through the store came: what is neither in memory nor left to the store by
    /// its place has nobody who would ever handle it.
    pub(super) fn take_audit(
        &mut self,
        now: Timestamp,
        reading: &Reading,
        page: OpenPage,
        out: &mut Vec<Effect<W>>,
    ) {
        let mut touched = Vec::new();
        for row in page.messages {
            let (id, address) = (row.envelope.message_id, row.envelope.address.clone());
            let is_left = if row.is_delayed {
                self.backlog.horizon.is_beyond((row.due, row.position))
            } else {
                self.is_unread(&address, row.position)
            };
            if self.holds(id) || reading.is_gone(id) || is_left {
                continue;
            }
            self.audit.finds(row.position.0);
            self.recover_one(now, row, Source::Scan, out);
            touched.push(address);
        }
        for address in touched {
            self.schedule(&address, now, out);
        }
        // Behind the scan, or the horizon, everything is left to the store.
        let is_left = |next: &Cursor| match reading.which {
            Which::Delayed => self.backlog.horizon.is_beyond(*next),
            Which::Waiting | Which::Entity(_) => self.backlog.is_behind_scan(next.1),
        };
        match (&reading.which, page.next.filter(|next| !is_left(next))) {
            (which, Some(next)) => self.audit_behind(which.clone(), next, out),
            (Which::Waiting, None) => {
                self.audit.ends();
                self.audit_behind(Which::Delayed, FIRST, out);
            }
            (Which::Delayed | Which::Entity(_), None) => {}
        }
    }
}
