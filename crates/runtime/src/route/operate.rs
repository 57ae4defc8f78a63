//! What operators do to messages, brought to their owners.

use std::time::Duration;

use quarry_ports::MessageRecord;
use quarry_types::{
    Answer, CallError, Intervention, MessageId, Monotonic, Outcome, RefusalCode, Space, Tenant,
    UnknownCode,
};
use tokio::sync::oneshot;

use super::{
    ONE_TRY,
    answer::{no_owner, refused, unknown},
    owner::{Spot, Way},
    tries::Pause,
};
use crate::{
    Node,
    inbox::{Ask, Waiter},
    node::Inner,
    wire::{Request, Response},
};

impl Node {
    /// Does `intervention` to a message of `tenant`, wherever it lives: [`Answer::Handled`] with the
    /// outcome that it was ended with, [`Answer::Accepted`] where it runs again. Doing the same again
    /// is answered in the same way, as replayed.
    ///
    /// # Errors
    /// [`CallError::Refused`] where it was surely not done: `no_such_message`, `already_finished`
    /// with another outcome, `not_quarantined`, or as any call. [`CallError::Unknown`] where it may
    /// have been: then ask again.
    pub async fn intervene(
        &self,
        tenant: &Tenant,
        message_id: MessageId,
        intervention: &Intervention,
        timeout: Duration,
    ) -> Result<Answer, CallError> {
        let inner = &self.0;
        let Ok(_permit) = inner.calls.try_acquire() else { return Err(inner.too_many_calls()) };
        let deadline = inner.ports.host.now().after(timeout);
        let mut pause = Pause::new(inner);
        let mut tries = Tries { message_id, intervention, maybe_done: None, last: None };
        loop {
            let result = inner.intervene_once(tenant, message_id, intervention, deadline).await;
            if let Some(result) = tries.take(result) {
                return result;
            }
            if !pause.before(deadline).await {
                return Err(tries.over());
            }
        }
    }
}

impl Inner {
    async fn intervene_once(
        &self,
        tenant: &Tenant,
        message_id: MessageId,
        intervention: &Intervention,
        deadline: Monotonic,
    ) -> Result<Answer, CallError> {
        let left = deadline.since(self.ports.host.now());
        let (tenant, intervention) = (tenant.clone(), intervention.clone());
        let what = format!("message {message_id}");
        let spot = self.spot_of_message(message_id).await?;
        let response = match self.way(spot, &what)? {
            Way::Here(inbox) => {
                let (sender, receiver) = oneshot::channel();
                let waiter = Waiter::Here(sender);
                self.push(
                    spot,
                    &inbox,
                    Ask::Intervene { message_id, tenant, intervention, waiter },
                )?;
                match tokio::time::timeout(left, receiver).await {
                    Ok(response) => response.map_err(|_| {
                        unknown(UnknownCode::OwnerLost, "the shard's task ended", message_id)
                    }),
                    Err(_) => {
                        Err(unknown(UnknownCode::Deadline, "it was not done in time", message_id))
                    }
                }
            }
            Way::There(node) => {
                let request = Request::Intervene(message_id, tenant, intervention);
                let request = request.within(spot.space);
                self.ask_owner((spot, node), &request, left.min(ONE_TRY), message_id).await
            }
        };
        match response? {
            Response::Call(result) => result,
            Response::NotHere | Response::Readable | Response::CallsInOrder(_) => {
                Err(CallError::Refused(no_owner(&what)))
            }
        }
    }
}

impl Inner {
    /// Where a message lives. Its id tells the slot; of which space, its type, where any is bound.
    async fn spot_of_message(&self, message_id: MessageId) -> Result<Spot, CallError> {
        let has_spaces = !self.ports.coordinator.view().borrow().bindings.groups.is_empty();
        let nowhere = Spot { space: Space::DEFAULT, slot: message_id.slot() };
        if !has_spaces {
            return Ok(nowhere);
        }
        let record = self.ports.store.message(message_id).await;
        let record = record.map_err(|error| refused(RefusalCode::NoOwner, error.to_string()))?;
        let of = |record: MessageRecord| self.spot_of_stored(message_id, &record.message.address);
        Ok(record.map_or(nowhere, of))
    }
}

/// One intervention over all its tries.
struct Tries<'a> {
    message_id: MessageId,
    intervention: &'a Intervention,
    /// What an earlier try that may have done it came to.
    maybe_done: Option<CallError>,
    last: Option<CallError>,
}

impl Tries<'_> {
    /// Takes what a try came to; the answer, where it is one for good.
    fn take(&mut self, result: Result<Answer, CallError>) -> Option<Result<Answer, CallError>> {
        let error = match result {
            Ok(answer) => return Some(self.answered(answer)),
            Err(error) => error,
        };
        match &error {
            // It was set aside meanwhile, where something else is done about it.
            CallError::Unknown(unknown) if unknown.code == UnknownCode::Quarantined => {}
            CallError::Unknown(_) => self.maybe_done = Some(error.clone()),
            CallError::Refused(refusal) if refusal.code.is_misrouted() => {}
            // One that found the message as it is tells what became of the tries before, too.
            CallError::Refused(refusal) => {
                let is_seen = matches!(
                    refusal.code,
                    RefusalCode::NoSuchMessage | RefusalCode::NotQuarantined
                );
                let earlier = self.maybe_done.take().filter(|_| !is_seen);
                return Some(Err(earlier.unwrap_or(error)));
            }
        }
        self.last = Some(error);
        None
    }

    /// A message that ended otherwise than it was to was not ended by this.
    fn answered(&mut self, answer: Answer) -> Result<Answer, CallError> {
        let wanted = self.intervention.failure().map(Outcome::Failure);
        let Answer::Handled { outcome, .. } = &answer else { return Ok(answer) };
        if wanted.as_ref() == Some(outcome) {
            return Ok(answer);
        }
        // A message that was let run again by an earlier try may have ended since.
        if let (None, Some(earlier)) = (&wanted, self.maybe_done.take()) {
            return Err(earlier);
        }
        let message = format!("message {} has finished: {}", self.message_id, how(outcome));
        Err(refused(RefusalCode::AlreadyFinished, message))
    }

    /// What is told where there is no time for another try.
    fn over(self) -> CallError {
        let none = || refused(RefusalCode::Deadline, "no time was left".to_owned());
        self.maybe_done.or(self.last).unwrap_or_else(none)
    }
}

fn how(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Success(_) => "it was handled".to_owned(),
        Outcome::Failure(failure) => failure.to_string(),
    }
}
