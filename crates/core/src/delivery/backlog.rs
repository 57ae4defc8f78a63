//! What is open in the store and not in memory.
//!
//! Memory holds a window of what is open, so that it does not grow with the backlog (G7). The rest
//! is read in pages, in the order of its rows: behind one place for all entities of which nothing
//! else is known (the scan of a takeover), and behind a place of its own for an entity that has work
//! before its turn in the scan, or more than its share of the window. Nothing overtakes what is not
//! read: an entity's message runs only where all of its rows that stand before it were read (D3).
//!
//! Of what is delayed, memory holds the next that are due, up to a horizon; the rest is read in pages
//! in the order of its times. What is due runs before what was admitted later, unless so much is due
//! that memory does not hold it: then it joins its entity's queue late, when it is read.

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};
use core::time::Duration;

use quarry_types::{Address, MessageId, Sequence, Timestamp};

use super::{
    Recovered,
    horizon::{FIRST, Horizon},
    message::{Cursor, Position, Waiting},
    part::{LAST, Part},
    reading::{Purpose, Reading},
};

/// After a page could not be read, the next try comes this much later.
const READ_AGAIN: Duration = Duration::from_millis(500);
/// Pages of single entities that are read at a time.
const AT_ONCE: usize = 4;

/// How much of what is open memory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BacklogLimits {
    /// Messages read at a time.
    pub page: u32,
    /// Messages that were read for the scan, and as many for single entities, beyond one page.
    pub window: usize,
    /// Of those, messages of one entity, beyond one page.
    pub of_entity: usize,
    /// Unfinished messages in memory; where there are more, one that nobody waits for and that is
    /// not among the next of its entity is left to the store once it is accepted.
    pub held: usize,
    /// Delayed messages, and those that were and are due, beyond one page.
    pub delayed: usize,
}

impl Default for BacklogLimits {
    fn default() -> Self {
        Self { page: 64, window: 128, of_entity: 32, held: 2_000, delayed: 256 }
    }
}

/// Which open messages are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that wait for their turn.
    Waiting,
    /// Those of them that are to this entity.
    Entity(Address),
    /// Those that are delayed.
    Delayed,
}

/// A page of open messages to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRead {
    /// Names it in [`super::Shard::open_read`].
    pub number: u64,
    /// Which of them.
    pub which: Which,
    /// Only what stands behind this place.
    pub after: Cursor,
    /// How many at most.
    pub limit: u32,
}

/// A page of open messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenPage {
    /// The messages, in order of their places.
    pub messages: Vec<Recovered>,
    /// Where to go on; none where nothing more was open.
    pub next: Option<Cursor>,
}

/// By which read a message came into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// By none: its caller sent it.
    Caller,
    /// By that of all entities.
    Scan,
    /// By that of its entity.
    Entity,
    /// By the same, to be copied and left in the store again.
    Copying,
    /// By that of what is delayed, or by none: it waits for its time, or has.
    Delayed,
}

/// How much of an entity's open messages is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// All.
    Whole,
    /// What the scan has passed.
    Scanned,
    /// What stands up to this position; behind it, only some.
    UpTo(Position),
}

/// Callers who wait for the outcome of a message that is open and not read.
pub(super) struct Absent<W> {
    pub(super) address: Address,
    pub(super) is_delayed: bool,
    pub(super) waiting: Vec<Waiting<W>>,
}

/// What of a shard is open in the store and not in memory. See the module's description.
pub(super) struct Backlog<W> {
    limits: BacklogLimits,
    /// What stands up to here is in memory, of all entities of which nothing else is known; none
    /// where everything is.
    scan: Option<Position>,
    /// Whether the scan's first page has come.
    pub(super) is_begun: bool,
    /// Up to where what is delayed is in memory.
    pub(super) horizon: Horizon,
    /// Entities whose next message waits for the horizon.
    pub(super) blocked: BTreeSet<Address>,
    /// Entities of which only a part is in memory.
    parts: BTreeMap<Address, Part>,
    /// Up to where nothing of them is left to the log, in order.
    floors: BTreeSet<(Position, Address)>,
    /// Entities of which a page is to be read, in the order in which they asked, and those that
    /// ask no more.
    queue: VecDeque<Address>,
    wanted: BTreeSet<Address>,
    reads: BTreeMap<u64, Reading>,
    numbers: u64,
    /// A page could not be read: the next try.
    again_at: Option<Timestamp>,
    scanned: usize,
    read: usize,
    delayed: usize,
    pub(super) absent: BTreeMap<MessageId, Absent<W>>,
}

impl<W> Backlog<W> {
    /// Of a shard that was taken over behind the commit `committed`.
    pub(super) const fn new(limits: BacklogLimits, committed: Sequence) -> Self {
        let first: Position = (Sequence(0), u32::MAX);
        Self {
            limits,
            scan: if committed.0 == 0 { None } else { Some(first) },
            is_begun: false,
            horizon: Horizon::new(if committed.0 == 0 { None } else { Some(FIRST) }),
            blocked: BTreeSet::new(),
            parts: BTreeMap::new(),
            floors: BTreeSet::new(),
            queue: VecDeque::new(),
            wanted: BTreeSet::new(),
            reads: BTreeMap::new(),
            numbers: 0,
            again_at: None,
            scanned: 0,
            read: 0,
            delayed: 0,
            absent: BTreeMap::new(),
        }
    }

    /// Up to where an entity of this extent is in memory; none where it is as a whole.
    pub(super) const fn end_of(&self, extent: Extent) -> Option<Position> {
        match extent {
            Extent::Whole => None,
            Extent::Scanned => self.scan,
            Extent::UpTo(position) => Some(position),
        }
    }

    /// The last commit that has nothing unread in it or before it.
    pub(super) fn floor(&self) -> Option<Sequence> {
        let part = self.floors.first().map(|(position, _)| *position);
        self.scan.into_iter().chain(part).min().map(|(sequence, ordinal)| {
            if ordinal == u32::MAX { sequence } else { before(sequence) }
        })
    }

    /// Of an entity, only what stands up to `end` is in memory; none where everything is.
    pub(super) fn set_part(&mut self, address: &Address, end: Option<Position>) {
        let old = self.parts.remove(address);
        if let Some(old) = old {
            self.floors.remove(&(old.floor(), address.clone()));
        }
        if let Some(end) = end {
            let part = old.map_or_else(|| Part::new(end), |old| Part { end, ..old });
            self.floors.insert((part.floor(), address.clone()));
            self.parts.insert(address.clone(), part);
        } else {
            self.wanted.remove(address);
        }
    }

    /// What of the entity stands up to `copied` is in memory, or has a copy among the open messages.
    pub(super) fn set_copied(&mut self, address: &Address, copied: Position) {
        self.change_copied(address, |before| before.max(copied));
    }

    /// The entity's row at `position` is in memory no more, and may have no copy.
    pub(super) fn not_copied(&mut self, address: &Address, position: Position) {
        self.change_copied(address, |before| before.min(just_before(position)));
    }

    fn change_copied(&mut self, address: &Address, change: impl Fn(Position) -> Position) {
        let Some(part) = self.parts.get_mut(address) else { return };
        self.floors.remove(&(part.floor(), address.clone()));
        part.copied = change(part.copied);
        self.floors.insert((part.floor(), address.clone()));
    }

    /// Whether all of the entity that is not in memory has a copy among the open messages.
    pub(super) fn is_copied(&self, address: &Address) -> bool {
        self.parts.get(address).is_none_or(|part| part.copied == LAST)
    }

    pub(super) fn set_scan(&mut self, next: Option<Position>) {
        self.is_begun = true;
        self.scan = next;
    }

    /// Whether a page of the entity is being read.
    pub(super) fn is_reading(&self, address: &Address) -> bool {
        self.reads.values().any(|reading| reading.of() == Some(address))
    }

    /// A page of the entity is to be read.
    pub(super) fn want(&mut self, address: &Address) {
        self.want_page(address, Purpose::Run);
    }

    /// A page of the entity is to be copied, and left in the store.
    pub(super) fn want_copies(&mut self, address: &Address) {
        self.want_page(address, Purpose::Copy);
    }

    fn want_page(&mut self, address: &Address, purpose: Purpose) {
        if let Some(part) = self.parts.get_mut(address) {
            part.purpose = purpose;
        }
        self.queue_up(address);
    }

    fn queue_up(&mut self, address: &Address) {
        if !self.is_reading(address) && self.wanted.insert(address.clone()) {
            self.queue.push_back(address.clone());
        }
    }

    /// Few enough rows are left of an entity that the next page is read.
    pub(super) const fn few(&self) -> usize {
        self.limits.of_entity.div_ceil(2)
    }

    pub(super) const fn of_entity(&self) -> usize {
        self.limits.of_entity
    }

    pub(super) const fn held(&self) -> usize {
        self.limits.held
    }

    /// One more message was read, or one that was read is over.
    pub(super) const fn count(&mut self, source: Source, is_more: bool) {
        let counted = match source {
            Source::Caller => return,
            Source::Scan => &mut self.scanned,
            Source::Entity | Source::Copying => &mut self.read,
            Source::Delayed => &mut self.delayed,
        };
        *counted = if is_more { *counted + 1 } else { counted.saturating_sub(1) };
    }

    /// A message is over, or set aside: a page that is being read may still have it.
    pub(super) fn gone(&mut self, message_id: MessageId) {
        for reading in self.reads.values_mut() {
            reading.has_gone(message_id);
        }
    }

    /// A message of the entity was left to the store: a page that is being read may lack it.
    pub(super) fn left(&mut self, address: &Address) {
        for reading in self.reads.values_mut() {
            reading.is_behind |= reading.of().is_none_or(|of| of == address);
        }
    }

    /// The page to read next, if there is room for one.
    pub(super) fn next_read(&mut self, now: Timestamp, seen: Sequence) -> Option<OpenRead> {
        if self.again_at.is_some_and(|at| at > now) {
            return None;
        }
        self.again_at = None;
        if let Some(after) = self.wanted_delays() {
            return Some(self.begin_read(Reading::new(Which::Delayed, after, seen)));
        }
        let is_scanning = self.reads.values().any(Reading::is_scan);
        let reading = match self.scan {
            Some(after) if !is_scanning && self.scanned < self.limits.window => {
                Reading::new(Which::Waiting, at(after), seen)
            }
            Some(_) if !self.is_begun => return None,
            _ => {
                let reading = self.reads.values().filter(|reading| reading.of().is_some()).count();
                if reading >= AT_ONCE || self.read >= self.limits.window {
                    return None;
                }
                let address = self.next_wanted()?;
                let part = self.parts.get(&address)?;
                let (purpose, after) = (part.purpose, part.next());
                let reading = Reading::new(Which::Entity(address), at(after), seen);
                Reading { purpose, ..reading }
            }
        };
        Some(self.begin_read(reading))
    }

    fn begin_read(&mut self, reading: Reading) -> OpenRead {
        let (which, after) = (reading.which.clone(), reading.after);
        let most = if reading.of().is_some() { self.limits.of_entity } else { usize::MAX };
        let limit = self.limits.page.min(u32::try_from(most).unwrap_or(u32::MAX));
        self.numbers += 1;
        self.reads.insert(self.numbers, reading);
        OpenRead { number: self.numbers, which, after, limit }
    }

    /// A page to look for what was lost, unless one is being read.
    pub(super) fn audit_read(
        &mut self,
        which: Which,
        after: Cursor,
        seen: Sequence,
    ) -> Option<OpenRead> {
        let purpose = Purpose::Audit;
        let is_under_way = self.reads.values().any(|reading| reading.purpose == purpose);
        let reading = Reading { purpose, ..Reading::new(which, after, seen) };
        (!is_under_way).then(|| self.begin_read(reading))
    }

    /// Whether it is known what is left to the store.
    pub(super) const fn is_begun_or_whole(&self) -> bool {
        self.is_begun || self.scan.is_none()
    }

    /// Whether the scan has not come so far.
    pub(super) fn is_behind_scan(&self, position: Position) -> bool {
        self.scan.is_some_and(|scan| position >= scan)
    }

    /// Behind which place more of what is delayed is to be read now.
    fn wanted_delays(&self) -> Option<Cursor> {
        let is_reading = self.reads.values().any(Reading::is_of_delays);
        self.horizon.at().filter(|_| !is_reading && self.has_room_for_delays())
    }

    fn has_room_for_delays(&self) -> bool {
        let page = usize::try_from(self.limits.page).unwrap_or(usize::MAX);
        let is_free = self.delayed == 0 || self.delayed.saturating_add(page) <= self.limits.delayed;
        is_free || self.horizon.lacks()
    }

    /// Whether memory holds more of what is delayed than it has room for.
    pub(super) const fn has_too_many_delays(&self) -> bool {
        self.delayed > self.limits.delayed
    }

    /// Whether everything that is delayed is in memory.
    pub(super) const fn holds_all_delays(&self) -> bool {
        self.horizon.at().is_none()
    }

    /// Whether all that joins its entity's queue by `time` was read, or has to be late because
    /// memory is full of what is due.
    pub(super) fn knows_due(&self, time: Timestamp) -> bool {
        self.horizon.at().is_none_or(|(due, _)| time <= due) || !self.awaits_delays()
    }

    /// Whether a page of what is delayed is being read, or will be, or is tried again.
    pub(super) fn awaits_delays(&self) -> bool {
        let is_reading = self.reads.values().any(Reading::is_of_delays);
        is_reading || self.again_at.is_some() || self.has_room_for_delays()
    }

    /// The delayed message at this place could not be acted on: it is to be read again before what is
    /// due later runs.
    pub(super) fn fell_out(&mut self, place: Cursor) {
        self.horizon.fell_out(place);
        self.not_on_pages(place);
    }

    /// The delayed message at this place, with none behind it in memory, is left to the store.
    pub(super) fn left_delayed(&mut self, place: Cursor) {
        self.horizon.left(place);
        self.not_on_pages(place);
    }

    fn not_on_pages(&mut self, place: Cursor) {
        for reading in self.reads.values_mut().filter(|reading| reading.is_of_delays()) {
            reading.left = reading.left.into_iter().chain([place]).min();
        }
    }

    fn next_wanted(&mut self) -> Option<Address> {
        while let Some(address) = self.queue.pop_front() {
            if self.wanted.remove(&address) && self.parts.contains_key(&address) {
                return Some(address);
            }
        }
        None
    }

    /// The read `number` is over; none where its page is not to be believed.
    pub(super) fn end_read(&mut self, number: u64) -> Option<Reading> {
        let reading = self.reads.remove(&number)?;
        let Some(of) = reading.of() else {
            return Some(reading).filter(|reading| !reading.is_void);
        };
        let part = self.parts.get(of);
        let is_meant = part.is_some_and(|part| part.is_next(&reading)) && !reading.is_void;
        if is_meant {
            return Some(reading);
        }
        if part.is_some() {
            let of = of.clone();
            self.queue_up(&of);
        }
        None
    }

    /// A page could not be read.
    pub(super) fn read_failed(&mut self, now: Timestamp, number: u64) {
        let Some(reading) = self.reads.remove(&number) else { return };
        if reading.purpose == Purpose::Audit {
            return;
        }
        self.again_at = Some(now.after(READ_AGAIN));
        if let Some(of) = reading.of().filter(|of| self.parts.contains_key(of)) {
            self.queue_up(of);
        }
    }

    /// When the next page is tried again.
    pub(super) const fn next_wake(&self) -> Option<Timestamp> {
        self.again_at
    }
}

/// A position as the place of a message that is not delayed.
pub(super) const fn at(position: Position) -> Cursor {
    (Timestamp(0), position)
}

/// The place before `cursor`, so that a read behind it begins there.
pub(super) const fn behind((due, position): Cursor) -> Cursor {
    (due, just_before(position))
}

/// The commit before `sequence`.
pub(super) const fn before(sequence: Sequence) -> Sequence {
    Sequence(sequence.0.saturating_sub(1))
}

/// The place before `position`, so that a read behind it begins there.
pub(super) const fn just_before((sequence, ordinal): Position) -> Position {
    match ordinal.checked_sub(1) {
        Some(ordinal) => (sequence, ordinal),
        None => (before(sequence), u32::MAX),
    }
}
