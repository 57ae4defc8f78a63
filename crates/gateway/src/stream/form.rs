//! How a stream is written.

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
use serde::Serialize;

use crate::{Code, Problem, request::accepted};

/// How often a stream of server-sent events says that it is alive.
const ALIVE: Duration = Duration::from_secs(15);

/// In the extensions of a response: it may be cut between two parts of its body, because its reader
/// can go on elsewhere. It is, when the listener shuts down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Streaming;

/// How a client wants to hear of what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One JSON document, at the end.
    Whole,
    /// Server-sent events.
    ServerSent,
    /// One JSON document per line.
    Lines,
}

impl Form {
    /// The first that `headers` accept; `silent` where they say nothing, or take anything.
    fn of(headers: &HeaderMap, silent: Self) -> Option<Self> {
        let mut ranges = accepted(headers).peekable();
        if ranges.peek().is_none() {
            return Some(silent);
        }
        ranges.find_map(|range| match range.as_str() {
            "text/event-stream" => Some(Self::ServerSent),
            "application/x-ndjson" | "application/ndjson" => Some(Self::Lines),
            "*/*" | "application/*" => Some(silent),
            "application/json" => (silent == Self::Whole).then_some(Self::Whole),
            _ => None,
        })
    }

    /// That of a route that only streams.
    pub(crate) fn of_stream(headers: &HeaderMap) -> Result<Self, Problem> {
        Self::of(headers, Self::Lines).ok_or_else(|| {
            let detail = "this route answers text/event-stream or application/x-ndjson, which \
                          Accept leaves out";
            Problem::new(Code::NotAcceptable, detail).field("Accept")
        })
    }

    /// That of a message's answer. What is neither kind of stream is left to those who write JSON.
    pub(crate) fn of_answer(headers: &HeaderMap) -> Self {
        Self::of(headers, Self::Whole).unwrap_or(Self::Whole)
    }

    /// The answer that consists of `events`.
    pub(super) fn respond(self, events: impl Stream<Item = Event> + Send + 'static) -> Response {
        let mut response = match self {
            Self::ServerSent => {
                let events = events.map(|event| Ok::<_, Infallible>(event.sent()));
                Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE)).into_response()
            }
            Self::Lines | Self::Whole => {
                let lines = events.map(|event| Ok::<_, Infallible>(event.line()));
                let content_type = [(header::CONTENT_TYPE, "application/x-ndjson")];
                (content_type, Body::from_stream(lines)).into_response()
            }
        };
        response.extensions_mut().insert(Streaming);
        response
    }
}

/// An event: a JSON document with a name, and the id that a stream goes on behind.
pub(super) struct Event {
    name: String,
    id: Option<String>,
    document: Vec<u8>,
}

impl Event {
    /// Letters, digits and underscores make a name; another is called `chunk`.
    pub(super) fn new<T: Serialize>(name: &str, id: Option<String>, document: &T) -> Self {
        let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let name = if is_name(name) { name } else { "chunk" };
        // Values of ours, with texts for names: writing them cannot fail.
        let mut document = serde_json::to_vec(document).unwrap_or_default();
        // A user's JSON may hold line ends, between its tokens alone.
        document.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|b| *b = b' ');
        Self { name: name.to_owned(), id, document }
    }

    fn sent(self) -> sse::Event {
        let event = sse::Event::default().event(self.name);
        let event = match self.id {
            Some(id) => event.id(id),
            None => event,
        };
        event.data(String::from_utf8_lossy(&self.document))
    }

    fn line(mut self) -> Bytes {
        self.document.push(b'\n');
        self.document.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(accept: &'static str) -> HeaderMap {
        [(header::ACCEPT, axum::http::HeaderValue::from_static(accept))].into_iter().collect()
    }

    #[test]
    fn the_first_media_type_that_is_known_counts() {
        for (accept, answer, stream) in [
            ("", Form::Whole, Some(Form::Lines)),
            ("*/*", Form::Whole, Some(Form::Lines)),
            ("text/event-stream", Form::ServerSent, Some(Form::ServerSent)),
            ("text/html, text/event-stream;q=1, */*", Form::ServerSent, Some(Form::ServerSent)),
            ("application/x-ndjson", Form::Lines, Some(Form::Lines)),
            ("application/json, text/event-stream", Form::Whole, Some(Form::ServerSent)),
            ("application/json", Form::Whole, None),
            ("text/html", Form::Whole, None),
        ] {
            assert_eq!(Form::of_answer(&headers(accept)), answer, "{accept}");
            assert_eq!(Form::of_stream(&headers(accept)).ok(), stream, "{accept}");
        }
    }

    #[test]
    fn an_event_stays_on_its_line_and_under_a_plain_name() {
        let raw: Box<serde_json::value::RawValue> = serde_json::from_str("[1,\n\r2]").unwrap();
        let event = Event::new("a b\n", None, &raw);
        assert_eq!(event.name, "chunk");
        assert_eq!(event.line(), "[1,  2]\n");
    }
}
