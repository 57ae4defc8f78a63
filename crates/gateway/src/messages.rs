//! `/v1/messages`: what became of messages.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::{HeaderName, HeaderValue, Uri, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use quarry_ports::{MessageRecord, MessageState, MessageStateKind};
use quarry_types::{MessageId, Outcome, Timestamp, api, stream::End};
use serde_json::value::RawValue;

use crate::{
    Code, Gateway, Problem,
    operate::{Texts, Wanted},
    request::{Cursors, NoBody, PathOf, Query},
    time::rfc3339,
};

pub(crate) const MESSAGE_ID: HeaderName = HeaderName::from_static("quarry-message-id");

/// A user's JSON as it was stored.
pub(crate) type Raw = Box<RawValue>;

const STATES: &[(&str, MessageStateKind)] = &[
    ("open", MessageStateKind::Open),
    ("delayed", MessageStateKind::Delayed),
    ("quarantined", MessageStateKind::Quarantined),
    ("finished", MessageStateKind::Finished),
];

/// State and outcome of a message; waits for its end where asked to.
pub(crate) async fn show(
    State(gateway): State<Gateway>,
    PathOf(id): PathOf<String>,
    uri: Uri,
    _: NoBody,
) -> Result<Response, Problem> {
    let query = Query::parse(uri.query(), &["wait"])?;
    let wait = query.duration("wait", gateway.config().longest_timeout)?;
    let message_id = self::id(&id)?;
    let record = find(&gateway, message_id, wait).await?;
    let mut document = document(&record);
    document.payload = Some(raw(&record.message.payload));
    if document.state == api::MessageStatus::Open {
        let first = gateway.node().held_up_by(&record.message.address).await?;
        document.held_up_by = first.map(|first| first.to_string());
    }
    document.edited = record.edited.as_ref().map(raw);
    Ok(([(MESSAGE_ID, message_id.to_string())], Json(document)).into_response())
}

/// What can be done to a message by `POST`, as a verb behind its id.
pub(crate) const VERBS: [&str; 2] = ["redrive", "drop"];

/// The message id in the path. A verb behind it is for another method.
pub(crate) fn id(text: &str) -> Result<MessageId, Problem> {
    if let Some((_, verb)) = text.rsplit_once(':')
        && VERBS.contains(&verb)
    {
        return Err(not_allowed(format!("{verb} is done by POST"), "POST"));
    }
    text.parse().map_err(|_| {
        let detail = format!("{text:?} is no message id: it is a UUID");
        Problem::new(Code::InvalidName, detail).field("mid")
    })
}

/// A path that has other methods.
pub(crate) fn not_allowed(detail: String, allowed: &'static str) -> Problem {
    let headers = [(header::ALLOW, HeaderValue::from_static(allowed))].into_iter().collect();
    Problem::new(Code::MethodNotAllowed, detail).headers(headers)
}

/// A message that is there; waits for its end where asked to.
pub(crate) async fn find(
    gateway: &Gateway,
    message_id: MessageId,
    wait: Option<Duration>,
) -> Result<MessageRecord, Problem> {
    let record = match wait {
        Some(wait) => gateway.node().await_message(message_id, wait.max(MINIMAL_WAIT)).await?,
        None => gateway.store().message(message_id).await?,
    };
    let record = record.filter(|record| record.message.address.tenant == *gateway.tenant());
    record.ok_or_else(|| {
        let detail = format!("there is no message {message_id}, or it is past its retention");
        Problem::new(Code::NoSuchMessage, detail).field("mid")
    })
}

/// A wait of zero still looks once.
const MINIMAL_WAIT: Duration = Duration::from_millis(1);

const PARAMETERS: &[&str] =
    &["state", "entity", "type", "before", "older_than", "error", "limit", "cursor"];

/// Lists messages, newest first.
pub(crate) async fn list(
    State(gateway): State<Gateway>,
    uri: Uri,
    _: NoBody,
) -> Result<Json<api::Page<api::Message<Raw>>>, Problem> {
    let query = Query::parse(uri.query(), PARAMETERS)?;
    let limit = query.limit()?;
    let state = query.choice("state", STATES)?;
    let texts = Texts {
        entity: query.text("entity"),
        entity_type: query.text("type"),
        before: query.text("before"),
        older_than: query.text("older_than"),
        error: query.text("error"),
    };
    let wanted = Wanted::parse(&gateway, state, &texts, |parameter, reason| {
        let detail = format!("parameter {parameter}: {reason}");
        Problem::new(Code::InvalidParameter, detail).field(parameter)
    })?;
    let cursors = Cursors::of(wanted.name(&texts));
    let cursor = query.text("cursor").map(|sealed| cursors.open(sealed)).transpose()?;
    let page = gateway.store().messages(wanted.filter.clone(), cursor, limit).await?;
    let next = page.next.map(|next| cursors.seal(&next));
    let fitting = page.items.iter().filter(|record| wanted.fits(record));
    Ok(Json(api::Page { items: fitting.map(document).collect(), next }))
}

fn document(record: &MessageRecord) -> api::Message<Raw> {
    let message = &record.message;
    let shown = api::Message {
        message_id: message.message_id.to_string(),
        entity_type: message.address.entity_type.to_string(),
        id: message.address.id.to_string(),
        method: message.method.to_string(),
        key: message.key.to_string(),
        state: api::MessageStatus::Open,
        attempts: 0,
        accepted_at: rfc3339(message.accepted_at),
        due: None,
        held_up_by: None,
        finished_at: None,
        errors: Vec::new(),
        outcome: None,
        payload: None,
        edited: None,
    };
    match &record.state {
        MessageState::Open { attempts, due, is_delayed, errors } => api::Message {
            state: if *is_delayed { api::MessageStatus::Delayed } else { api::MessageStatus::Open },
            attempts: *attempts,
            due: (*due > Timestamp(0)).then(|| rfc3339(*due)),
            errors: errors.clone(),
            ..shown
        },
        MessageState::Quarantined { attempts, errors } => api::Message {
            state: api::MessageStatus::Quarantined,
            attempts: *attempts,
            errors: errors.clone(),
            ..shown
        },
        MessageState::Finished { outcome, attempts, finished_at } => api::Message {
            state: api::MessageStatus::Finished,
            attempts: *attempts,
            finished_at: Some(rfc3339(*finished_at)),
            outcome: Some(ended(outcome)),
            ..shown
        },
    }
}

/// The end of a message's stream.
pub(crate) fn end(record: &MessageRecord) -> End<Raw> {
    let shown = document(record);
    End {
        message_id: shown.message_id,
        state: shown.state,
        outcome: shown.outcome,
        errors: shown.errors,
    }
}

pub(crate) fn ended(outcome: &Outcome) -> api::MessageOutcome<Raw> {
    match outcome {
        Outcome::Success(reply) => api::MessageOutcome::Success { reply: raw(reply) },
        Outcome::Failure(failure) => api::MessageOutcome::Failure {
            code: failure.code.clone(),
            message: failure.message.clone(),
        },
    }
}

/// Stored JSON as it is; `null` where there is none, or where what is stored is no JSON.
pub(crate) fn raw(json: &Bytes) -> Raw {
    serde_json::from_slice(json).unwrap_or_else(|_| RawValue::NULL.to_owned())
}
