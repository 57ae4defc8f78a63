//! Entities of which a quarantined message holds up the later ones, where their type says that order
//! outranks progress.
//!
//! What is quarantined is not in memory, so before such an entity's next message begins, or its
//! attempt is recorded, the store is asked. The answer stands until something of the entity goes to
//! quarantine or leaves it: then it is asked again, so that an answer which was read before is never
//! believed after. What is let run again goes back to its old place, before all that waits.

use alloc::{string::String, vec::Vec};

use quarry_types::{Address, MessageId, Timestamp};

use super::{
    AfterQuarantine, Effect, Shard,
    backlog::Source,
    message::{Acceptance, Order, Phase, Turn},
    shard::Gate,
};

/// What is known of an entity's quarantined messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aside {
    /// Nothing.
    Unknown,
    /// The store is asked, under this number.
    Asked(u64),
    /// The first of them, if there is any.
    Known(Option<MessageId>),
}

impl<W> Shard<W> {
    /// Whether a quarantined message of the entity holds up the later ones.
    fn is_held_up(&self, address: &Address) -> bool {
        self.limits.of(&address.entity_type).after_quarantine == AfterQuarantine::Wait
    }

    /// Whether no quarantined message holds up the entity.
    pub(super) fn goes_on(&self, address: &Address) -> bool {
        let aside = self.entities.get(address).map(|entity| entity.aside);
        aside == Some(Aside::Known(None)) || !self.is_held_up(address)
    }

    /// The message went to quarantine, or is on its way there.
    pub(super) fn hold(&mut self, address: &Address, message_id: MessageId) {
        if self.is_held_up(address)
            && let Some(entity) = self.entities.get_mut(address)
        {
            entity.aside = Aside::Known(Some(message_id));
            self.keep_held(address);
        }
    }

    /// What is quarantined of the entity has changed, or is not written: the store is asked again when
    /// the entity has something to do.
    pub(super) fn forget_aside(&mut self, address: &Address) {
        if let Some(entity) = self.entities.get_mut(address) {
            entity.aside = Aside::Unknown;
        }
    }

    /// Asks what is quarantined of the entity before its next message begins.
    pub(super) fn ask_aside(&mut self, address: &Address, out: &mut Vec<Effect<W>>) {
        if self.gate != Gate::Open || !self.is_held_up(address) {
            return;
        }
        let Some(entity) = self.entities.get_mut(address) else { return };
        let next = entity.queue.front().and_then(|id| self.messages.get(id));
        let is_next = next.is_some_and(|m| m.phase == Phase::Queued && m.end.is_none());
        if is_next && entity.aside == Aside::Unknown {
            self.questions += 1;
            entity.aside = Aside::Asked(self.questions);
            out.push(Effect::AskAside(address.clone(), self.questions));
        }
    }

    /// The store answered an [`Effect::AskAside`]: the first quarantined message of the entity.
    pub fn aside_read(
        &mut self,
        now: Timestamp,
        address: &Address,
        number: u64,
        first: Result<Option<MessageId>, String>,
        out: &mut Vec<Effect<W>>,
    ) {
        let Some(entity) = self.entities.get_mut(address) else { return };
        if entity.aside != Aside::Asked(number) || self.gate != Gate::Open {
            return;
        }
        match first {
            Ok(Some(first)) => self.hold(address, first),
            Ok(None) => entity.aside = Aside::Known(None),
            Err(error) => {
                entity.aside = Aside::Unknown;
                self.store_is_away(now, address, error, out);
            }
        }
        self.schedule(address, now, out);
        self.flush(out);
    }

    /// What an entity keeps that is held up, for as long as it takes, holds up no others: its messages
    /// get their rows, and take no room of what is read for all.
    pub(super) fn keep_held(&mut self, address: &Address) {
        let Some(entity) = self.entities.get(address) else { return };
        if !matches!(entity.aside, Aside::Known(Some(_))) || !self.is_held_up(address) {
            return;
        }
        let mut wants_rows = false;
        for id in entity.queue.iter().rev() {
            let Some(message) = self.messages.get_mut(id) else { continue };
            self.backlog.count(message.source, false);
            message.source = Source::Caller;
            if message.acceptance == Acceptance::None && message.phase == Phase::Queued {
                message.wants_acceptance = true;
                wants_rows = true;
            }
        }
        if wants_rows {
            self.accept_wanted(address);
        }
    }

    /// Whether no more rows of the entity are to be read now.
    pub(super) fn is_held(&self, address: &Address) -> bool {
        let aside = self.entities.get(address).map(|entity| entity.aside);
        matches!(aside, Some(Aside::Known(Some(_)))) && self.is_held_up(address)
    }

    /// Where a message runs that is let run again: before all that waits for it, or as the last.
    pub(super) fn order_again(&mut self, now: Timestamp, message_id: MessageId) -> Option<Order> {
        let message = self.messages.get(&message_id)?;
        self.admissions += 1;
        Some(match message.acceptance {
            Acceptance::Stored(position) if self.is_held_up(&message.envelope.address) => {
                (Timestamp(i64::MIN), Turn::Stored(position))
            }
            _ => (now, Turn::New(self.admissions)),
        })
    }
}
