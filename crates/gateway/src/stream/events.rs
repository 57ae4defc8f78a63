//! `GET /v1/extractions/{id}/events`: what happens to an extraction.
//!
//! The chunks of the submission's message; where that begins to wait for its work, the chunks of
//! the work's message stand between, all of them, before the submission's next. So the order is
//! the same for every reader, and a position in it is a position in both messages.

use std::{
    collections::{BTreeMap, VecDeque},
    pin::pin,
    time::Duration,
};

use axum::{
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use futures_util::{
    Stream,
    future::{Either, select},
    stream,
};
use quarry_ports::{ChunkBody, StoreError, StoredChunk};
use quarry_types::{Address, MessageId, Timestamp, stream::ExtractionEvent};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    chunks::{broken, end, gone},
    form::{Event, Form},
    position::Position,
    submission,
    tail::{Heard, Tail},
    work::{self, Waited},
};
use crate::{
    Gateway, Problem, extractions,
    request::{NoBody, PathOf, Query, last_event_id},
    time::rfc3339,
};

/// How long to wait before the work's message is looked for again.
const SOUGHT_AGAIN: Duration = Duration::from_millis(20);

/// The events of an extraction, from the beginning or behind one of them.
pub(crate) async fn show(
    State(gateway): State<Gateway>,
    PathOf(id): PathOf<String>,
    headers: HeaderMap,
    uri: Uri,
    _: NoBody,
) -> Result<Response, Problem> {
    Query::parse(uri.query(), &[])?;
    let form = Form::of_stream(&headers)?;
    let address = extractions::named(&gateway, &id)?;
    let position = match last_event_id(&headers)? {
        Some(id) => submission::behind(&gateway, &address, id).await?,
        None => submission::latest(&gateway, &address).await?,
    };
    Ok(form.respond(events(gateway, position).await?))
}

/// The answer that tells of a submission's message, from its beginning.
pub(crate) async fn follow(
    gateway: &Gateway,
    message_id: MessageId,
    form: Form,
) -> Result<Response, Problem> {
    let position = Position { own: Tail { message_id, next: 0 }, work: None };
    Ok(form.respond(events(gateway.clone(), position).await?))
}

/// The answer that tells of a submission to `address` from behind the event `id` on, and the
/// submission's message.
pub(crate) async fn resume(
    gateway: &Gateway,
    address: &Address,
    id: &str,
    form: Form,
) -> Result<(Response, MessageId), Problem> {
    let position = submission::behind(gateway, address, id).await?;
    let message_id = position.own.message_id;
    Ok((form.respond(events(gateway.clone(), position).await?), message_id))
}

async fn events(
    gateway: Gateway,
    position: Position,
) -> Result<impl Stream<Item = Event> + Send + 'static, StoreError> {
    let following = Following::begin(gateway, position).await?;
    Ok(stream::unfold(following, Following::step))
}

/// What is heard next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// The submission.
    Own,
    /// Its work, which it began to wait for at the chunk before its next; whether it has gone on.
    Work { from: Timestamp, is_over: bool },
    /// Nobody: all is told.
    Nobody,
}

/// One who follows an extraction.
struct Following {
    gateway: Gateway,
    position: Position,
    /// The entity that does the submission's work, once the submission says which.
    work: Option<Address>,
    turn: Turn,
    waiting: VecDeque<Event>,
}

impl Following {
    async fn begin(gateway: Gateway, position: Position) -> Result<Self, StoreError> {
        let (own, waiting) = (position.own, VecDeque::new());
        let mut following = Self { gateway, position, work: None, turn: Turn::Own, waiting };
        if let Some(read) = own.next.checked_sub(1) {
            let last = following.gateway.store().chunks(own.message_id, read, 1).await?;
            last.first().into_iter().for_each(|chunk| following.turn_behind(chunk));
        }
        Ok(following)
    }

    async fn step(mut self) -> Option<(Event, Self)> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some((event, self));
            }
            let heard = match self.turn {
                Turn::Own => self.hear_own().await,
                Turn::Work { from, is_over: false } => self.hear_work(from).await,
                Turn::Work { from, is_over: true } => self.hear_rest(from).await,
                Turn::Nobody => return None,
            };
            if let Err(error) = heard {
                self.end(broken(error));
            }
        }
    }

    fn end(&mut self, last: Event) {
        self.turn = Turn::Nobody;
        self.waiting.push_back(last);
    }

    /// Decides whose turn it is behind a chunk of the submission.
    fn turn_behind(&mut self, chunk: &StoredChunk) {
        let work = awaited(chunk).and_then(|id| extractions::work(&self.gateway, &id));
        self.turn = match &work {
            Some(_) => Turn::Work { from: chunk.made_at, is_over: false },
            None => Turn::Own,
        };
        self.work = work.or(self.work.take());
    }

    async fn hear_own(&mut self) -> Result<(), StoreError> {
        match self.position.own.hear(&self.gateway).await? {
            Heard::Chunks(chunks) => {
                for chunk in &chunks {
                    self.position.own = self.position.own.behind(chunk);
                    self.tell(self.position.own.message_id, chunk);
                    self.turn_behind(chunk);
                    // The rest is read again, behind what the work tells.
                    if self.turn != Turn::Own {
                        break;
                    }
                }
            }
            Heard::End(record) => self.end(end(&record)),
            Heard::Gone => self.end(gone()),
        }
        Ok(())
    }

    /// Hears the work until it is over, or the submission goes on.
    async fn hear_work(&mut self, from: Timestamp) -> Result<(), StoreError> {
        match self.hear_first().await? {
            None => self.turn = Turn::Work { from, is_over: true },
            Some((tail, Heard::Chunks(chunks))) => self.tell_work(tail, &chunks),
            Some((tail, Heard::End(_) | Heard::Gone)) => {
                self.position.work = Some(tail);
                self.turn = Turn::Own;
            }
        }
        Ok(())
    }

    /// What the work tells; none where the submission goes on before it does.
    async fn hear_first(&self) -> Result<Option<(Tail, Heard)>, StoreError> {
        let goes_on = pin!(self.position.own.hear(&self.gateway));
        let running = pin!(self.hear_running());
        match select(goes_on, running).await {
            Either::Left((goes_on, _)) => goes_on.map(|_| None),
            Either::Right((heard, _)) => heard.map(Some),
        }
    }

    async fn hear_running(&self) -> Result<(Tail, Heard), StoreError> {
        let tail = match (self.position.work, &self.work) {
            (Some(tail), _) => tail,
            (None, Some(work)) => loop {
                if let Some(tail) = work::running(&self.gateway, work).await? {
                    break tail;
                }
                tokio::time::sleep(SOUGHT_AGAIN).await;
            },
            (None, None) => return std::future::pending().await,
        };
        Ok((tail, tail.hear(&self.gateway).await?))
    }

    /// Hears what the work told before the submission went on: it waits for nothing more.
    async fn hear_rest(&mut self, from: Timestamp) -> Result<(), StoreError> {
        let tail = match (self.position.work, &self.work) {
            (Some(tail), _) => Some(tail),
            (None, Some(work)) => {
                let next = self.position.own.stored(&self.gateway).await?;
                let until = work::made_at(next.first()).unwrap_or(from);
                work::done(&self.gateway, work, Waited { from, until }).await?
            }
            (None, None) => None,
        };
        let chunks = match tail {
            Some(tail) => tail.stored(&self.gateway).await?,
            None => Vec::new(),
        };
        match tail {
            Some(tail) if !chunks.is_empty() => self.tell_work(tail, &chunks),
            _ => self.turn = Turn::Own,
        }
        Ok(())
    }

    fn tell_work(&mut self, mut tail: Tail, chunks: &[StoredChunk]) {
        for chunk in chunks {
            tail = tail.behind(chunk);
            self.position.work = Some(tail);
            self.tell(tail.message_id, chunk);
        }
    }

    /// Makes an event of a chunk that the position is behind.
    fn tell(&mut self, message_id: MessageId, chunk: &StoredChunk) {
        self.waiting.push_back(event(self.position.to_string(), message_id, chunk));
    }
}

/// What is read of a chunk.
#[derive(Deserialize)]
struct Named {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    work: Option<String>,
}

/// The id of the work that a submission begins to wait for. It has one stage: while that lasts.
fn awaited(chunk: &StoredChunk) -> Option<String> {
    let (ChunkBody::Made(json) | ChunkBody::Entry(json)) = &chunk.body else { return None };
    let named: Named = serde_json::from_slice(json).ok()?;
    named.work.filter(|_| named.kind == "stage_started")
}

fn event(id: String, message_id: MessageId, stored: &StoredChunk) -> Event {
    let (kind, members) = match &stored.body {
        ChunkBody::Made(json) | ChunkBody::Entry(json) => members(json),
        ChunkBody::Reset { attempt, from } => {
            let raw = |number: u64| {
                RawValue::from_string(number.to_string())
                    .unwrap_or_else(|_| RawValue::NULL.to_owned())
            };
            let members = [("attempt", u64::from(*attempt)), ("from", *from)];
            let members = members.map(|(name, number)| (name.to_owned(), raw(number)));
            ("reset".to_owned(), members.into())
        }
    };
    let document = ExtractionEvent {
        kind,
        id: id.clone(),
        message_id: message_id.to_string(),
        sequence: stored.sequence,
        time: rfc3339(stored.made_at),
        members,
    };
    Event::new(&document.kind, Some(id), &document)
}

type Members = BTreeMap<String, Box<RawValue>>;

/// The type of an event and its other members, as they were written.
fn members(json: &[u8]) -> (String, Members) {
    let mut members: Members = serde_json::from_slice(json).unwrap_or_default();
    let kind = members.remove("type").and_then(|kind| serde_json::from_str(kind.get()).ok());
    (kind.unwrap_or_else(|| "chunk".to_owned()), members)
}
