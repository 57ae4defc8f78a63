//! The machine.

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    format,
    string::String,
    sync::Arc,
    vec::Vec,
};
use core::time::Duration;

use quarry_types::{Address, EntityType, Sequence, Timestamp};

use super::{Closed, Ending, Entry, OutboxLimits, Passing, Place, Verdict, limits::back_off};

/// After a page could not be read, the next try comes this much later.
const READ_AGAIN: Duration = Duration::from_millis(500);

struct Held {
    entry: Arc<Entry>,
    /// How often the target may have seen it.
    send_count: u32,
    /// How often it was passed on in vain since it was held.
    tries: u32,
    /// What was said to it last.
    error: String,
}

/// Whether something of the outbox is to be read from the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// All that is open is held.
    Nothing,
    /// A page, not before this time.
    From(Timestamp),
    /// A page is being read; what was made up to this place is in it or in later ones.
    UnderWay(Place),
}

/// What a commit that is in flight holds of the outbox.
#[derive(Default)]
struct Flight {
    made: Vec<Arc<Entry>>,
    closed: Vec<Closed>,
}

/// The outbox of one owned shard. See the module's description.
pub struct Outbox {
    limits: OutboxLimits,
    held: BTreeMap<Place, Held>,
    bytes: usize,
    /// What is held of one sender to one target, in order.
    lanes: BTreeMap<(Address, Address), VecDeque<Place>>,
    /// Heads of lanes that may go now.
    ready: BTreeSet<Place>,
    /// Heads of lanes that wait.
    paused: BTreeSet<(Timestamp, Place)>,
    flying: BTreeSet<Place>,
    /// How many sends of an entity are open, as far as is known.
    open: BTreeMap<Address, usize>,
    /// Entities that were held back for their open sends and may go on.
    freed: Vec<Address>,
    /// Ended entries that no commit has closed yet.
    closed: VecDeque<Closed>,
    close_by: Option<Timestamp>,
    is_pressing: bool,
    flight: Flight,
    /// The last commit of the owner before.
    taken_over: Sequence,
    /// What was made up to here is held, or was closed.
    known: Place,
    /// The last entry that is durable, as far as is known.
    made: Place,
    reading: Reading,
}

impl Outbox {
    /// The outbox of a shard that was taken over behind the commit `taken_over`; what the owner
    /// before left open is read from the store.
    #[must_use]
    pub fn new(limits: OutboxLimits, taken_over: Sequence) -> Self {
        Self {
            limits,
            held: BTreeMap::new(),
            bytes: 0,
            lanes: BTreeMap::new(),
            ready: BTreeSet::new(),
            paused: BTreeSet::new(),
            flying: BTreeSet::new(),
            open: BTreeMap::new(),
            freed: Vec::new(),
            closed: VecDeque::new(),
            close_by: None,
            is_pressing: false,
            flight: Flight::default(),
            taken_over,
            known: Place::default(),
            made: (taken_over, u32::MAX),
            reading: Reading::From(Timestamp(i64::MIN)),
        }
    }

    /// How many entries are held in memory.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Nothing is held or passed on any more.
    pub fn clear(&mut self) {
        let sequence = self.taken_over;
        *self = Self { reading: Reading::Nothing, ..Self::new(self.limits.clone(), sequence) };
    }

    /// Whether `sender` may make more sends.
    #[must_use]
    pub fn has_room(&self, sender: &Address) -> bool {
        self.open.get(sender).is_none_or(|open| *open < self.limits.of_sender)
    }

    /// The entities that have room again.
    pub fn take_freed(&mut self) -> Vec<Address> {
        core::mem::take(&mut self.freed)
    }

    /// Whether a commit is to be made for the outbox alone.
    #[must_use]
    pub fn is_pressing(&self) -> bool {
        self.is_pressing && !self.closed.is_empty()
    }

    /// What has ended is to be closed at once.
    pub const fn press(&mut self) {
        self.is_pressing = true;
    }

    /// A commit begins that makes the entries `made`; what it is to close, `most` at most. Ends with
    /// [`Outbox::committed`] or [`Outbox::not_committed`].
    pub fn begin_commit(&mut self, made: Vec<Arc<Entry>>, most: usize) -> Vec<Closed> {
        let closed: Vec<Closed> = self.closed.drain(..most.min(self.closed.len())).collect();
        if self.closed.is_empty() {
            self.close_by = None;
            self.is_pressing = false;
        }
        self.flight = Flight { made, closed: closed.clone() };
        closed
    }

    /// The commit is durable as number `sequence`.
    pub fn committed(&mut self, sequence: Sequence) {
        let Flight { made, .. } = core::mem::take(&mut self.flight);
        for (ordinal, entry) in (0..).zip(made) {
            *self.open.entry(entry.sender.clone()).or_default() += 1;
            let place = (sequence, ordinal);
            let is_next = self.reading == Reading::Nothing && self.known == self.made;
            self.made = place;
            if is_next && self.has_space() {
                self.known = place;
                self.hold(place, entry, 0);
            } else if self.reading == Reading::Nothing {
                self.reading = Reading::From(Timestamp(i64::MIN));
            }
        }
    }

    /// The commit is not there; whether it was to close anything.
    pub fn not_committed(&mut self, now: Timestamp) -> bool {
        let Flight { closed, .. } = core::mem::take(&mut self.flight);
        if closed.is_empty() {
            return false;
        }
        for closed in closed.into_iter().rev() {
            self.closed.push_front(closed);
        }
        self.is_pressing = false;
        self.close_by = Some(now.after(self.limits.close_after));
        true
    }

    /// Behind which place a page of open entries is to be read now, and how many of them.
    pub fn start_read(&mut self, now: Timestamp) -> Option<(Place, u32)> {
        let Reading::From(at) = self.reading else { return None };
        if at > now || !self.has_space_for_page() {
            return None;
        }
        self.reading = Reading::UnderWay(self.made);
        Some((self.known, self.limits.page))
    }

    /// The page that was asked for, in order, and where the next one begins; none where nothing more
    /// was open at the time.
    pub fn page(&mut self, entries: Vec<(Place, Entry)>, next: Option<Place>) {
        let Reading::UnderWay(made) = self.reading else { return };
        let mut read = next.unwrap_or(made).min(self.made);
        for (place, entry) in entries {
            // It is in the store while this owner does not know yet that its commit is durable.
            if place > self.made {
                break;
            }
            let is_inherited = place.0 <= self.taken_over;
            if is_inherited {
                *self.open.entry(entry.sender.clone()).or_default() += 1;
            }
            self.hold(place, Arc::new(entry), u32::from(is_inherited));
            read = read.max(place);
        }
        self.known = self.known.max(read);
        self.reading = if self.known < self.made {
            Reading::From(Timestamp(i64::MIN))
        } else {
            Reading::Nothing
        };
    }

    /// The page could not be read.
    pub fn page_failed(&mut self, now: Timestamp) {
        self.reading = Reading::From(now.after(READ_AGAIN));
    }

    /// What is to be passed on now, oldest first. `retention` says for how long entities of a type
    /// know keys: an entry that is open for half of that is given up.
    pub fn next(
        &mut self,
        now: Timestamp,
        retention: impl Fn(&EntityType) -> Duration,
    ) -> Vec<Passing> {
        while let Some((_, place)) = self.paused.first().filter(|(at, _)| *at <= now).copied() {
            self.paused.pop_first();
            self.ready.insert(place);
        }
        if self.close_by.is_some_and(|at| at <= now) {
            self.is_pressing = true;
        }
        let mut passing = Vec::new();
        while self.flying.len() < self.limits.window {
            let Some(place) = self.ready.pop_first() else { break };
            let Some(held) = self.held.get(&place) else { continue };
            let most = retention(&held.entry.outgoing.address.entity_type) / 2;
            if now >= held.entry.made_at.after(most) {
                let error = format!("nobody took it within {} s: {}", most.as_secs(), held.error);
                self.end(now, place, Ending::Quarantined(error));
                continue;
            }
            self.flying.insert(place);
            let entry = Arc::clone(&held.entry);
            passing.push(Passing { place, entry, send_count: held.send_count });
        }
        passing
    }

    /// What was said to an entry that was passed on.
    pub fn answered(&mut self, now: Timestamp, place: Place, verdict: Verdict) {
        if !self.flying.remove(&place) {
            return;
        }
        let Some(held) = self.held.get_mut(&place) else { return };
        let is_young = now < held.entry.made_at.after(self.limits.believe_after);
        match verdict {
            Verdict::Accepted => self.end(now, place, Ending::Accepted),
            Verdict::Never(error) if !is_young => {
                self.end(now, place, Ending::Quarantined(error));
            }
            Verdict::Never(error) | Verdict::Again { may_be_there: false, error } => {
                self.pause(now, place, error);
            }
            Verdict::Again { may_be_there: true, error } => {
                held.send_count = held.send_count.saturating_add(1);
                self.pause(now, place, error);
            }
        }
    }

    /// When [`Outbox::next`] or [`Outbox::start_read`] has something new, if nothing else happens.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        let paused = self.paused.first().map(|(at, _)| *at);
        let close = self.close_by.filter(|_| !self.is_pressing);
        let read = match self.reading {
            Reading::From(at) if self.has_space_for_page() => Some(at),
            _ => None,
        };
        paused.into_iter().chain(close).chain(read).min()
    }

    fn has_space(&self) -> bool {
        self.held.is_empty()
            || (self.held.len() < self.limits.held && self.bytes < self.limits.held_bytes)
    }

    fn has_space_for_page(&self) -> bool {
        self.held.len() <= self.limits.held / 2 && self.bytes <= self.limits.held_bytes / 2
    }

    fn hold(&mut self, place: Place, entry: Arc<Entry>, send_count: u32) {
        self.bytes += entry.outgoing.payload.len();
        let lane = (entry.sender.clone(), entry.outgoing.address.clone());
        let lane = self.lanes.entry(lane).or_default();
        if lane.is_empty() {
            self.ready.insert(place);
        }
        lane.push_back(place);
        self.held.insert(place, Held { entry, send_count, tries: 0, error: String::new() });
    }

    fn pause(&mut self, now: Timestamp, place: Place, error: String) {
        let Some(held) = self.held.get_mut(&place) else { return };
        held.tries = held.tries.saturating_add(1);
        held.error = error;
        self.paused.insert((now.after(back_off(held.tries)), place));
    }

    /// The entry is over: the next of its lane may go.
    fn end(&mut self, now: Timestamp, place: Place, ending: Ending) {
        let Some(Held { entry, .. }) = self.held.remove(&place) else { return };
        self.bytes = self.bytes.saturating_sub(entry.outgoing.payload.len());
        let lane = (entry.sender.clone(), entry.outgoing.address.clone());
        if let Some(places) = self.lanes.get_mut(&lane) {
            places.pop_front();
            match places.front() {
                Some(next) => drop(self.ready.insert(*next)),
                None => drop(self.lanes.remove(&lane)),
            }
        }
        self.one_less(&entry.sender);
        self.closed.push_back(Closed { id: entry.id, ending });
        self.close_by.get_or_insert(now.after(self.limits.close_after));
        if self.closed.len() >= self.limits.closing {
            self.is_pressing = true;
        }
    }

    fn one_less(&mut self, sender: &Address) {
        let Some(open) = self.open.get_mut(sender) else { return };
        if *open == self.limits.of_sender {
            self.freed.push(sender.clone());
        }
        *open = open.saturating_sub(1);
        if *open == 0 {
            self.open.remove(sender);
        }
    }
}
