//! Takeover: what the owner before left open.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use quarry_types::Timestamp;

use super::{
    Effect, Recovered, Shard,
    backlog::Source,
    batch::{Change, Reason, Unit},
    entity::Entity,
    message::{Acceptance, Message, Phase, Standing, Turn},
    stream::Stream,
    suspect::Suspicion,
};

impl<W> Shard<W> {
    /// Takes an open message from the store. It runs, when its turn comes, only after the number of its
    /// next attempt is committed (one commit for the first ones of a page), so that a message that
    /// ends its process is counted, and one that only waits is not; one that is out of attempts, or
    /// ended its process alone twice, is quarantined (D4). One whose back-off has not ended waits for its end first.
    pub(super) fn recover_one(
        &mut self,
        now: Timestamp,
        recovered: Recovered,
        source: Source,
        out: &mut Vec<Effect<W>>,
    ) {
        let envelope = &recovered.envelope;
        let (message_id, address) = (envelope.message_id, envelope.address.clone());
        if self.holds(message_id) {
            return;
        }
        // A send has one id however often it is passed on.
        let again = self.release(message_id);
        self.admissions += 1;
        let (position, due, is_due) = (recovered.position, recovered.due, recovered.is_delayed);
        let source = if is_due { Source::Delayed } else { source };
        let mut message = message_of(recovered, source, self.admissions);
        let is_out_of_attempts = message.attempts
            >= self.limits.most_attempts(&address.entity_type)
            || message.suspicion == Suspicion::Guilty;
        if is_due {
            self.recover_delayed(now, &mut message);
        }
        if due > now && !is_due && !is_out_of_attempts {
            message.phase = Phase::BackingOff(due);
            self.due.insert((due, message_id));
        }
        // Up to the mark, every row has a copy.
        if !is_due && position.0 > self.low_water {
            self.unfinished.insert((position, message_id));
        }
        if is_out_of_attempts {
            message.phase = Phase::Settling;
            message.push_error(end_of(&message), self.limits.errors);
            let change = Change::Quarantine(Reason::Spent);
            let unit = Unit { message_id, address: address.clone(), is_accept: false, change };
            self.pending.push_back(unit);
        }
        let is_delayed = message.is_delayed();
        self.messages.insert(message_id, message);
        self.backlog.count(source, true);
        if !is_delayed {
            let entity = self.entities.entry(address.clone()).or_insert_with(|| Entity::new(now));
            entity.left = entity.left.saturating_sub(1);
            if is_out_of_attempts {
                self.hold(&address, message_id);
            } else {
                self.enqueue(&address, message_id);
            }
        }
        self.attach_absent(message_id, out);
        if let Some(again) = again {
            self.attach_all(message_id, again, out);
        }
    }
}

/// The message as its owner before left it, in its place; the number of its next attempt is recorded
/// before it runs.
fn message_of<W>(recovered: Recovered, source: Source, admission: u64) -> Message<W> {
    let turn =
        if recovered.is_delayed { Turn::Due(admission) } else { Turn::Stored(recovered.position) };
    let order = (joined(&recovered), turn);
    let accepted_at = recovered.accepted_at;
    let mut message = Message::new(recovered.envelope, accepted_at, order, Phase::Queued);
    message.source = source;
    message.came = admission;
    if recovered.is_delayed {
        message.standing = Standing::Apart;
    }
    message.original = recovered.original;
    message.acceptance = Acceptance::Stored(recovered.position);
    message.attempts = recovered.attempts;
    message.lost = recovered.lost;
    message.suspicion = Suspicion::of(recovered.lost);
    message.errors = recovered.errors;
    message.stream = Stream::recovered(recovered.chunks);
    message.needs_recording = true;
    message
}

/// How the last attempt of a message ended that is not tried again.
fn end_of<W>(message: &Message<W>) -> String {
    let lost = message.lost;
    match message.suspicion {
        Suspicion::Guilty => {
            format!("{lost} attempts in a row ended with their process, the last two alone")
        }
        Suspicion::None | Suspicion::Suspect | Suspicion::Hindered => {
            "the last attempt ended with its process".to_string()
        }
    }
}

/// When a message joined its entity's queue. One that was tried was the first of it.
fn joined(recovered: &Recovered) -> Timestamp {
    if recovered.attempts > 0 {
        Timestamp(i64::MIN)
    } else if recovered.is_delayed {
        recovered.due
    } else {
        recovered.accepted_at
    }
}
