//! The one place where problems become bytes.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::Response,
};

use super::{Code, Problem};
use crate::trace::Trace;

/// In the extensions of a response: its status says bad news in a form of its own (health).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain;

const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const MESSAGE_ID: HeaderName = HeaderName::from_static("quarry-message-id");

/// Writes the problem that `response` stands for. What the framework refused by itself becomes a
/// problem too; its headers (`Allow`) stay.
pub(crate) fn render(mut response: Response, trace: &Trace, path: &str) -> Response {
    let status = response.status();
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        None if !(status.is_client_error() || status.is_server_error()) => return response,
        None if response.extensions().get::<Plain>().is_some() => return response,
        None => {
            let reason = status.canonical_reason().unwrap_or("refused");
            Problem::new(Code::Http(status), reason)
        }
    };
    let (mut parts, _) = response.into_parts();
    parts.status = problem.code().status();
    parts.headers.remove(header::CONTENT_LENGTH);
    let body = write(problem, trace, path, &mut parts.headers);
    Response::from_parts(parts, Body::from(body))
}

/// Writes a problem: its headers to `headers`, and the body.
pub(crate) fn write(
    mut problem: Problem,
    trace: &Trace,
    path: &str,
    headers: &mut HeaderMap,
) -> Vec<u8> {
    headers.extend(problem.take_headers());
    headers.insert(header::CONTENT_TYPE, PROBLEM);
    if let Some(milliseconds) = problem.waits_ms() {
        let seconds = milliseconds.div_ceil(1_000).max(1);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        let limit = format!("\"{}\";r=0;t={seconds}", problem.code().as_str());
        headers.extend(HeaderValue::try_from(limit).map(|value| (RATE_LIMIT, value)));
    }
    let document = problem.document(trace, path);
    if let Some(message_id) = &document.message_id {
        headers.extend(HeaderValue::try_from(message_id).map(|value| (MESSAGE_ID, value)));
    }
    // Strings and numbers alone: writing them cannot fail.
    serde_json::to_vec(&document).unwrap_or_default()
}
