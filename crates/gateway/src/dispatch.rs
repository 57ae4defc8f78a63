//! A message on its way from a request to the runtime, and back as an answer.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use quarry_types::{
    Address, Answer, CallError, Callers, Delivery, Due, Envelope, IdempotencyKey, Keep, KeyOrigin,
    MessageId, Method, Outcome, ReplyMode, Timestamp, UnknownCode, api,
};

use crate::{
    Code, Gateway, Problem,
    request::{IDEMPOTENCY_KEY, Query, SendHeaders, accepts_json},
    stream::Form,
    trace::Trace,
};

const MESSAGE_ID: HeaderName = HeaderName::from_static("quarry-message-id");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The parameters of a message; it may be delayed or discarded where the route has those of
/// [`ANY`].
pub(crate) const SENDING: &[&str] = &["async", "timeout"];
pub(crate) const ANY: &[&str] = &["async", "delay", "deliver_at", "discard", "timeout"];

/// How the client wants a message to be treated: what its headers and parameters say.
pub(crate) struct Terms {
    headers: SendHeaders,
    reply: ReplyMode,
    due: Due,
    keep: Keep,
    timeout: Duration,
    /// Whether the client chose how long it waits.
    is_timed: bool,
    /// Whether the outcome is to be told behind the chunks of the reply.
    stream: Option<Form>,
}

impl Terms {
    /// Parses headers and parameters (of `names`) of a message that is delivered by `delivery`.
    pub(crate) fn parse(
        gateway: &Gateway,
        headers: &HeaderMap,
        uri: &Uri,
        names: &[&str],
        delivery: Delivery,
    ) -> Result<Self, Problem> {
        let form = Form::of_answer(headers);
        let durable = matches!(delivery, Delivery::Durable);
        // What stores nothing has no stream.
        let streams = durable && form != Form::Whole;
        if !streams {
            accepts_json(headers)?;
        }
        let headers = SendHeaders::parse(headers)?;
        let query = Query::parse(uri.query(), names)?;
        let config = gateway.config();
        let timeout = query.duration("timeout", config.longest_timeout)?;
        let due = due(&query, gateway.node().ports().host.clock.wall())?;
        let demanded = query.flag("async")?.then_some("async");
        let demanded = demanded.or((due != Due::Now).then_some("delay"));
        let keep = if query.flag("discard")? { Keep::Key } else { Keep::Everything };
        let demanded = demanded.or((keep == Keep::Key).then_some("discard"));
        if let Some(demanded) = demanded.filter(|_| !durable) {
            let detail = "this method stores nothing, so that no answer can be fetched later";
            return Err(Problem::new(Code::NotDurable, detail).field(demanded));
        }
        // A preference may be passed over; a parameter may not.
        let accepted = demanded.is_some() || (headers.respond_async && durable);
        let stream = (streams && !accepted).then_some(form);
        let stored = accepted || stream.is_some();
        let reply = if stored { ReplyMode::Accepted } else { ReplyMode::Outcome };
        let is_timed = timeout.is_some();
        let timeout = timeout.unwrap_or(config.call_timeout);
        Ok(Self { headers, reply, due, keep, timeout, is_timed, stream })
    }

    /// Has the client wait for at least `wait`, unless it chose a time itself.
    pub(crate) fn wait_at_least(&mut self, gateway: &Gateway, wait: Duration) {
        if !self.is_timed {
            self.timeout = self.timeout.max(wait).min(gateway.config().longest_timeout);
        }
    }

    /// How the chunks of the reply are to be told.
    pub(crate) fn stream(&self) -> Option<Form> {
        self.stream
    }

    /// Whether the client chose the key.
    pub(crate) fn is_keyed(&self) -> bool {
        self.headers.key.is_some()
    }

    /// Those of a change that is waited for: a key of the client's and its time are understood.
    pub(crate) fn of_change(
        gateway: &Gateway,
        headers: &HeaderMap,
        uri: &Uri,
    ) -> Result<Self, Problem> {
        accepts_json(headers)?;
        let headers = SendHeaders { respond_async: false, ..SendHeaders::parse(headers)? };
        let query = Query::parse(uri.query(), &["timeout"])?;
        let config = gateway.config();
        let timeout = query.duration("timeout", config.longest_timeout)?;
        let (is_timed, timeout) = (timeout.is_some(), timeout.unwrap_or(config.call_timeout));
        let (reply, due, keep) = (ReplyMode::Outcome, Due::Now, Keep::Everything);
        Ok(Self { headers, reply, due, keep, timeout, is_timed, stream: None })
    }

    /// Those of a message that the gateway has stored before it waits for the outcome.
    pub(crate) fn of_stored(timeout: Duration) -> Self {
        let headers = SendHeaders { key: None, send_count: 0, respond_async: true };
        Self {
            headers,
            reply: ReplyMode::Accepted,
            due: Due::Now,
            keep: Keep::Everything,
            timeout,
            is_timed: true,
            stream: None,
        }
    }

    /// Those of a read that the gateway makes by itself.
    pub(crate) fn of_read(gateway: &Gateway) -> Self {
        let headers = SendHeaders { key: None, send_count: 0, respond_async: false };
        let timeout = gateway.config().call_timeout;
        Self {
            headers,
            reply: ReplyMode::Outcome,
            due: Due::Now,
            keep: Keep::Everything,
            timeout,
            is_timed: false,
            stream: None,
        }
    }
}

/// When a message is to be handled: `delay` says after how long, `deliver_at` at what time.
fn due(query: &Query, now: Timestamp) -> Result<Due, Problem> {
    let delay = query.duration("delay", Due::LONGEST)?;
    let at = query.timestamp("deliver_at")?;
    due_of(delay, at, now).map_err(|reason| {
        let detail = format!("parameter deliver_at: {reason}");
        Problem::new(Code::InvalidParameter, detail).field("deliver_at")
    })
}

/// When a message is to be handled that gives a delay, or a time; or why it gives no time.
pub(crate) fn due_of(
    delay: Option<Duration>,
    at: Option<Timestamp>,
    now: Timestamp,
) -> Result<Due, String> {
    match (delay, at) {
        (Some(_), Some(_)) => Err("give it or a delay, not both".to_owned()),
        (Some(delay), None) => Ok(Due::After(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX))),
        (None, Some(at)) if at > now.after(Due::LONGEST) => {
            let days = Due::LONGEST.as_secs() / 86_400;
            Err(format!("may be at most {days} days from now"))
        }
        (None, Some(at)) => Ok(Due::At(at)),
        (None, None) => Ok(Due::Now),
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
        due: terms.due,
        keep: terms.keep,
        trace_parent: Some(trace.parent()),
        callers: Callers::none(),
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
            Err(error) => Err(self.problem(error)),
        }
    }

    /// The outcome of a message that was waited for, with the headers of the answer to it.
    pub(crate) fn outcome(
        &self,
        answer: Result<Answer, CallError>,
    ) -> Result<(Outcome, HeaderMap), Problem> {
        let mut headers = self.headers();
        match answer.map_err(|error| self.problem(error))? {
            Answer::Handled { message_id, outcome, replayed } => {
                mark(&mut headers, message_id, replayed);
                Ok((outcome, headers))
            }
            Answer::Accepted { message_id, .. } => {
                let detail = "the message was accepted, and its outcome is not known";
                let problem = Problem::new(Code::Unknown(UnknownCode::Deadline), detail);
                Err(problem.message_id(message_id).headers(headers))
            }
        }
    }

    fn problem(&self, error: CallError) -> Problem {
        let headers = self.headers();
        match error {
            CallError::Refused(refusal) => Problem::from(refusal).headers(headers),
            CallError::Unknown(unknown) => {
                let stored = unknown.message_id.or_else(|| self.own_id());
                let problem = Problem::from(unknown).headers(headers);
                match stored {
                    Some(message_id) => problem.message_id(message_id),
                    None => problem,
                }
            }
        }
    }

    /// The answer to a client that is told the chunks of the reply: `stream` makes it, once the
    /// message is stored. `location` is where the stream goes on if it is cut.
    pub(crate) async fn stream<F: Future<Output = Result<Response, Problem>>>(
        &self,
        answer: Result<Answer, CallError>,
        stream: impl FnOnce(MessageId) -> F,
        location: impl FnOnce(MessageId) -> String,
    ) -> Result<Response, Problem> {
        let Ok(
            Answer::Accepted { message_id, replayed }
            | Answer::Handled { message_id, replayed, .. },
        ) = answer
        else {
            return self.answer(answer);
        };
        let mut headers = self.headers();
        mark(&mut headers, message_id, replayed);
        let mut response = stream(message_id).await?;
        response.headers_mut().extend(headers);
        Ok(streamed(response, message_id, &location(message_id)))
    }

    /// The id of this envelope, where the message can be stored under no other: nobody has used a
    /// key that was made for this call.
    fn own_id(&self) -> Option<MessageId> {
        matches!(self.key_origin, KeyOrigin::Gateway).then_some(self.message_id)
    }
}

/// Adds to a stream whose it is, and where it goes on if it is cut.
pub(crate) fn streamed(mut response: Response, message_id: MessageId, location: &str) -> Response {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::try_from(message_id.to_string()) {
        headers.insert(MESSAGE_ID, id);
    }
    if let Ok(location) = HeaderValue::try_from(location) {
        headers.insert(header::LOCATION, location);
    }
    response
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
