//! The one place where problems become bytes.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::Response,
};

use quarry_types::api;

use super::{Code, Problem};
use crate::trace::Trace;

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
    let health = problem.take_health();
    let document = problem.document(trace, path);
    if let Some(message_id) = &document.message_id {
        headers.extend(HeaderValue::try_from(message_id).map(|value| (MESSAGE_ID, value)));
    }
    let written = match health {
        None => serde_json::to_vec(&document),
        Some(health) => serde_json::to_vec(&api::IllHealth::new(document, health)),
    };
    // Strings and numbers alone: writing them cannot fail.
    written.unwrap_or_default()
}
