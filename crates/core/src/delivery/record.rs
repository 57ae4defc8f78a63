//! What is durable before a handler begins, or before it does what cannot be undone.

use alloc::vec::Vec;

use quarry_types::Address;

use super::{
    Effect, RunId, Shard,
    attempts::Recorded,
    batch::{Change, Unit},
    entity::Running,
    message::{Acceptance, Phase},
    shard::Gate,
};

impl<W> Shard<W> {
    /// An entity's next message that may have been run before begins its attempt only after the
    /// attempt's number is committed: with its row where it has none yet. Not before the queries that it
    /// waits for have ended: waiting is no attempt.
    pub(super) fn record_front(&mut self, address: &Address) {
        let front = self.entities.get(address).and_then(|entity| entity.queue.front().copied());
        let Some(message_id) = front else { return };
        let Some(message) = self.messages.get(&message_id) else { return };
        let is_next = message.phase == Phase::Queued
            && message.end.is_none()
            && self.may_begin(message_id)
            && self.is_unhindered(message_id)
            && self.goes_on(address);
        // Two numbers of it are never on their way at once: a row has what is true when it is sent.
        let is_free = message.needs_recording && message.recorded == Recorded::None;
        if !is_next || !is_free || self.gate != Gate::Open || self.is_paused {
            return;
        }
        if !self.is_next_known(address) {
            return;
        }
        let Some(message) = self.messages.get_mut(&message_id) else { return };
        match message.acceptance {
            Acceptance::Pending => {}
            Acceptance::None => {
                message.phase = Phase::Recording;
                message.wants_acceptance = true;
                self.accept_wanted(address);
            }
            Acceptance::Stored(_) => {
                message.phase = Phase::Recording;
                message.begin_recorded();
                let (address, change) = (address.clone(), Change::Attempt);
                self.pending.push_back(Unit { message_id, address, is_accept: false, change });
            }
        }
    }

    /// Tells `waiter` once the running message's row and every state that its handler saw are
    /// durable: before that, no outside effect may be made. Gives the waiter back where the run is
    /// over.
    ///
    /// # Errors
    /// The waiter, unused.
    pub fn settle(
        &mut self,
        address: &Address,
        run: RunId,
        waiter: W,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), W> {
        let running = self.entities.get(address).and_then(|entity| entity.running.as_ref());
        let Some(Running::Command { run: present, message_id, .. }) = running else {
            return Err(waiter);
        };
        let message_id = *message_id;
        if *present != run {
            return Err(waiter);
        }
        let Some(message) = self.messages.get_mut(&message_id) else { return Err(waiter) };
        message.settling.push(waiter);
        message.wants_acceptance = true;
        self.accept_wanted(address);
        self.tell_settled(address, out);
        self.flush(out);
        Ok(())
    }

    pub(super) fn tell_settled(&mut self, address: &Address, out: &mut Vec<Effect<W>>) {
        let Some(entity) = self.entities.get(address).filter(|entity| entity.ahead.is_empty())
        else {
            return;
        };
        let Some(Running::Command { message_id, .. }) = &entity.running else {
            return;
        };
        let Some(message) = self.messages.get_mut(message_id) else { return };
        if matches!(message.acceptance, Acceptance::Stored(_)) {
            out.extend(core::mem::take(&mut message.settling).into_iter().map(Effect::Settled));
        }
    }
}
