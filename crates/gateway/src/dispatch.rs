//! A message on its way from a request to the runtime, and back as an answer.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use quarry_types::{
    Address, Answer, CallError, Delivery, Envelope, IdempotencyKey, KeyOrigin, MessageId, Method,
    Outcome, ReplyMode, api,
};

use crate::{
    Code, Gateway, Problem,
    request::{IDEMPOTENCY_KEY, Query, SendHeaders, accepts_json},
    trace::Trace,
};

const MESSAGE_ID: HeaderName = HeaderName::from_static("quarry-message-id");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// How the client wants a message to be treated: what its headers and parameters say.
pub(crate) struct Terms {
    headers: SendHeaders,
    reply: ReplyMode,
    timeout: Duration,
}

impl Terms {
    /// Parses headers and parameters of a message that is delivered by `delivery`.
    pub(crate) fn parse(
        gateway: &Gateway,
        headers: &HeaderMap,
        uri: &Uri,
        delivery: Delivery,
    ) -> Result<Self, Problem> {
        accepts_json(headers)?;
        let headers = SendHeaders::parse(headers)?;
        let query = Query::parse(uri.query(), &["async", "timeout"])?;
        let config = gateway.config();
        let timeout = query.duration("timeout", config.longest_timeout)?;
        let durable = matches!(delivery, Delivery::Durable);
        let demanded = query.flag("async")?;
        if demanded && !durable {
            let detail = "this method stores nothing, so that no answer can be fetched later";
            return Err(Problem::new(Code::NotDurable, detail).field("async"));
        }
        // A preference may be passed over; a parameter may not.
        let accepted = demanded || (headers.respond_async && durable);
        let reply = if accepted { ReplyMode::Accepted } else { ReplyMode::Outcome };
        Ok(Self { headers, reply, timeout: timeout.unwrap_or(config.call_timeout) })
    }

    /// Those of a message that the gateway has stored before it waits for the outcome.
    pub(crate) fn of_stored(timeout: Duration) -> Self {
        let headers = SendHeaders { key: None, send_count: 0, respond_async: true };
        Self { headers, reply: ReplyMode::Accepted, timeout }
    }

    /// Those of a read that the gateway makes by itself.
    pub(crate) fn of_read(gateway: &Gateway) -> Self {
        let headers = SendHeaders { key: None, send_count: 0, respond_async: false };
        Self { headers, reply: ReplyMode::Outcome, timeout: gateway.config().call_timeout }
    }
}

/// Hands the message to the runtime and waits for its answer.
pub(crate) async fn dispatch(
    gateway: &Gateway,
    trace: &Trace,
    address: Address,
    method: Method,
    payload: Bytes,
    terms: Terms,
) -> (Sent, Result<Answer, CallError>) {
    let node = gateway.node();
    let (key, key_origin) = match terms.headers.key {
        Some(key) => (key, KeyOrigin::Client),
        None => (node.new_key(), KeyOrigin::Gateway),
    };
    let envelope = Envelope {
        message_id: node.new_message_id(&address),
        address,
        method,
        payload,
        key,
        key_origin,
        send_count: terms.headers.send_count,
        reply: terms.reply,
        trace_parent: Some(trace.parent()),
    };
    let sent = Sent::of(&envelope);
    (sent, node.call(envelope, terms.timeout).await)
}

/// What is remembered of an envelope that is on its way.
pub(crate) struct Sent {
    message_id: MessageId,
    key: IdempotencyKey,
    key_origin: KeyOrigin,
    reply: ReplyMode,
}

impl Sent {
    fn of(envelope: &Envelope) -> Self {
        Self {
            message_id: envelope.message_id,
            key: envelope.key.clone(),
            key_origin: envelope.key_origin,
            reply: envelope.reply,
        }
    }

    /// The headers of every answer to the message: the key above all, with which it can be
    /// repeated.
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let key = HeaderValue::from_bytes(self.key.as_str().as_bytes());
        headers.extend(key.map(|key| (IDEMPOTENCY_KEY, key)));
        headers
    }

    /// The answer to the client.
    pub(crate) fn answer(&self, answer: Result<Answer, CallError>) -> Result<Response, Problem> {
        let mut headers = self.headers();
        match answer {
            Ok(Answer::Accepted { message_id, replayed }) => {
                Ok(accepted(headers, message_id, replayed))
            }
            Ok(Answer::Handled { message_id, replayed, .. })
                if self.reply == ReplyMode::Accepted =>
            {
                Ok(accepted(headers, message_id, replayed))
            }
            Ok(Answer::Handled { message_id, outcome, replayed }) => {
                mark(&mut headers, message_id, replayed);
                match outcome {
                    Outcome::Success(reply) => Ok((headers, json(reply)).into_response()),
                    Outcome::Failure(failure) => {
                        Err(Problem::failed(failure, message_id).headers(headers))
                    }
                }
            }
            Err(CallError::Refused(refusal)) => Err(Problem::from(refusal).headers(headers)),
            Err(CallError::Unknown(unknown)) => {
                let stored = unknown.message_id.or_else(|| self.own_id());
                let problem = Problem::from(unknown).headers(headers);
                Err(match stored {
                    Some(message_id) => problem.message_id(message_id),
                    None => problem,
                })
            }
        }
    }

    /// The id of this envelope, where the message can be stored under no other: nobody has used a
    /// key that was made for this call.
    fn own_id(&self) -> Option<MessageId> {
        matches!(self.key_origin, KeyOrigin::Gateway).then_some(self.message_id)
    }
}

fn mark(headers: &mut HeaderMap, message_id: MessageId, replayed: bool) {
    let id = HeaderValue::try_from(message_id.to_string());
    headers.extend(id.map(|id| (MESSAGE_ID, id)));
    if replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
}

/// The answer 202, also where the message turns out to be finished: its outcome is at `Location`.
fn accepted(mut headers: HeaderMap, message_id: MessageId, replayed: bool) -> Response {
    mark(&mut headers, message_id, replayed);
    let location = HeaderValue::try_from(format!("/v1/messages/{message_id}"));
    headers.extend(location.map(|location| (header::LOCATION, location)));
    headers.insert(PREFERENCE_APPLIED, HeaderValue::from_static("respond-async"));
    let body = api::Accepted { message_id: message_id.to_string(), replayed };
    (StatusCode::ACCEPTED, headers, Json(body)).into_response()
}

/// A handler's reply as it is; `null` where there is none.
fn json(reply: Bytes) -> impl IntoResponse {
    let body = if reply.is_empty() { Bytes::from_static(b"null") } else { reply };
    ([(header::CONTENT_TYPE, "application/json")], body)
}
