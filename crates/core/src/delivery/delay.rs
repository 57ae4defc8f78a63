//! Messages that wait for their time: accepted at once, with a copy among the open messages. They
//! join their entity's queue when they are due, so that until then they hold back neither its later
//! messages nor the low-water mark.

use alloc::{collections::BTreeMap, format, string::String, vec::Vec};

use quarry_types::{Address, Due, Envelope, MessageId, RefusalCode, Timestamp};

use super::{
    Effect, Shard,
    batch::{Change, Unit},
    entity::Entity,
    message::{Acceptance, Message, Order, Phase},
    shard::{Gate, draining, refused},
};

/// What of a shard waits for its time.
#[derive(Default)]
pub(super) struct Delays {
    /// Those whose rows stand, by when they are due.
    due: BTreeMap<Order, MessageId>,
    /// How many wait for each entity, those included whose rows are on their way.
    waiting: BTreeMap<Address, usize>,
}

impl Delays {
    /// How many messages of the entity wait for their time.
    pub(super) fn of(&self, address: &Address) -> usize {
        self.waiting.get(address).copied().unwrap_or(0)
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.due.first_key_value().map(|((at, _), _)| *at)
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

    /// The message's rows stand: it joins its entity's queue when it is due.
    pub(super) fn is_delayed(&mut self, message_id: MessageId) {
        if self.gate == Gate::Open
            && let Some(message) = self.messages.get(&message_id)
            && message.phase == Phase::Delayed
        {
            self.delays.due.insert(message.order, message_id);
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
            self.admissions += 1;
            message.order = (now, self.admissions);
            message.phase = Phase::Queued;
            let address = message.envelope.address.clone();
            self.delays.remove(order, &address);
            let entity = self.entities.entry(address.clone()).or_insert_with(|| Entity::new(now));
            entity.queue.push_back(message_id);
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
        let at = entity.queue.partition_point(|id| order(id) < place);
        let running = usize::from(entity.runs_command());
        entity.queue.insert(at.max(running).min(entity.queue.len()), message_id);
    }
}

/// The refusal of a message that cannot wait for as long as it is to.
pub(super) fn refusal(reason: String) -> quarry_types::CallError {
    refused(RefusalCode::InvalidPayload, reason, None)
}
