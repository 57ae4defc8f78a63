//! The body: bounded, in time, JSON or nothing. The one place that checks content types.

use std::{error::Error, time::Duration};

use axum::{
    body::{Body, to_bytes},
    extract::{FromRequest, Request},
    http::{HeaderMap, HeaderValue, header},
};
use bytes::Bytes;
use quarry_extract::{
    decode,
    pack::{Format, MAX_SOURCE, Source},
};
use quarry_types::ontology::PackProblem;

use super::{
    headers::{is_json, is_lines},
    sound::check_json,
};
use crate::{Code, Gateway, Problem};

/// What `curl -d` labels every body, and browsers the bodies of forms.
const FORM: &str = "application/x-www-form-urlencoded";

/// A body that is JSON, as it was sent; empty where there was none.
#[derive(Debug)]
pub(crate) struct JsonBody(pub(crate) Bytes);

/// A body that is JSON, or one JSON value per line.
#[derive(Debug)]
pub(crate) enum LinesBody {
    /// One JSON value, or nothing.
    Json(Bytes),
    /// One JSON value per line, not looked at yet, and the media type that says so.
    Lines {
        /// The lines.
        lines: Bytes,
        /// In lower case, without parameters.
        media_type: String,
    },
}

/// A pack of up to 16 MiB, in the format that its label names.
#[derive(Debug)]
pub(crate) struct PackBody(pub(crate) Source);

/// No body: one with content is refused.
#[derive(Debug)]
pub(crate) struct NoBody;

impl FromRequest<Gateway> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, gateway: &Gateway) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let config = gateway.config();
        let body = read(&parts.headers, body, config.body_limit, config.body_timeout).await?;
        check_body(&parts.headers, &body).map(|()| Self(body))
    }
}

impl FromRequest<Gateway> for LinesBody {
    type Rejection = Problem;

    async fn from_request(request: Request, gateway: &Gateway) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let config = gateway.config();
        let body = read(&parts.headers, body, config.body_limit, config.body_timeout).await?;
        match media_type(&parts.headers) {
            Some(media_type) if is_lines(&media_type) => {
                Ok(Self::Lines { lines: body, media_type })
            }
            _ => check_body(&parts.headers, &body).map(|()| Self::Json(body)),
        }
    }
}

impl FromRequest<Gateway> for PackBody {
    type Rejection = Problem;

    async fn from_request(request: Request, gateway: &Gateway) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let config = gateway.config();
        let limit = config.body_limit.max(MAX_SOURCE);
        let body = read(&parts.headers, body, limit, config.body_timeout).await?;
        let media_type = media_type(&parts.headers).filter(|media_type| media_type != FORM);
        let format = match &media_type {
            // What begins like JSON is JSON; of other formats the first letters say nothing.
            None => body.trim_ascii_start().starts_with(b"{").then_some(Format::Json),
            Some(media_type) => Format::of_media_type(media_type),
        };
        let format = format.ok_or_else(|| {
            let known = Format::ALL.map(Format::media_type);
            let detail = format!(
                "the body is {:?}; send a pack with Content-Type: {}",
                media_type.as_deref().unwrap_or("not labelled"),
                known.join(", ")
            );
            let problem = Problem::new(Code::UnsupportedMediaType, detail).field("Content-Type");
            problem.available(known)
        })?;
        let text = decode(&body).map_err(|error| {
            let place =
                PackProblem { line: None, place: "pack".to_owned(), message: error.to_string() };
            let detail = format!("the body is no text: {error}");
            Problem::new(Code::InvalidOntology, detail).field("body").problems([place])
        })?;
        Ok(Self(Source { format, text: text.to_owned() }))
    }
}

impl FromRequest<Gateway> for NoBody {
    type Rejection = Problem;

    async fn from_request(request: Request, gateway: &Gateway) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let config = gateway.config();
        let body = read(&parts.headers, body, config.body_limit, config.body_timeout).await?;
        if body.is_empty() {
            return Ok(Self);
        }
        let detail = "this route takes no body; send none";
        Err(Problem::new(Code::UnexpectedBody, detail).field("body"))
    }
}

async fn read(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    within: Duration,
) -> Result<Bytes, Problem> {
    check_encoding(headers)?;
    let too_large = || {
        let detail = format!("the body is larger than the limit of {limit} bytes");
        Problem::new(Code::BodyTooLarge, detail).field("body")
    };
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let declared = declared.and_then(|text| text.parse::<u64>().ok());
    if declared.is_some_and(|length| usize::try_from(length).map_or(true, |length| length > limit))
    {
        return Err(too_large());
    }
    match tokio::time::timeout(within, to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_length_limit(&error) => Err(too_large()),
        Ok(Err(error)) => {
            let detail = format!("the body could not be read to its end: {error}");
            Err(Problem::new(Code::UnreadableBody, detail).field("body"))
        }
        Err(_) => {
            let detail = format!("the body did not come within {}s", within.as_secs());
            Err(Problem::new(Code::BodyTimeout, detail).field("body"))
        }
    }
}

fn is_length_limit(error: &axum::Error) -> bool {
    let mut source: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = source {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// Refuses a body that is packed, or in other letters than UTF-8: it would be read as what it is not.
fn check_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let unsupported =
        |detail: String, field| Err(Problem::new(Code::UnsupportedMediaType, detail).field(field));
    for value in headers.get_all(header::CONTENT_ENCODING) {
        if !value.as_bytes().eq_ignore_ascii_case(b"identity") {
            let shown = String::from_utf8_lossy(value.as_bytes());
            let detail = format!("the body is packed as {shown:?}; send it as it is");
            return unsupported(detail, "Content-Encoding");
        }
    }
    let label = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let label = String::from_utf8_lossy(label.unwrap_or_default()).to_ascii_lowercase();
    let parameters = label.split(';').skip(1).filter_map(|part| part.trim().split_once('='));
    for (name, value) in parameters {
        let value = value.trim_matches('"');
        if name == "charset" && !matches!(value, "utf-8" | "utf8" | "us-ascii") {
            let detail = format!("the body is labelled {value:?}; send it in UTF-8");
            return unsupported(detail, "Content-Type");
        }
    }
    Ok(())
}

/// The media type that the headers name, in lower case and without parameters.
fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?;
    let text = String::from_utf8_lossy(value.as_bytes());
    Some(text.split(';').next().unwrap_or("").trim().to_ascii_lowercase())
}

/// Whether `body` is empty, or JSON that is labelled so. A body without a label, or with the label
/// that `curl -d` gives to everything, is JSON where it reads as such; but not from a page in a
/// browser, which could send such a body to any server without asking it first.
fn check_body(headers: &HeaderMap, body: &[u8]) -> Result<(), Problem> {
    if body.is_empty() {
        return Ok(());
    }
    let unsupported = |detail: String| {
        Err(Problem::new(Code::UnsupportedMediaType, detail).field("Content-Type"))
    };
    let from_page = headers.contains_key(header::ORIGIN);
    match media_type(headers).as_deref() {
        Some(media_type) if is_json(media_type) => check_json(body),
        None | Some(FORM) if from_page => {
            unsupported("a page must send Content-Type: application/json".to_owned())
        }
        None => check_json(body),
        Some(FORM) => check_json(body).or_else(|problem| {
            if matches!(body.trim_ascii_start().first(), Some(b'{' | b'[')) {
                return Err(problem);
            }
            let detail = "the body is labelled a form, and is not JSON either; \
                          send JSON with Content-Type: application/json";
            unsupported(detail.to_owned())
        }),
        Some(other) => unsupported(format!(
            "the body is {other:?}; this route takes JSON: send Content-Type: application/json"
        )),
    }
}
