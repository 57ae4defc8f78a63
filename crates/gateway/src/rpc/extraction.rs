//! Extractions: begun, and their end waited for.

use std::time::Duration;

use quarry_extract::Submission;
use quarry_ports::MessageState;
use quarry_types::{Address, Answer, CallError, MessageId, Monotonic, Outcome};
use serde::Serialize;
use serde_json::{Value, value::RawValue};

use super::{
    arguments::{self, Extract},
    fault::{ErrorTag, Fault},
};
use crate::{
    Gateway, Problem,
    dispatch::{Terms, dispatch},
    extractions::{self, EXTRACT},
    trace::Trace,
};

/// JSON as it was written elsewhere.
pub(super) type Raw = Box<RawValue>;

/// A call of an extraction, checked.
pub(super) struct Asked {
    pub(super) submission: Submission,
    pub(super) address: Address,
    pub(super) deadline: Monotonic,
}

impl Asked {
    /// Checks all that can be wrong with a call before anything is stored.
    pub(super) async fn parse(
        gateway: &Gateway,
        trace: &Trace,
        payload: Value,
    ) -> Result<Self, Fault> {
        let Extract { mut submission, timeout } = arguments::extract(gateway, payload)?;
        let deadline = gateway.host().now().after(timeout);
        let address = extractions::addressee(gateway, trace, &mut submission).await?;
        Ok(Self { submission, address, deadline })
    }

    /// How long its caller still waits.
    pub(super) fn left(&self, gateway: &Gateway) -> Duration {
        self.deadline.since(gateway.host().now())
    }
}

/// Has the submission stored before anybody waits for it: whoever asks meanwhile sees it, and a
/// caller that goes away does not stop it.
pub(super) async fn begin(
    gateway: &Gateway,
    trace: &Trace,
    asked: &Asked,
) -> Result<MessageId, Fault> {
    let method = extractions::method(EXTRACT)?;
    let (address, payload) = (asked.address.clone(), json(&asked.submission)?);
    let terms = Terms::of_stored(asked.left(gateway));
    let (_, answer) = dispatch(gateway, trace, address, method, payload.into(), terms).await;
    match answer {
        Ok(Answer::Accepted { message_id, .. } | Answer::Handled { message_id, .. }) => {
            Ok(message_id)
        }
        Err(CallError::Refused(refusal)) => Err(Problem::from(refusal).into()),
        Err(CallError::Unknown(unknown)) => Err(Problem::from(unknown).into()),
    }
}

/// The graph that a stored message ends with, waited for.
pub(super) async fn end(
    gateway: &Gateway,
    message_id: MessageId,
    wait: Duration,
) -> Result<Raw, Fault> {
    let record = gateway.node().await_message(message_id, wait).await.map_err(Problem::from)?;
    match record.map(|record| record.state) {
        Some(MessageState::Finished { outcome: Outcome::Success(graph), .. }) => raw(&graph),
        Some(MessageState::Finished { outcome: Outcome::Failure(failure), .. }) => {
            Err(failure.into())
        }
        Some(MessageState::Open { .. }) => {
            let message = format!("message {message_id} is not finished; ask for its status later");
            Err(Fault::typed(ErrorTag::TimeoutError, message))
        }
        Some(MessageState::Quarantined { errors, .. }) => {
            let error = errors.last().map_or("", String::as_str);
            let message = format!("message {message_id} is set aside for an operator: {error}");
            Err(Fault::typed(ErrorTag::IncompleteResult, message))
        }
        None => Err(Fault::typed(ErrorTag::NoResult, "the message is past its retention")),
    }
}

/// A value of ours as JSON.
pub(super) fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(value)
        .map_err(|error| Fault::typed(ErrorTag::IncompleteResult, error.to_string()))
}

/// JSON that is passed on as it is.
pub(super) fn raw(json: &[u8]) -> Result<Raw, Fault> {
    serde_json::from_slice(json)
        .map_err(|error| Fault::typed(ErrorTag::IncompleteResult, error.to_string()))
}
