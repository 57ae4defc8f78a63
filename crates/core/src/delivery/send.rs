//! The shard's outbox: what its handlers sent, on the way to other entities.

use alloc::{sync::Arc, vec::Vec};

use quarry_types::{Address, Answer, CallError, Due, MessageId, Timestamp};

use super::{Effect, Shard, delay::Delays, shard::Gate};
use crate::outbox::{Entry, Outgoing, Place, SendId, Verdict};

/// A page of what is open in the outbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendPage {
    /// The entries, in order.
    pub entries: Vec<(Place, Entry)>,
    /// Where to go on; none where nothing more was open.
    pub next: Option<Place>,
}

/// What a handler sent, as it stands in the outbox.
pub(super) fn entries(
    (now, delays): (Timestamp, &Delays),
    sender: &Address,
    message_id: MessageId,
    sends: Vec<Outgoing>,
) -> Vec<Arc<Entry>> {
    let entry = |(index, mut outgoing): (u32, Outgoing)| {
        outgoing.due = delays.until(outgoing.due, now).map_or(Due::Now, Due::At);
        let id = SendId { message_id, index };
        Arc::new(Entry { id, sender: sender.clone(), made_at: now, outgoing })
    };
    (0..).zip(sends).map(entry).collect()
}

impl<W> Shard<W> {
    /// Passes on what may go, reads what there is room for (open messages too), and lets entities go on whose sends went.
    pub(super) fn pump(&mut self, now: Timestamp, out: &mut Vec<Effect<W>>) {
        if self.gate != Gate::Open {
            return;
        }
        let limits = &self.limits;
        let passing = self.outbox.next(now, |entity_type| limits.of(entity_type).retention);
        out.extend(passing.into_iter().map(Effect::PassOn));
        if let Some((after, limit)) = self.outbox.start_read(now) {
            out.push(Effect::ReadSends { after, limit });
        }
        for sender in self.outbox.take_freed() {
            self.schedule(&sender, now, out);
        }
        self.read_on(now, out);
        self.go_on_late(now, out);
    }

    /// The target's owner answered a send, or could not be asked.
    pub fn passed_on(
        &mut self,
        now: Timestamp,
        place: Place,
        answer: &Result<Answer, CallError>,
        out: &mut Vec<Effect<W>>,
    ) {
        if self.gate != Gate::Open {
            return;
        }
        self.outbox.answered(now, place, Verdict::of(answer));
        self.pump(now, out);
        self.flush(out);
    }

    /// The store answered an [`Effect::ReadSends`]; none where it is away.
    pub fn sends_read(&mut self, now: Timestamp, page: Option<SendPage>, out: &mut Vec<Effect<W>>) {
        match page {
            Some(SendPage { entries, next }) => self.outbox.page(entries, next),
            None => self.outbox.page_failed(now),
        }
        self.pump(now, out);
    }

    /// How many sends are open, as far as they are in memory.
    #[must_use]
    pub fn held_sends(&self) -> usize {
        self.outbox.held()
    }
}
