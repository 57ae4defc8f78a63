//! One exchange: a request and its answer.

use quarry_types::api::Problem;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;

use crate::{Client, ClientError};

/// What went wrong with one exchange, before it is known what it means for the caller.
pub(crate) enum Exchange {
    /// Nothing was sent.
    NotSent(String),
    /// The request left, and no full answer came back.
    Lost(String),
}

/// An answer that came in whole.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: bytes::Bytes,
    /// Scheme, host and port of who answered.
    pub(crate) from: String,
}

impl Reply {
    /// The answer as the document that was asked for.
    pub(crate) fn document<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(|error| ClientError::Foreign {
            address: self.from.clone(),
            reason: format!("its answer ({}) cannot be read: {error}", self.status),
        })
    }

    /// The problem that the answer carries; one made of its status where it carries none, as of a
    /// proxy between.
    pub(crate) fn problem(&self) -> Problem {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| {
            let status = self.status.as_u16();
            let refused = matches!(status, 400..=499 | 503);
            let outcome = if refused {
                quarry_types::api::ProblemOutcome::Refused
            } else {
                quarry_types::api::ProblemOutcome::Unknown
            };
            let text = String::from_utf8_lossy(&self.body);
            let words: Vec<&str> = text.split_whitespace().collect();
            let text: String = words.join(" ").chars().take(80).collect();
            Problem {
                kind: "about:blank".to_owned(),
                title: self.status.canonical_reason().unwrap_or("no problem document").to_owned(),
                status,
                detail: format!(
                    "{} does not answer like a Quarry server: status {status}, {text:?}",
                    self.from
                ),
                instance: String::new(),
                code: "foreign".to_owned(),
                trace_id: String::new(),
                retryable: matches!(status, 408 | 429 | 500 | 502..=504),
                outcome,
                field: None,
                line: None,
                column: None,
                available: Vec::new(),
                problems: Vec::new(),
                retry_after_ms: None,
                message_id: None,
            }
        })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

impl Client {
    /// Sends `request` and reads the whole answer.
    pub(crate) async fn exchange(&self, request: RequestBuilder) -> Result<Reply, Exchange> {
        whole(self.exchange_head(request).await?).await
    }

    /// Sends `request` and reads the head of its answer.
    pub(crate) async fn exchange_head(
        &self,
        request: RequestBuilder,
    ) -> Result<Response, Exchange> {
        let answered = request.send().await;
        if let Err(error) = &answered
            && (error.is_connect() || error.is_builder())
        {
            return Err(Exchange::NotSent(cause(error)));
        }
        self.note_reached();
        answered.map_err(lost)
    }

    /// What a failed exchange is to one who only looks: nothing was done in either case.
    pub(crate) fn unanswered(&self, error: Exchange) -> ClientError {
        match error {
            Exchange::NotSent(reason) => self.unreachable(reason),
            Exchange::Lost(reason) => ClientError::Unavailable { reason },
        }
    }
}

/// Reads the rest of an answer.
pub(crate) async fn whole(response: Response) -> Result<Reply, Exchange> {
    let (status, headers) = (response.status(), response.headers().clone());
    let from = response.url().origin().ascii_serialization();
    let body = response.bytes().await.map_err(lost)?;
    Ok(Reply { status, headers, body, from })
}

/// Without the address of the route: it is no matter of the caller's.
fn lost(error: reqwest::Error) -> Exchange {
    Exchange::Lost(chain(&error.without_url()))
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// The first of an error's causes: what the system said.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
