//! The short form: one call, one answer, or the events of one.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, header},
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    arguments::decode,
    events::{Event, Events},
    extraction::Raw,
    fault::{ErrorTag, Fault, TypedError},
    procedure::{Answer, Procedure, Until, bytes},
};
use crate::{
    Code, Gateway, Problem,
    request::{accepts_events, accepts_json, accepts_lines},
    trace::Trace,
};

/// How often a stream of events says that it is alive.
const ALIVE: Duration = Duration::from_secs(15);

/// A call.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShortCall {
    /// The procedure.
    #[serde(rename = "_tag")]
    tag: String,
    /// Its argument.
    #[serde(default)]
    payload: Value,
}

/// How a call ended. `J` is how the value is held.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "_tag")]
pub(crate) enum ShortAnswer<J> {
    /// It succeeded.
    Success {
        /// What it answers.
        value: J,
    },
    /// It failed.
    Failure {
        /// Why.
        error: TypedError,
    },
}

/// A line of a stream: an event, or the failure that ends it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum ShortEvent<G> {
    /// What happened.
    Event(Event<G>),
    /// The last line of a stream that does not end with a graph.
    Failed {
        /// Always `failed`.
        #[serde(rename = "type")]
        kind: Failed,
        /// Why.
        error: TypedError,
    },
}

/// The type of a failure in a stream.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Failed {
    /// It.
    Failed,
}

/// Runs the call that `body` is.
pub(super) async fn answer(
    gateway: &Gateway,
    trace: &Trace,
    headers: &HeaderMap,
    body: Value,
) -> Result<Response, Problem> {
    let ShortCall { tag, payload } = decode("call", body).map_err(from_root)?;
    let procedure = Procedure::named(&tag).map_err(|detail| {
        Problem::new(Code::InvalidCall, detail).field("_tag").available(Procedure::tags())
    })?;
    match procedure {
        Procedure::StreamExtract if accepts_events(headers) || accepts_lines(headers) => {}
        _ => accepts_json(headers)?,
    }
    let answer = match procedure.run(gateway, trace, payload, Until::Result).await {
        Ok(Answer::Value(value)) => ShortAnswer::Success { value },
        Ok(Answer::Events(events)) if accepts_events(headers) => return Ok(server_sent(events)),
        Ok(Answer::Events(events)) => return Ok(lines(events)),
        Err(Fault::Typed(error)) => ShortAnswer::Failure { error },
        Err(Fault::Malformed(problem)) => return Err(problem),
    };
    Ok(([(header::CONTENT_TYPE, "application/json")], bytes(&answer)).into_response())
}

/// The events, the failure among them.
fn told(events: Events) -> impl Stream<Item = ShortEvent<Raw>> + Send {
    events.map(|event| match event {
        Ok(event) => ShortEvent::Event(event),
        Err(fault) => {
            let error = match fault {
                Fault::Typed(error) => error,
                Fault::Malformed(problem) => {
                    let message = problem.detail().to_owned();
                    TypedError { tag: ErrorTag::IncompleteResult, message }
                }
            };
            ShortEvent::Failed { kind: Failed::Failed, error }
        }
    })
}

fn lines(events: Events) -> Response {
    let lines = told(events)
        .map(|event| Ok::<_, Infallible>(Bytes::from([&*bytes(&event), b"\n"].concat())));
    let content_type = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (content_type, Body::from_stream(lines)).into_response()
}

fn server_sent(events: Events) -> Response {
    let events = told(events).enumerate().map(|(number, event)| {
        let data = bytes(&event);
        let data = String::from_utf8_lossy(&data);
        let sent = sse::Event::default().id(number.to_string()).event(event.name());
        Ok::<_, Infallible>(sent.data(data))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE)).into_response()
}

impl<G> ShortEvent<G> {
    fn name(&self) -> &'static str {
        match self {
            Self::Event(Event::Started { .. }) => "started",
            Self::Event(Event::Progress { .. }) => "progress",
            Self::Event(Event::Complete { .. }) => "complete",
            Self::Failed { .. } => "failed",
        }
    }
}

/// A path within the whole body begins with its first member.
fn from_root(problem: Problem) -> Problem {
    let field = problem.named().map(|field| match field.strip_prefix("call") {
        Some("") | None => "body".to_owned(),
        Some(rest) => rest.trim_start_matches('.').to_owned(),
    });
    match field {
        Some(field) => problem.field(field),
        None => problem,
    }
}
