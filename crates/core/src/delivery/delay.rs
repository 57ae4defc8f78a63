//! Messages that wait for their time: accepted at once, with a copy among the open messages. They
//! join their entity's queue when they are due, so that until then they hold back neither its later
//! messages nor the low-water mark.

use alloc::{collections::BTreeMap, format, string::String, vec::Vec};
use core::time::Duration;

use quarry_types::{Address, Due, Envelope, MessageId, RefusalCode, Timestamp};

use super::{
    Effect, OpenPage, Shard,
    backlog::{Absent, Source},
    batch::{Change, Unit},
    entity::Entity,
    message::{Acceptance, Message, Order, Phase},
    reading::Reading,
    shard::{Gate, draining, refused},
};

/// What of a shard waits for its time.
#[derive(Default)]
pub(super) struct Delays {
    /// Those whose rows stand, by when they are due.
    due: BTreeMap<Order, MessageId>,
    /// How many wait for each entity, those included whose rows are on their way.
    waiting: BTreeMap<Address, usize>,
    /// By how much store time may be ahead of the time that the shard is told.
    pub(super) lag: Duration,
}

impl Delays {
    /// When a message is due that is taken at `now`; none where it need not wait.
    pub(super) fn until(&self, due: Due, now: Timestamp) -> Option<Timestamp> {
        let latest = due.later_than(now)?;
        Some(if matches!(due, Due::After(_)) { latest.after(self.lag) } else { latest })
    }

    /// How many messages of the entity wait for their time.
    pub(super) fn of(&self, address: &Address) -> usize {
        self.waiting.get(address).copied().unwrap_or(0)
    }

    /// The entities that messages wait for.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.waiting.keys()
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// The message joins its queue when it is due; whether that was not known.
    pub(super) fn wait(&mut self, order: Order, message_id: MessageId) -> bool {
        self.due.insert(order, message_id).is_none()
    }

    /// One more message waits.
    pub(super) fn count(&mut self, address: &Address) {
        *self.waiting.entry(address.clone()).or_default() += 1;
    }

    /// The message waits no more.
    pub(super) fn remove(&mut self, order: Order, address: &Address) {
        self.due.remove(&order);
        if let Some(waiting) = self.waiting.get_mut(address) {
            *waiting = waiting.saturating_sub(1);
            if *waiting == 0 {
                self.waiting.remove(address);
            }
        }
    }

    /// Nothing joins its queue any more.
    pub(super) fn clear(&mut self) {
        self.due.clear();
    }
}

/// Why a message cannot wait for as long as it is to.
pub(super) fn too_late(envelope: &Envelope, now: Timestamp) -> Option<String> {
    let days = Due::LONGEST.as_secs() / 86_400;
    let is_too_late = envelope.due.later_than(now).is_some_and(|at| at > now.after(Due::LONGEST));
    is_too_late.then(|| format!("a message may be delayed by at most {days} days"))
}

impl<W> Shard<W> {
    /// Writes the row of a message that is to wait, and its copy.
    pub(super) fn accept_delayed(&mut self, message_id: MessageId, out: &mut Vec<Effect<W>>) {
        if self.gate != Gate::Open {
            return self.refuse(message_id, &draining(), out);
        }
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        message.phase = Phase::Delayed;
        message.acceptance = Acceptance::Pending;
        let address = message.envelope.address.clone();
        let change = Change::Delay { until: message.order.0 };
        self.pending.push_back(Unit { message_id, address, is_accept: true, change });
    }

    /// A message that was admitted waits for its time.
    pub(super) fn count_delayed(&mut self, message_id: MessageId, address: &Address) {
        self.delays.count(address);
        self.backlog.count(Source::Delayed, true);
        if let Some(message) = self.messages.get_mut(&message_id) {
            message.source = Source::Delayed;
        }
    }

    /// The message's rows stand: it joins its entity's queue when it is due. Beyond the horizon, or
    /// where it is the last of too many, it is left to the store until then.
    pub(super) fn is_delayed(&mut self, message_id: MessageId, out: &mut Vec<Effect<W>>) {
        let Some(message) = self.messages.get(&message_id) else { return };
        if self.gate != Gate::Open || message.phase != Phase::Delayed {
            return;
        }
        self.delays.due.insert(message.order, message_id);
        let place = message.place();
        if place.is_some_and(|place| self.backlog.horizon.is_out_of_reach(place)) {
            self.leave_delayed(message_id, out);
        }
        if self.backlog.has_too_many_delays()
            && let Some((_, last)) = self.delays.due.last_key_value()
        {
            self.leave_delayed(*last, out);
        }
    }

    /// Leaves a message that waits for its time to the store; whoever waits for it waits on.
    fn leave_delayed(&mut self, message_id: MessageId, out: &mut Vec<Effect<W>>) {
        let Some(message) = self.messages.get(&message_id) else { return };
        let Some(place) = message.place().filter(|_| message.end.is_none()) else { return };
        let Some(message) = self.release(message_id) else { return };
        self.backlog.left_delayed(place);
        let readers = message.stream.readers.into_iter();
        out.extend(readers.map(|(reader, _)| Effect::Readable(reader)));
        if !message.waiting.is_empty() {
            let address = message.envelope.address.clone();
            let absent = Absent { address, is_delayed: true, waiting: message.waiting };
            self.backlog.absent.insert(message_id, absent);
        }
    }

    /// A page of what is delayed came, in the order of its times.
    pub(super) fn take_delayed(
        &mut self,
        now: Timestamp,
        reading: &Reading,
        page: OpenPage,
        out: &mut Vec<Effect<W>>,
    ) {
        self.backlog.horizon.read_up_to(reading.horizon(page.next));
        for row in page.messages {
            let (id, place) = (row.envelope.message_id, (row.due, row.position));
            if self.holds(id) || reading.is_gone(id) || self.backlog.horizon.is_beyond(place) {
                continue;
            }
            let address = row.envelope.address.clone();
            self.recover_one(now, row, Source::Delayed, out);
            if place.0 <= now {
                self.read_alone(now, &address);
            }
            // Queries that came behind one under its key have nothing before them any more.
            self.backlog.blocked.insert(address);
        }
        for address in core::mem::take(&mut self.backlog.blocked) {
            self.schedule(&address, now, out);
        }
        self.tell_unfound(out);
    }

    /// Where memory filled up with what is delayed before a page of it could be read, none is: entities
    /// that wait for the horizon go on, and what is due before their next message is late.
    pub(super) fn go_on_late(&mut self, now: Timestamp, out: &mut Vec<Effect<W>>) {
        if self.backlog.blocked.is_empty() || self.backlog.awaits_delays() {
            return;
        }
        for address in core::mem::take(&mut self.backlog.blocked) {
            self.schedule(&address, now, out);
        }
    }

    /// Whether what is due before the entity's next message is in memory.
    pub(super) fn knows_due_before(&self, entity: &Entity<W>) -> bool {
        let next = entity.queue.front().and_then(|id| self.messages.get(id));
        next.is_none_or(|next| self.backlog.knows_due(next.order.0))
    }

    /// An entity whose next message waits for the horizon goes on when that has moved.
    pub(super) fn want_due(&mut self, address: &Address, now: Timestamp, out: &mut Vec<Effect<W>>) {
        let Some(entity) = self.entities.get(address) else { return };
        if self.gate == Gate::Open && !self.knows_due_before(entity) {
            self.backlog.blocked.insert(address.clone());
            self.read_on(now, out);
        }
    }

    /// Lets what is due join the queues. Comes before any admission, so that an entity's queue is
    /// in order of the times at which its messages joined it.
    pub(super) fn join_due(&mut self, now: Timestamp, out: &mut Vec<Effect<W>>) {
        while let Some((order, message_id)) = self.delays.due.first_key_value() {
            let (order, message_id) = (*order, *message_id);
            if order.0 > now {
                return;
            }
            self.delays.due.pop_first();
            let Some(message) = self.messages.get_mut(&message_id) else { continue };
            message.phase = Phase::Queued;
            self.admissions += 1;
            message.came = self.admissions;
            let address = message.envelope.address.clone();
            self.delays.remove(order, &address);
            self.entities.entry(address.clone()).or_insert_with(|| Entity::new(now));
            self.enqueue(&address, message_id);
            self.read_alone(now, &address);
            self.schedule(&address, now, out);
        }
    }

    /// A message that an owner before delayed: it goes on waiting, or is queued with the others.
    pub(super) fn recover_delayed(&mut self, now: Timestamp, message: &mut Message<W>) {
        if message.order.0 > now {
            message.phase = Phase::Delayed;
            self.delays.count(&message.envelope.address);
            self.delays.due.insert(message.order, message.envelope.message_id);
        }
    }

    /// Puts a message into its entity's queue in order, never before the one that runs.
    pub(super) fn enqueue(&mut self, address: &Address, message_id: MessageId) {
        let Some(entity) = self.entities.get_mut(address) else { return };
        let order = |id: &MessageId| self.messages.get(id).map(|message| message.order);
        let place = order(&message_id);
        // Only those in line are in order among themselves, where times are equal.
        let before = entity.queue.iter().rposition(|id| order(id) < place);
        let at = before.map_or(0, |before| before + 1);
        let running = usize::from(entity.runs_command());
        entity.queue.insert(at.max(running).min(entity.queue.len()), message_id);
    }

    /// Puts a message that was handled, and whose commit failed, back into its entity's queue: before all
    /// that came after it, also where one of an earlier time joined behind them meanwhile. Nothing runs.
    pub(super) fn put_back(&mut self, address: &Address, message_id: MessageId) {
        let Some(entity) = self.entities.get_mut(address) else { return };
        let order = |id: &MessageId| self.messages.get(id).map(|message| message.order);
        let place = order(&message_id);
        let after = entity.queue.iter().position(|id| order(id) > place);
        entity.queue.insert(after.unwrap_or(entity.queue.len()), message_id);
    }
}

/// The refusal of a message that cannot wait for as long as it is to.
pub(super) fn refusal(reason: String) -> quarry_types::CallError {
    refused(RefusalCode::InvalidPayload, reason, None)
}
