//! The procedures.

use bytes::Bytes;
use quarry_ports::MessageState;
use quarry_types::{Address, Answer, CallError, MessageId, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::{
    arguments::{self, Extract, Which},
    fault::{ErrorTag, Fault, TypedError},
};
use crate::{
    Gateway, Problem,
    dispatch::{Terms, dispatch},
    extractions::{self, EXTRACT},
    request::did_you_mean,
    trace::Trace,
};

/// JSON as it was written elsewhere.
pub(super) type Raw = Box<RawValue>;

/// A procedure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Procedure {
    /// Text and ontology in, knowledge graph out.
    Extract,
    /// How far an extraction is.
    GetStatus,
}

/// For how much of a procedure's work its caller waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// For its result.
    Result,
    /// For its being stored; the value is `null`.
    Stored,
}

/// How far an extraction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Progress {
    /// Nothing is stored under this name.
    NotFound,
    /// It waits for its turn.
    Pending,
    /// It was begun.
    Running,
    /// It is set aside for an operator.
    Suspended,
    /// There is a graph.
    Complete,
    /// It ended without a graph.
    Failed,
}

/// The answer of `extraction.getStatus`.
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub(crate) struct StatusAnswer<G> {
    /// How far it is.
    pub(crate) status: Progress,
    /// The graph, where it is complete.
    #[serde(default = "none::<G>", skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<G>,
    /// Why there is no graph, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<TypedError>,
}

fn none<T>() -> Option<T> {
    None
}

impl Procedure {
    /// Every procedure.
    pub(crate) const ALL: &[Self] = &[Self::Extract, Self::GetStatus];

    /// Its name in calls.
    pub(crate) const fn tag(self) -> &'static str {
        match self {
            Self::Extract => "extraction.extract",
            Self::GetStatus => "extraction.getStatus",
        }
    }

    /// The procedure of this name.
    ///
    /// # Errors
    /// A text that says what was meant or exists.
    pub(super) fn named(tag: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|procedure| procedure.tag() == tag);
        found.copied().ok_or_else(|| {
            let meant = did_you_mean(tag, Self::tags());
            let known: Vec<_> = Self::tags().collect();
            format!("there is no procedure {tag:?}{meant}; there are {}", known.join(", "))
        })
    }

    /// The names of all procedures.
    pub(super) fn tags() -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().map(|procedure| procedure.tag())
    }

    /// Runs the procedure with its payload.
    pub(super) async fn run(
        self,
        gateway: &Gateway,
        trace: &Trace,
        payload: Value,
        until: Until,
    ) -> Result<Raw, Fault> {
        match self {
            Self::Extract => extract(gateway, trace, payload, until).await,
            Self::GetStatus => get_status(gateway, trace, payload).await,
        }
    }
}

/// The submission is stored before anybody waits for it: whoever asks meanwhile sees it, and a
/// caller that goes away does not stop it.
async fn extract(
    gateway: &Gateway,
    trace: &Trace,
    payload: Value,
    until: Until,
) -> Result<Raw, Fault> {
    let Extract { submission, timeout } = arguments::extract(gateway, payload)?;
    let address = extractions::addressee(gateway, &submission)?;
    let deadline = gateway.host().now().after(timeout);
    let method = extractions::method(EXTRACT)?;
    let payload = json(&submission)?;
    let terms = Terms::of_stored(timeout);
    let (_, answer) = dispatch(gateway, trace, address, method, payload.into(), terms).await;
    let message_id = match answer {
        Ok(Answer::Accepted { message_id, .. }) => message_id,
        Ok(Answer::Handled { outcome, .. }) => return result(outcome),
        Err(CallError::Refused(refusal)) => return Err(Problem::from(refusal).into()),
        Err(CallError::Unknown(unknown)) => return Err(Problem::from(unknown).into()),
    };
    match until {
        Until::Stored => Ok(RawValue::NULL.to_owned()),
        Until::Result => outcome(gateway, message_id, deadline.since(gateway.host().now())).await,
    }
}

/// The outcome of a stored message, waited for.
async fn outcome(
    gateway: &Gateway,
    message_id: MessageId,
    wait: std::time::Duration,
) -> Result<Raw, Fault> {
    let record = gateway.node().await_message(message_id, wait).await.map_err(Problem::from)?;
    match record.map(|record| record.state) {
        Some(MessageState::Finished { outcome, .. }) => result(outcome),
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

fn result(outcome: Outcome) -> Result<Raw, Fault> {
    match outcome {
        Outcome::Success(graph) => raw(&graph),
        Outcome::Failure(failure) => Err(failure.into()),
    }
}

async fn get_status(gateway: &Gateway, trace: &Trace, payload: Value) -> Result<Raw, Fault> {
    let address = match arguments::which(gateway, payload)? {
        Which::Named(request_id) => extractions::submission_address(gateway, &request_id)?,
        Which::Of(submission) => extractions::addressee(gateway, &submission)?,
    };
    let status = status(gateway, trace, &address).await?;
    raw(&json(&status)?)
}

/// A stored graph is complete, whatever was asked for since; else the newest message tells.
async fn status(
    gateway: &Gateway,
    trace: &Trace,
    address: &Address,
) -> Result<StatusAnswer<Raw>, Fault> {
    let told = |status, result, error| StatusAnswer { status, result, error };
    if let Some(graph) = extractions::stored(gateway, trace, address).await? {
        return Ok(told(Progress::Complete, Some(raw(&graph)?), None));
    }
    let newest = extractions::newest(gateway, address).await?;
    Ok(match newest.map(|record| record.state) {
        None => told(Progress::NotFound, None, None),
        Some(MessageState::Open { attempts: 0, .. }) => told(Progress::Pending, None, None),
        Some(MessageState::Open { .. }) => told(Progress::Running, None, None),
        Some(MessageState::Quarantined { .. }) => told(Progress::Suspended, None, None),
        Some(MessageState::Finished { outcome: Outcome::Success(graph), .. }) => {
            told(Progress::Complete, Some(raw(&graph)?), None)
        }
        Some(MessageState::Finished { outcome: Outcome::Failure(failure), .. }) => {
            let error = match Fault::from(failure) {
                Fault::Typed(error) => error,
                Fault::Malformed(problem) => {
                    let message = problem.detail().to_owned();
                    TypedError { tag: ErrorTag::IncompleteResult, message }
                }
            };
            told(Progress::Failed, None, Some(error))
        }
    })
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(value)
        .map_err(|error| Fault::typed(ErrorTag::IncompleteResult, error.to_string()))
}

/// JSON that is passed on as it is.
fn raw(json: &[u8]) -> Result<Raw, Fault> {
    serde_json::from_slice(json)
        .map_err(|error| Fault::typed(ErrorTag::IncompleteResult, error.to_string()))
}

/// The bytes of what a procedure answers.
pub(super) fn bytes<T: Serialize>(value: &T) -> Bytes {
    // Texts, numbers and JSON that was read before: writing them cannot fail.
    serde_json::to_vec(value).unwrap_or_default().into()
}
