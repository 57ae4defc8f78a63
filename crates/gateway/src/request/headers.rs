//! The headers that a message is sent with.

use axum::http::{HeaderMap, HeaderName, header};
use quarry_types::IdempotencyKey;

use crate::{Code, Problem};

/// Names one intent: the same entity, method and key are handled once (G5).
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// How often the client sent this request before; raised by clients that repeat.
const SEND_COUNT: HeaderName = HeaderName::from_static("quarry-send-count");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// What the headers of a message say.
#[derive(Debug)]
pub(crate) struct SendHeaders {
    /// The key that the client chose.
    pub(crate) key: Option<IdempotencyKey>,
    /// How often it was sent before.
    pub(crate) send_count: u32,
    /// Whether the client would rather not wait (RFC 7240).
    pub(crate) respond_async: bool,
}

impl SendHeaders {
    /// Parses `headers`.
    pub(crate) fn parse(headers: &HeaderMap) -> Result<Self, Problem> {
        let key = single(headers, &IDEMPOTENCY_KEY, "Idempotency-Key")?
            .map(|text| {
                let key = IdempotencyKey::new(text);
                key.map_err(|error| invalid("Idempotency-Key", error.rule))
            })
            .transpose()?;
        let send_count = single(headers, &SEND_COUNT, "Quarry-Send-Count")?
            .map(|text| {
                let count = text.parse();
                count.map_err(|_| invalid("Quarry-Send-Count", "must be a whole number from 0"))
            })
            .transpose()?;
        Ok(Self {
            key,
            send_count: send_count.unwrap_or(0),
            respond_async: prefers_async(headers)?,
        })
    }
}

/// The id of the last event that the client read of a stream, where it goes on with one.
pub(crate) fn last_event_id(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    single(headers, &LAST_EVENT_ID, "Last-Event-ID")
}

/// Whether one of the preferences is `respond-async`. Others are passed over, as RFC 7240 demands.
fn prefers_async(headers: &HeaderMap) -> Result<bool, Problem> {
    for value in headers.get_all(PREFER) {
        let text = value.to_str().map_err(|_| invalid("Prefer", "must be ASCII"))?;
        let mut names = text.split(',').map(|part| part.split([';', '=']).next().unwrap_or(""));
        if names.any(|name| name.trim().eq_ignore_ascii_case("respond-async")) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The media types that the client takes, in lower case and without parameters.
pub(crate) fn accepted(headers: &HeaderMap) -> impl Iterator<Item = String> {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|range| range.split(';').next().unwrap_or("").trim().to_ascii_lowercase())
        .filter(|range| !range.is_empty())
}

/// Whether the client takes JSON: it says so, or says nothing.
pub(crate) fn accepts_json(headers: &HeaderMap) -> Result<(), Problem> {
    let mut ranges = accepted(headers).peekable();
    let silent = ranges.peek().is_none();
    if silent
        || ranges.any(|range| matches!(range.as_str(), "*/*" | "application/*") || is_json(&range))
    {
        return Ok(());
    }
    let detail = "this route answers application/json, which Accept leaves out";
    Err(Problem::new(Code::NotAcceptable, detail).field("Accept"))
}

/// Whether the client asks for server-sent events.
pub(crate) fn accepts_events(headers: &HeaderMap) -> bool {
    accepted(headers).any(|range| range == "text/event-stream")
}

/// Whether the client asks for one JSON value per line.
pub(crate) fn accepts_lines(headers: &HeaderMap) -> bool {
    accepted(headers).any(|range| is_lines(&range))
}

/// Whether a media type without parameters, in lower case, is JSON.
pub(super) fn is_json(media_type: &str) -> bool {
    media_type == "application/json"
        || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

/// Whether a media type without parameters, in lower case, is one JSON value per line.
pub(super) fn is_lines(media_type: &str) -> bool {
    matches!(media_type, "application/ndjson" | "application/x-ndjson")
}

fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    shown: &'static str,
) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(invalid(shown, "is given twice"));
    }
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| invalid(shown, "is no UTF-8"))?;
    Ok(Some(text))
}

fn invalid(name: &'static str, reason: &str) -> Problem {
    Problem::new(Code::InvalidHeader, format!("header {name}: {reason}")).field(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&HeaderName, &[u8])]) -> HeaderMap {
        let value = |bytes: &[u8]| bytes.try_into().unwrap();
        pairs.iter().map(|(name, bytes)| ((*name).clone(), value(bytes))).collect()
    }

    #[test]
    fn preferences_are_read_among_others() {
        for (text, expected) in [
            ("respond-async", true),
            ("wait=10, Respond-Async;x=1", true),
            ("return=minimal", false),
            ("respond-asynchronously", false),
        ] {
            let parsed = SendHeaders::parse(&headers(&[(&PREFER, text.as_bytes())])).unwrap();
            assert_eq!(parsed.respond_async, expected, "{text}");
        }
    }

    #[test]
    fn a_key_may_be_any_utf_8() {
        let parsed = SendHeaders::parse(&headers(&[(&IDEMPOTENCY_KEY, "größe".as_bytes())]));
        assert_eq!(parsed.unwrap().key.unwrap().as_str(), "größe");
        let long = "x".repeat(257);
        for bad in [&b""[..], b"\xff", long.as_bytes(), b"a\tb"] {
            assert!(SendHeaders::parse(&headers(&[(&IDEMPOTENCY_KEY, bad)])).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn json_is_acceptable_unless_it_is_left_out() {
        for (text, expected) in [
            ("*/*", true),
            ("text/html, application/json;q=0.5", true),
            ("", true),
            ("text/event-stream", false),
        ] {
            let found = accepts_json(&headers(&[(&header::ACCEPT, text.as_bytes())]));
            assert_eq!(found.is_ok(), expected, "{text}");
        }
    }
}
