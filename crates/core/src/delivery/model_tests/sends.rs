//! Sends: some messages have their handler send on, from their entity to the two others.

use alloc::{string::ToString, sync::Arc, vec, vec::Vec};
use core::time::Duration;

use bytes::Bytes;
use quarry_types::{
    Address, CallError, Delivery, Due, Envelope, Epoch, MessageId, Method, Refusal, RefusalCode,
    Sequence, Unknown, UnknownCode,
};

use super::{
    super::{Batch, Effect, SendPage},
    disk::Disk,
    step::Step,
    world::{Waiter, World, entity_of, text},
};
use crate::outbox::{Ending, Entry, OutboxLimits, Outgoing, Passing, Place};

/// Bounds so narrow that they are met.
pub(super) fn few_sends() -> OutboxLimits {
    OutboxLimits {
        held: 6,
        page: 2,
        window: 3,
        of_sender: 4,
        closing: 2,
        close_after: Duration::from_millis(300),
        ..OutboxLimits::default()
    }
}

impl Disk {
    pub(super) fn write_sends(&mut self, batch: &Batch) {
        for (ordinal, entry) in (0..).zip(&batch.sends) {
            let sender = entry.id.message_id;
            let is_done = batch.finishes.iter().any(|finish| finish.message_id == sender);
            assert!(is_done, "sends are of the commit of their outcome (G2)");
            self.outbox.insert((Sequence(self.sequence), ordinal), Arc::clone(entry));
            self.made.push(Arc::clone(entry));
        }
        for closed in &batch.closed {
            assert_eq!(closed.ending, Ending::Accepted);
            let before = self.outbox.len();
            self.outbox.retain(|_, entry| entry.id != closed.id);
            assert_eq!(self.outbox.len() + 1, before, "what is open is closed, once");
        }
    }

    /// Open sends behind a place.
    pub(super) fn sends(&self, after: Place, limit: u32) -> SendPage {
        let mut rest = self.outbox.iter().filter(|(place, _)| **place > after);
        let page = rest.by_ref().take(usize::try_from(limit).unwrap());
        let entries: Vec<_> = page.map(|(place, entry)| (*place, Entry::clone(entry))).collect();
        let next = rest.next().and_then(|_| entries.last().map(|(place, _)| *place));
        SendPage { entries, next }
    }
}

impl World {
    /// What the handler of a message sends: of every third, one message to each other entity.
    pub(super) fn sends_of(&mut self, envelope: &Envelope) -> Vec<Outgoing> {
        let Some((entity, number)) = envelope.key.as_str().split_once('-') else { return vec![] };
        let (Ok(entity), Ok(number)) = (entity.parse::<u8>(), number.parse::<u8>()) else {
            return vec![];
        };
        if number % 3 != 0 {
            return vec![];
        }
        [1, 2].map(|step| self.outgoing(entity_of((entity + step) % 3))).into()
    }

    fn outgoing(&mut self, address: Address) -> Outgoing {
        self.ids += 1;
        Outgoing {
            message_id: MessageId::new(self.now, address.slot(), self.ids << 8),
            address,
            method: Method::new("append").unwrap(),
            payload: Bytes::new(),
            due: Due::Now,
        }
    }

    /// Passes a send on. It may be refused, its answer may be lost, and it may arrive twice.
    pub(super) fn pass_on(
        &mut self,
        passing: &Passing,
        step: &Step,
        out: &mut Vec<Effect<Waiter>>,
    ) {
        let place = passing.place;
        let envelope = Arc::new(passing.envelope());
        let mut deliver = |waiter| {
            let envelope = Arc::clone(&envelope);
            self.shard.admit(self.now, envelope, Delivery::Durable, waiter, out);
        };
        let answer = match step {
            Step::StoreAway => Some(CallError::Refused(Refusal {
                code: RefusalCode::NotOwner(Epoch(0)),
                message: "moved".to_string(),
                retry_after_ms: None,
            })),
            Step::Reject => {
                deliver(Waiter::Nobody);
                Some(CallError::Unknown(Unknown {
                    code: UnknownCode::LinkLost,
                    message: "cut".to_string(),
                    message_id: None,
                }))
            }
            Step::LoseShard => {
                deliver(Waiter::Nobody);
                deliver(Waiter::Outbox(place));
                None
            }
            _ => {
                deliver(Waiter::Outbox(place));
                None
            }
        };
        if let Some(error) = answer {
            self.shard.passed_on(self.now, place, &Err(error), out);
        }
    }

    /// Every send of a handled message was handled once by its target, those of one sender in order.
    pub(super) fn check_sends(&self) {
        let made = &self.disk.made;
        for id in self.disk.finished.keys() {
            let (envelope, _) = &self.disk.messages[id];
            // What an operator ended sent nothing.
            let is_sender = self.disk.is_handled(*id)
                && envelope.key.as_str().split_once('-').is_some_and(|(_, number)| {
                    number.parse::<u8>().is_ok_and(|number| number % 3 == 0)
                });
            let of_message = made.iter().filter(|entry| entry.id.message_id == *id).count();
            assert_eq!(of_message, if is_sender { 2 } else { 0 }, "{} (G2)", envelope.key);
        }
        for (address, state) in &self.disk.states {
            let handled: Vec<&str> = text(state).split_terminator(',').collect();
            let mut senders: Vec<&Address> = made.iter().map(|entry| &entry.sender).collect();
            senders.sort_unstable();
            senders.dedup();
            for sender in senders {
                let sent = made
                    .iter()
                    .filter(|entry| entry.sender == *sender && entry.outgoing.address == *address);
                let sent: Vec<_> = sent
                    .map(|entry| entry.id.key().to_string())
                    .filter(|key| !self.is_out_of_turn(key))
                    .collect();
                let arrived: Vec<&str> =
                    handled.iter().copied().filter(|key| sent.iter().any(|k| k == key)).collect();
                assert_eq!(arrived, sent, "{sender} to {address}: once and in order (G4)");
            }
        }
    }
}
