//! W3C trace context: taken from the request, else begun here.

use axum::http::{HeaderMap, HeaderName};
use quarry_ports::Random;

/// The header `traceparent`.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The trace that a request belongs to, and this node's span in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    id: String,
    span: String,
    flags: String,
}

impl Trace {
    /// The trace that `headers` name; a new one where they name none that is valid, as the
    /// recommendation demands.
    pub(crate) fn of(headers: &HeaderMap, random: &dyn Random) -> Self {
        let given = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok()).and_then(parse);
        let Some((id, flags)) = given else { return Self::new(random) };
        Self { id, span: format!("{:016x}", random.next_u64().max(1)), flags }
    }

    /// A new trace.
    pub(crate) fn new(random: &dyn Random) -> Self {
        let (high, low, span) = (random.next_u64(), random.next_u64(), random.next_u64());
        let id = format!("{high:016x}{:016x}", low.max(1));
        Self { id, span: format!("{:016x}", span.max(1)), flags: "01".to_owned() }
    }

    /// 32 hexadecimal digits.
    pub(crate) fn trace_id(&self) -> &str {
        &self.id
    }

    /// The header to send on and back.
    pub(crate) fn parent(&self) -> String {
        format!("00-{}-{}-{}", self.id, self.span, self.flags)
    }
}

/// Trace id and flags of a valid `traceparent`. Versions above 00 may carry more parts.
fn parse(text: &str) -> Option<(String, String)> {
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let mut parts = text.trim().split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let more = parts.next().is_some();
    let valid = hex(version, 2)
        && version != "ff"
        && !(more && version == "00")
        && hex(trace, 32)
        && hex(span, 16)
        && hex(flags, 2)
        && [trace, span].iter().all(|id| id.bytes().any(|b| b != b'0'));
    valid.then(|| (trace.to_owned(), flags.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_valid_parent_is_taken_over() {
        for text in [
            format!("00-{TRACE}-00f067aa0ba902b7-01"),
            format!("01-{TRACE}-00f067aa0ba902b7-01-what-comes-later"),
        ] {
            assert_eq!(parse(&text), Some((TRACE.to_owned(), "01".to_owned())), "{text}");
        }
    }

    #[test]
    fn an_invalid_parent_begins_a_new_trace() {
        for text in [
            String::new(),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{TRACE}-00f067aa0ba902b7"),
        ] {
            assert_eq!(parse(&text), None, "{text}");
        }
    }
}
