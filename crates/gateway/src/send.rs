//! `POST /v1/entities/{type}/{id}/{method}`: a message to an entity.

use std::time::Duration;

use axum::{
    Extension, Json,
    extract::{FromRequest, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use quarry_types::{
    Address, Answer, CallError, Delivery, Envelope, IdempotencyKey, KeyOrigin, MessageId, Method,
    Outcome, RefusalCode, ReplyMode, api,
};

use crate::{
    Code, Gateway, Problem,
    placement::address,
    request::{
        IDEMPOTENCY_KEY, JsonBody, PathOf, Query, SendHeaders, accepts_json, did_you_mean,
        method as parse_method,
    },
    trace::Trace,
};

const MESSAGE_ID: HeaderName = HeaderName::from_static("quarry-message-id");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// A message whose address, method, headers and parameters are checked; its body is not yet read.
struct Sending {
    address: Address,
    method: Method,
    headers: SendHeaders,
    reply: ReplyMode,
    timeout: Duration,
}

/// Sends the message and answers with what became of it.
pub(crate) async fn send(
    State(gateway): State<Gateway>,
    Extension(trace): Extension<Trace>,
    PathOf(path): PathOf<(String, String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let sending = Sending::parse(&gateway, &path, request.headers(), request.uri())?;
    let JsonBody(payload) = JsonBody::from_request(request, &gateway).await?;
    let timeout = sending.timeout;
    let envelope = sending.envelope(&gateway, payload, &trace);
    let sent = Sent::of(&envelope);
    let answer = gateway.node().call(envelope, timeout).await;
    sent.answer(answer)
}

impl Sending {
    fn parse(
        gateway: &Gateway,
        (entity_type, id, method): &(String, String, String),
        headers: &HeaderMap,
        uri: &Uri,
    ) -> Result<Self, Problem> {
        let address = address(gateway, entity_type, id)?;
        let method = parse_method(method)?;
        let delivery = delivery(gateway, &address, &method)?;
        accepts_json(headers)?;
        let headers = SendHeaders::parse(headers)?;
        let query = Query::parse(uri.query(), &["async", "timeout"])?;
        let config = gateway.config();
        let timeout = query.duration("timeout", config.longest_timeout)?;
        let durable = matches!(delivery, Delivery::Durable);
        let demanded = query.flag("async")?;
        if demanded && !durable {
            let detail = format!("{method} stores nothing, so that no answer can be fetched later");
            return Err(Problem::new(Code::NotDurable, detail).field("async"));
        }
        // A preference may be passed over; a parameter may not.
        let accepted = demanded || (headers.respond_async && durable);
        let reply = if accepted { ReplyMode::Accepted } else { ReplyMode::Outcome };
        let timeout = timeout.unwrap_or(config.call_timeout);
        Ok(Self { address, method, headers, reply, timeout })
    }

    fn envelope(self, gateway: &Gateway, payload: Bytes, trace: &Trace) -> Envelope {
        let node = gateway.node();
        let (key, key_origin) = match self.headers.key {
            Some(key) => (key, KeyOrigin::Client),
            None => (node.new_key(), KeyOrigin::Gateway),
        };
        Envelope {
            message_id: node.new_message_id(&self.address),
            address: self.address,
            method: self.method,
            payload,
            key,
            key_origin,
            send_count: self.headers.send_count,
            reply: self.reply,
            trace_parent: Some(trace.parent()),
        }
    }
}

/// How the method is delivered; refuses one that the type does not have.
fn delivery(gateway: &Gateway, address: &Address, method: &Method) -> Result<Delivery, Problem> {
    let spec = gateway.node().registry().get(&address.entity_type);
    let methods = spec.map(|spec| spec.methods).unwrap_or_default();
    let found = methods.iter().find(|spec| spec.name == method.as_str());
    found.map(|spec| spec.delivery).ok_or_else(|| {
        let names = || methods.iter().map(|spec| spec.name);
        let meant = did_you_mean(method.as_str(), names());
        let detail = format!("entity type {} has no method {method}{meant}", address.entity_type);
        let problem = Problem::new(Code::Refused(RefusalCode::UnknownMethod), detail);
        problem.field("method").available(names())
    })
}

/// What is remembered of an envelope that is on its way.
struct Sent {
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

    fn answer(&self, answer: Result<Answer, CallError>) -> Result<Response, Problem> {
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
