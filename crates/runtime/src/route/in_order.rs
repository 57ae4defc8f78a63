//! Several messages to one owner, admitted in their order.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use quarry_ports::Host;
use quarry_types::{
    Answer, CallError, Delivery, Envelope, Monotonic, NodeId, Outcome, Refusal, RefusalCode,
    UnknownCode,
};
use tokio::sync::oneshot;

use super::{
    ONE_TRY,
    answer::{elsewhere, in_hand_at_deadline, refused, unknown},
    owner::{Spot, Way},
    tries::{Pause, Tries},
};
use crate::{
    Node,
    inbox::{Ask, Call, Inbox, Waiter},
    node::Inner,
    wire::{Request, Response},
};

/// Payloads that are handed over at a time: well within a frame between nodes.
const GROUP_BYTES: usize = 4 * 1024 * 1024;
/// Replies that one frame carries beside its first.
const REPLY_BYTES: usize = 4 * 1024 * 1024;

type Calls = Vec<(Envelope, Delivery)>;
pub(super) type Answers = Vec<Result<Answer, CallError>>;

impl Node {
    /// Routes messages that are all to one entity and waits, at most for `timeout`, for what each
    /// is to be answered; the answers are in their order. Durable ones are admitted in their order,
    /// also where some of them have to be sent again, and share commits; reads are made once what
    /// stands before them is answered.
    pub async fn call_in_order(&self, envelopes: Vec<Envelope>, timeout: Duration) -> Answers {
        let inner = &self.0;
        let deadline = inner.ports.host.now().after(timeout);
        let mut answers = Answers::with_capacity(envelopes.len());
        let mut run: Calls = Vec::new();
        for envelope in envelopes {
            match inner.check(&envelope) {
                Ok(delivery) => {
                    if run.first().is_some_and(|(_, before)| *before != delivery) {
                        answers.extend(inner.route_run(std::mem::take(&mut run), deadline).await);
                    }
                    run.push((envelope, delivery));
                }
                Err(refusal) => {
                    answers.extend(inner.route_run(std::mem::take(&mut run), deadline).await);
                    let refused = Err(CallError::Refused(refusal));
                    inner.count(&envelope.address.entity_type, &refused);
                    answers.push(refused);
                }
            }
        }
        answers.extend(inner.route_run(run, deadline).await);
        answers
    }
}

impl Inner {
    /// Routes messages that are delivered in one way.
    async fn route_run(&self, run: Calls, deadline: Monotonic) -> Answers {
        let Some((first, delivery)) = run.first() else { return Answers::new() };
        let (entity_type, delivery) = (first.address.entity_type.clone(), *delivery);
        let count = run.len();
        let permits = u32::try_from(count).ok();
        let permits = permits.and_then(|count| self.calls.try_acquire_many(count).ok());
        let answers = if permits.is_none() {
            vec![Err(self.too_many_calls()); count]
        } else if delivery == Delivery::Durable {
            let mut answers = Answers::with_capacity(count);
            for group in groups(run) {
                answers.extend(self.route_group(group, deadline).await);
            }
            answers
        } else {
            let left = deadline.since(self.ports.host.now());
            let reads = run.into_iter().map(|(read, delivery)| self.route(read, delivery, left));
            futures_util::future::join_all(reads).await
        };
        for answer in &answers {
            self.count(&entity_type, answer);
        }
        answers
    }

    /// Routes durable messages together until each is answered, refused for good, or `deadline`.
    async fn route_group(&self, group: Calls, deadline: Monotonic) -> Answers {
        let mut answers = BTreeMap::new();
        let mut open: Vec<(usize, Tries)> = group
            .into_iter()
            .map(|(envelope, delivery)| Tries::new(envelope, delivery))
            .enumerate()
            .collect();
        let mut pause = Pause::new(self);
        loop {
            let results = self.try_group(&open, deadline).await;
            let mut left = Vec::new();
            for ((place, mut tries), result) in open.into_iter().zip(results) {
                match tries.take(result) {
                    Some(answer) => drop(answers.insert(place, answer)),
                    None => left.push((place, tries)),
                }
            }
            open = left;
            if open.is_empty() || !pause.before(deadline).await {
                break;
            }
        }
        answers.extend(open.into_iter().map(|(place, tries)| (place, Err(tries.over()))));
        answers.into_values().collect()
    }

    /// One try with all of them, which are to one shard; as many results.
    pub(super) async fn try_group(&self, open: &[(usize, Tries)], deadline: Monotonic) -> Answers {
        let Some((_, first)) = open.first() else { return Answers::new() };
        let left = deadline.since(self.ports.host.now());
        let whole = match self.way_to(&first.envelope.address) {
            Err(error) => Err(error),
            Ok((spot, Way::Here(inbox))) => {
                let calls = open.iter().map(|(_, tries)| {
                    let own = self.spot_of(&tries.envelope.address);
                    let is_there = own.is_some_and(|own| own.space == spot.space);
                    let refused = || Err(elsewhere(self.epoch_of(own)));
                    let checked = if is_there { Ok(tries.delivery) } else { refused() };
                    (Arc::new(tries.envelope.clone()), checked)
                });
                match self.hand_over(spot, &inbox, calls.collect()) {
                    Ok(handed) => Ok(handed.gather(&self.ports.host, deadline).await),
                    Err(error) => Err(error),
                }
            }
            Ok((spot, Way::There(node))) => {
                self.ask_group((spot, node), open, left.min(ONE_TRY)).await
            }
        };
        whole.unwrap_or_else(|error| {
            let of = |(_, tries): &(usize, Tries)| Err(of_message(&error, &tries.envelope));
            open.iter().map(of).collect()
        })
    }

    async fn ask_group(
        &self,
        owner: (Spot, NodeId),
        open: &[(usize, Tries)],
        within: Duration,
    ) -> Result<Answers, CallError> {
        let Some((_, first)) = open.first() else { return Ok(Answers::new()) };
        let message_id = first.envelope.message_id;
        let envelopes = open.iter().map(|(_, tries)| tries.envelope.clone()).collect();
        // The owner answers a little earlier, so that what is answered by then is heard.
        let milliseconds = u64::try_from((within * 9 / 10).as_millis()).unwrap_or(u64::MAX);
        let request = Request::CallInOrder(envelopes, milliseconds);
        match self.ask_owner(owner, &request, within, message_id).await? {
            Response::CallsInOrder(answers) if answers.len() == open.len() => Ok(answers),
            Response::CallsInOrder(_) => {
                let garbled = "the owner's reply is of another length";
                Err(unknown(UnknownCode::LinkLost, garbled, message_id))
            }
            Response::Call(Err(error)) => Err(error),
            Response::Call(Ok(_)) | Response::NotHere | Response::Readable => {
                Err(refused(RefusalCode::NoOwner, "the node does not own the shard".to_owned()))
            }
        }
    }
}

/// What was said of a group, said of one of its messages.
fn of_message(error: &CallError, envelope: &Envelope) -> CallError {
    match error {
        CallError::Unknown(said) => unknown(said.code, &said.message, envelope.message_id),
        CallError::Refused(refusal) => CallError::Refused(refusal.clone()),
    }
}

/// Parts of `run`, none of which is larger than fits into a frame.
fn groups(run: Calls) -> Vec<Calls> {
    let mut groups: Vec<Calls> = Vec::new();
    let mut bytes = GROUP_BYTES;
    for call in run {
        bytes = bytes.saturating_add(call.0.payload.len());
        match groups.last_mut() {
            Some(group) if bytes <= GROUP_BYTES => group.push(call),
            _ => {
                bytes = call.0.payload.len();
                groups.push(vec![call]);
            }
        }
    }
    groups
}

/// Messages that the shard's task has in hand, or that were refused before.
pub(super) struct HandedOver(Vec<(Arc<Envelope>, InHand)>);

type InHand = Result<(Delivery, oneshot::Receiver<Response>), Refusal>;

impl Inner {
    /// Hands messages to the task of the shard at `spot`, to be admitted in one turn, but for those that
    /// are refused.
    pub(super) fn hand_over(
        &self,
        spot: Spot,
        inbox: &Inbox,
        calls: Vec<(Arc<Envelope>, Result<Delivery, Refusal>)>,
    ) -> Result<HandedOver, CallError> {
        let (mut asked, mut handed) = (Vec::new(), Vec::new());
        for (envelope, checked) in calls {
            let in_hand = checked.map(|delivery| {
                let (sender, receiver) = oneshot::channel();
                let (envelope, waiter) = (Arc::clone(&envelope), Waiter::Here(sender));
                asked.push(Call { envelope, delivery, waiter });
                (delivery, receiver)
            });
            handed.push((envelope, in_hand));
        }
        self.push(spot, inbox, Ask::CallInOrder(asked))?;
        Ok(HandedOver(handed))
    }
}

impl HandedOver {
    /// What each is answered; *unknown* for those that are not answered at `deadline`.
    pub(super) async fn gather(self, host: &Host, deadline: Monotonic) -> Answers {
        let mut answers = Answers::with_capacity(self.0.len());
        for (envelope, in_hand) in self.0 {
            let message_id = envelope.message_id;
            // Where no time is left, what is answered already is still taken.
            let left = deadline.since(host.now());
            answers.push(match in_hand {
                Err(refusal) => Err(CallError::Refused(refusal)),
                Ok((delivery, answered)) => match tokio::time::timeout(left, answered).await {
                    Ok(Ok(Response::Call(result))) => result,
                    Ok(_) => {
                        Err(unknown(UnknownCode::OwnerLost, "the shard's task ended", message_id))
                    }
                    Err(_) => Err(in_hand_at_deadline(delivery, message_id)),
                },
            });
        }
        answers
    }
}

/// Leaves out of a reply to another node what does not fit into a frame: its outcome is stored, so
/// that the sender, who asks again, gets it. The first always fits.
pub(super) fn fit(answers: &mut Answers, envelopes: &[Arc<Envelope>]) {
    let mut bytes = 0_usize;
    for ((place, answer), envelope) in answers.iter_mut().enumerate().zip(envelopes) {
        let Ok(Answer::Handled { outcome: Outcome::Success(reply), .. }) = answer else { continue };
        bytes = bytes.saturating_add(reply.len());
        if place > 0 && bytes > REPLY_BYTES {
            let reason = "the reply did not fit beside those before it";
            *answer = Err(unknown(UnknownCode::LinkLost, reason, envelope.message_id));
        }
    }
}
