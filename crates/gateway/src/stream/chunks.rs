//! `GET /v1/messages/{mid}/chunks`: the parts of a message's reply, as they are made.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Uri},
    response::Response,
};
use futures_util::{Stream, StreamExt, stream};
use quarry_ports::{ChunkBody, StoreError, StoredChunk};
use quarry_types::{
    MessageId,
    stream::{Broken, Told},
};

use super::{
    form::{Event, Form},
    tail::{Heard, Tail},
};
use crate::{
    Gateway, Problem,
    messages::{self, Raw},
    request::{NoBody, PathOf, Query, last_event_id},
    time::rfc3339,
};

const MESSAGE_ID: HeaderName = HeaderName::from_static("quarry-message-id");

/// The chunks of a message, from a number on.
pub(crate) async fn read(
    State(gateway): State<Gateway>,
    PathOf(id): PathOf<String>,
    headers: HeaderMap,
    uri: Uri,
    _: NoBody,
) -> Result<Response, Problem> {
    let query = Query::parse(uri.query(), &["from"])?;
    let from = query.number::<u64>("from")?.unwrap_or(0);
    let form = Form::of_stream(&headers)?;
    let last = last_event_id(&headers)?.map(|id| {
        let number = id.parse::<u64>().ok().and_then(|number| number.checked_add(1));
        number.ok_or_else(|| super::position::not_ours(id))
    });
    let last = last.transpose()?;
    let message_id = messages::id(&id)?;
    messages::find(&gateway, message_id, None).await?;
    // A client that connects again by itself repeats its parameters.
    Ok(tell(&gateway, message_id, last.unwrap_or(from), form))
}

/// The answer that tells the chunks of a message from number `next` on, and then its end.
pub(crate) fn tell(gateway: &Gateway, message_id: MessageId, next: u64, form: Form) -> Response {
    let mut response = form.respond(events(gateway.clone(), Tail { message_id, next }));
    let id = HeaderValue::try_from(message_id.to_string());
    response.headers_mut().extend(id.map(|id| (MESSAGE_ID, id)));
    response
}

fn events(gateway: Gateway, tail: Tail) -> impl Stream<Item = Event> + Send {
    let pages = stream::unfold(Some(tail), move |tail| {
        let gateway = gateway.clone();
        async move {
            let tail = tail?;
            let (page, tail) = match tail.hear(&gateway).await {
                Ok(Heard::Chunks(chunks)) => {
                    let read = chunks.last().map(|last| tail.behind(last));
                    (Page::Chunks(chunks), read)
                }
                Ok(Heard::End(record)) => (Page::Last(end(&record)), None),
                Ok(Heard::Gone) => (Page::Last(gone()), None),
                Err(error) => (Page::Last(broken(error)), None),
            };
            Some((page, tail))
        }
    });
    pages.flat_map(|page| match page {
        Page::Chunks(chunks) => stream::iter(chunks).map(|chunk| event(&chunk)).left_stream(),
        Page::Last(event) => stream::iter([event]).right_stream(),
    })
}

enum Page {
    Chunks(Vec<StoredChunk>),
    Last(Event),
}

fn event(stored: &StoredChunk) -> Event {
    let (sequence, made_at) = (stored.sequence, rfc3339(stored.made_at));
    let id = Some(sequence.to_string());
    match &stored.body {
        ChunkBody::Made(chunk) | ChunkBody::Entry(chunk) => {
            let chunk = messages::raw(chunk);
            Event::new("chunk", id, &Told::Chunk { sequence, made_at, chunk })
        }
        ChunkBody::Reset { attempt, from } => {
            let told = Told::<Raw>::Reset { sequence, made_at, attempt: *attempt, from: *from };
            Event::new("reset", id, &told)
        }
    }
}

/// The last event of a message that is over.
pub(super) fn end(record: &quarry_ports::MessageRecord) -> Event {
    Event::new("end", None, &Told::End(messages::end(record)))
}

/// The last event of a message that vanished.
pub(super) fn gone() -> Event {
    failed(&Problem::new(crate::Code::NoSuchMessage, "the message is past its retention"))
}

/// The last event where the store does not answer.
pub(super) fn broken(error: StoreError) -> Event {
    failed(&error.into())
}

fn failed(problem: &Problem) -> Event {
    let code = problem.code();
    let broken = Broken {
        code: code.as_str().to_owned(),
        detail: problem.detail().to_owned(),
        retryable: code.is_retryable(),
    };
    Event::new("error", None, &Told::<Raw>::Error(broken))
}
