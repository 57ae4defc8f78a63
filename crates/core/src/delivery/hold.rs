//! Entities of which a quarantined message holds up the later ones, where their type says that order
//! outranks progress.
//!
//! What is quarantined is not in memory, so before such an entity's next message begins, or its
//! attempt is recorded, the store is asked. The answer stands until something of the entity goes to
//! quarantine or leaves it: then it is asked again, so that an answer which was read before is never
//! believed after. What is let run again goes back to its old place, before all that waits.
//!
//! What waits behind it may wait for long. So it is copied among the open messages, and its row in the
//! log holds no mark back; what is not in memory is read for that, a page at a time, and left again. A
//! takeover finds the copies in the places of their rows.

use alloc::{string::String, vec::Vec};

use quarry_types::{Address, MessageId, Timestamp};

use super::{
    AfterQuarantine, Effect, OpenPage, Shard,
    attempts::Recorded,
    backlog::Source,
    batch::{Change, Unit},
    message::{Acceptance, Copying, Order, Phase, Turn},
    part::LAST,
    reading::Reading,
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
        // What was to be left in the store is here for good.
        for id in self.copying(address).collect::<Vec<_>>() {
            if let Some(message) = self.messages.get_mut(&id) {
                self.backlog.count(message.source, false);
                message.source = Source::Caller;
            }
        }
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
    /// get their rows and copies among the open messages, so that they hold no mark back, and take no
    /// room of what is read for all.
    pub(super) fn keep_held(&mut self, address: &Address) {
        if !self.is_held(address) || self.gate != Gate::Open {
            return;
        }
        let Some(entity) = self.entities.get(address) else { return };
        let (mut wants_rows, mut standing) = (false, Vec::new());
        for id in &entity.queue {
            let Some(message) = self.messages.get_mut(id) else { continue };
            if message.source != Source::Copying {
                self.backlog.count(message.source, false);
                message.source = Source::Caller;
            }
            if message.phase != Phase::Queued || message.end.is_some() {
                continue;
            }
            match message.acceptance {
                Acceptance::None => {
                    message.wants_acceptance = true;
                    wants_rows = true;
                }
                Acceptance::Stored(position) if message.copying == Copying::None => {
                    let is_copied = !self.unfinished.contains(&(position, *id));
                    let is_recorded = message.recorded == Recorded::Next;
                    standing.push((*id, is_copied, is_recorded));
                }
                Acceptance::Pending | Acceptance::Stored(_) => {}
            }
        }
        if wants_rows {
            self.accept_wanted(address);
        }
        for (message_id, is_copied, is_recorded) in standing {
            if is_recorded {
                // It was to begin when another one went to quarantine.
                self.take_back(message_id);
            } else if is_copied {
                self.leave_copied(message_id);
            } else {
                self.copy(message_id, address);
            }
        }
    }

    fn copy(&mut self, message_id: MessageId, address: &Address) {
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        message.copying = Copying::Pending;
        let (address, change) = (address.clone(), Change::Copy);
        self.pending.push_back(Unit { message_id, address, is_accept: false, change });
    }

    /// Wants the entity's next page of which there may be no copies, one after the other.
    pub(super) fn want_copies(&mut self, address: &Address) {
        if self.backlog.is_copied(address) || self.copying(address).next().is_some() {
            return;
        }
        // Up to the mark, every row has a copy.
        self.backlog.set_copied(address, (self.low_water, u32::MAX));
        self.backlog.want_copies(address);
    }

    /// What of the entity was read to be copied.
    fn copying(&self, address: &Address) -> impl Iterator<Item = MessageId> {
        let queue = self.entities.get(address).into_iter().flat_map(|entity| &entity.queue);
        queue.copied().filter(|id| {
            self.messages.get(id).is_some_and(|message| message.source == Source::Copying)
        })
    }

    /// A page came of what is held up and stands behind all that is in memory: it is copied, and then
    /// left in the store again. Where nothing holds it up any more, it is read in its turn.
    pub(super) fn take_copies(
        &mut self,
        now: Timestamp,
        reading: &Reading,
        page: OpenPage,
        out: &mut Vec<Effect<W>>,
    ) {
        let Some(address) = reading.of() else { return };
        if self.is_held(address) {
            let copied = reading.next(&page).unwrap_or(LAST);
            for row in page.messages {
                let id = row.envelope.message_id;
                if !self.holds(id) && !reading.is_gone(id) {
                    self.recover_one(now, row, Source::Copying, out);
                }
            }
            self.backlog.set_copied(address, copied);
        }
        self.schedule(address, now, out);
    }

    /// What was read to be copied, and is, leaves memory, unless somebody waits for it.
    pub(super) fn leave_copied(&mut self, message_id: MessageId) {
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        if message.source != Source::Copying {
            return;
        }
        let is_free = self.gate == Gate::Open
            && message.phase == Phase::Queued
            && message.end.is_none()
            && message.waiting.is_empty()
            && message.stream.readers.is_empty();
        if !is_free {
            self.backlog.count(message.source, false);
            message.source = Source::Caller;
            return;
        }
        let address = message.envelope.address.clone();
        self.release(message_id);
        if let Some(entity) = self.entities.get_mut(&address) {
            entity.left += 1;
        }
    }

    /// Whether a quarantined message is known to hold up the entity.
    pub(super) fn is_held(&self, address: &Address) -> bool {
        let entity = self.entities.get(address);
        entity.is_some_and(|entity| entity.is_held(self.limits.of(&address.entity_type)))
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
