//! `POST /v1/messages:batch`: many messages in one request, each answered by itself.

use std::{collections::BTreeMap, time::Duration};

use axum::{Extension, Json, extract::State, http::Uri};
use bytes::Bytes;
use quarry_types::{
    Address, Answer, Callers, Delivery, Due, Envelope, IdempotencyKey, Keep, KeyOrigin, Outcome,
    RefusalCode, ReplyMode,
    batch::{Batch, BatchAnswer, BatchAnswers, BatchMessage},
};

use crate::{
    Code, Gateway, Problem,
    dispatch::due_of,
    messages::{Raw, raw},
    placement::address,
    request::{JsonBody, Query, decode, method},
    send::delivery,
    time,
    trace::Trace,
};

/// Messages of one batch.
const MOST: usize = 1_000;
/// Replies that one answer carries; a reply beyond is to be fetched by the message's id.
const REPLY_BYTES: usize = 16 * 1024 * 1024;
const PATH: &str = "/v1/messages:batch";

/// Sends the messages: those to one entity in their order, those to several at the same time.
pub(crate) async fn send(
    State(gateway): State<Gateway>,
    Extension(trace): Extension<Trace>,
    uri: Uri,
    JsonBody(body): JsonBody,
) -> Result<Json<BatchAnswers<Raw>>, Problem> {
    let query = Query::parse(uri.query(), &["timeout"])?;
    let config = gateway.config();
    let timeout = query.duration("timeout", config.longest_timeout)?;
    let timeout = timeout.unwrap_or(config.call_timeout);
    let Batch { messages } = decode::<Batch<Raw>>(&body)?;
    if messages.is_empty() || messages.len() > MOST {
        let detail = format!("a batch has 1 to {MOST} messages; this has {}", messages.len());
        return Err(Problem::new(Code::InvalidBody, detail).field("messages"));
    }
    let mut told = BTreeMap::new();
    let mut by_entity: BTreeMap<Address, Vec<Placed>> = BTreeMap::new();
    for (place, message) in messages.iter().enumerate() {
        match envelope(&gateway, &trace, message) {
            Ok((envelope, delivery)) => {
                let placed = by_entity.entry(envelope.address.clone()).or_default();
                placed.push(Placed { place, envelope, delivery });
            }
            Err(problem) => drop(told.insert(place, Told::refused(problem))),
        }
    }
    let calls = by_entity.into_values().map(|placed| call(&gateway, placed, timeout));
    told.extend(futures_util::future::join_all(calls).await.into_iter().flatten());
    let mut room = REPLY_BYTES;
    let answers = told.into_values().map(|told| told.document(&trace, &mut room)).collect();
    Ok(Json(BatchAnswers { answers }))
}

/// A message and its place in the batch.
struct Placed {
    place: usize,
    envelope: Envelope,
    delivery: Delivery,
}

/// What became of one message.
struct Told {
    key: Option<IdempotencyKey>,
    reply: ReplyMode,
    /// Whether its outcome can be fetched later.
    is_stored: bool,
    result: Result<Answer, Problem>,
}

/// Sends messages that are to one entity.
async fn call(gateway: &Gateway, placed: Vec<Placed>, timeout: Duration) -> Vec<(usize, Told)> {
    let (mut told, mut envelopes) = (Vec::new(), Vec::new());
    for Placed { place, envelope, delivery } in placed {
        told.push((place, envelope.key.clone(), envelope.reply, delivery));
        envelopes.push(envelope);
    }
    let results = gateway.node().call_in_order(envelopes, timeout).await;
    let told = told.into_iter().zip(results);
    told.map(|((place, key, reply, delivery), result)| {
        let result = result.map_err(|error| of_message(error.into()));
        let is_stored = delivery == Delivery::Durable;
        (place, Told { key: Some(key), reply, is_stored, result })
    })
    .collect()
}

/// One message of the batch, checked.
fn envelope(
    gateway: &Gateway,
    trace: &Trace,
    message: &Raw,
) -> Result<(Envelope, Delivery), Problem> {
    let message: BatchMessage<Raw> = decode(message.get().as_bytes())?;
    let Some((entity_type, id)) = message.entity.split_once('/') else {
        let detail = format!("{:?} is no entity: write it as Type/id", message.entity);
        return Err(Problem::new(Code::InvalidName, detail).field("entity"));
    };
    let address = address(gateway, entity_type, id).map_err(of_message)?;
    let method = method(&message.method)?;
    let delivery = delivery(gateway, &address, &method)?;
    let due = due(gateway, &message)?;
    let is_stored = message.is_async || due != Due::Now || message.is_discarded;
    if is_stored && delivery != Delivery::Durable {
        let detail = "this method stores nothing, so that no answer can be fetched later";
        let field = match () {
            () if message.is_async => "async",
            () if due != Due::Now => "delay",
            () => "discard",
        };
        return Err(Problem::new(Code::NotDurable, detail).field(field));
    }
    let node = gateway.node();
    let (key, key_origin) = match message.key {
        Some(key) => (parse_key(&key)?, KeyOrigin::Client),
        None => (node.new_key(), KeyOrigin::Gateway),
    };
    let payload =
        message.payload.map(|payload| Bytes::from(Box::<str>::from(payload).into_string()));
    let envelope = Envelope {
        message_id: node.new_message_id(&address),
        address,
        method,
        payload: payload.unwrap_or_default(),
        key,
        key_origin,
        send_count: message.send_count,
        reply: if is_stored { ReplyMode::Accepted } else { ReplyMode::Outcome },
        due,
        keep: if message.is_discarded { Keep::Key } else { Keep::Everything },
        trace_parent: Some(trace.parent()),
        callers: Callers::none(),
    };
    Ok((envelope, delivery))
}

/// When it is to be handled.
fn due(gateway: &Gateway, message: &BatchMessage<Raw>) -> Result<Due, Problem> {
    let invalid = |field: &str, reason: &str| {
        Problem::new(Code::InvalidBody, format!("{field}: {reason}")).field(field)
    };
    let delay = message.delay.as_deref().map(|text| {
        let delay = time::duration(text).filter(|delay| *delay <= Due::LONGEST);
        delay.ok_or_else(|| invalid("delay", "write 250ms, 5s or 2m, at most 366 days"))
    });
    let at = message.deliver_at.as_deref().map(|text| {
        let at = time::timestamp(text);
        at.ok_or_else(|| invalid("deliverAt", "is no time; write 2026-11-21T02:34:06Z"))
    });
    let (delay, at) = (delay.transpose()?, at.transpose()?);
    due_of(delay, at, gateway.host().clock.wall()).map_err(|reason| invalid("deliverAt", &reason))
}

fn parse_key(key: &str) -> Result<IdempotencyKey, Problem> {
    IdempotencyKey::new(key).map_err(|error| {
        Problem::new(Code::InvalidBody, format!("the key: {}", error.rule)).field("key")
    })
}

/// The same problem, with the member of a message at fault in place of the part of a request.
fn of_message(problem: Problem) -> Problem {
    let field = match problem.named() {
        Some("type" | "id") => "entity".to_owned(),
        Some("method") => "method".to_owned(),
        Some("Idempotency-Key") => "key".to_owned(),
        Some("body") => "payload".to_owned(),
        Some(member) => format!("payload.{member}"),
        None => return problem,
    };
    problem.field(field)
}

impl Told {
    const fn refused(problem: Problem) -> Self {
        Self { key: None, reply: ReplyMode::Outcome, is_stored: false, result: Err(problem) }
    }

    /// The answer, with a reply that takes of `room` what it needs.
    fn document(self, trace: &Trace, room: &mut usize) -> BatchAnswer<Raw> {
        let (message_id, outcome, replayed) = match self.result {
            Err(problem) => return failed(self.key, problem, trace),
            Ok(Answer::Accepted { message_id, replayed }) => (message_id, None, replayed),
            Ok(Answer::Handled { message_id, outcome, replayed }) => {
                let is_wanted = self.reply == ReplyMode::Outcome;
                (message_id, is_wanted.then_some(outcome), replayed)
            }
        };
        let done = |status, reply| BatchAnswer {
            status,
            message_id: Some(message_id.to_string()),
            key: self.key.as_ref().map(ToString::to_string),
            replayed,
            reply,
            problem: None,
        };
        match outcome {
            None => done(202, None),
            Some(Outcome::Success(reply)) => match room.checked_sub(reply.len()) {
                Some(left) => {
                    *room = left;
                    done(200, Some(raw(&reply)))
                }
                None if self.is_stored => done(202, None),
                None => {
                    let detail = "the replies of the batch are too large; ask for this one alone";
                    let problem = Problem::new(Code::Refused(RefusalCode::TooLarge), detail);
                    failed(self.key, problem, trace)
                }
            },
            Some(Outcome::Failure(failure)) => {
                let problem = Problem::failed(failure, message_id);
                BatchAnswer { replayed, ..failed(self.key, problem, trace) }
            }
        }
    }
}

fn failed(key: Option<IdempotencyKey>, problem: Problem, trace: &Trace) -> BatchAnswer<Raw> {
    let status = problem.code().status().as_u16();
    let problem = problem.document(trace, PATH);
    BatchAnswer {
        status,
        message_id: problem.message_id.clone(),
        key: key.map(|key| key.to_string()),
        replayed: false,
        reply: None,
        problem: Some(problem),
    }
}
