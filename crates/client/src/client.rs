//! The connection to one or more gateways.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use quarry_ports::Host;
use quarry_types::{IdempotencyKey, api::Problem};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;

use crate::ClientError;

/// A bearer token; never shown.
#[derive(Clone)]
pub struct Credentials(String);

impl Credentials {
    /// The token as the server gave it out.
    pub fn bearer(token: impl Into<String>) -> Self {
        Self(token.into())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How long it may take to reach a server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Below the time after which a gateway closes an idle connection, so that none is used that is
/// being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// How much longer than the server the client waits.
pub(crate) const MARGIN: Duration = Duration::from_secs(2);
/// How long a request without a waiting time of its own may take.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// A client of one cluster, by one or more base URLs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    bases: Vec<Url>,
    credentials: Option<Credentials>,
    host: Host,
    /// Which base was the last to answer: the one to begin with.
    preferred: AtomicUsize,
}

/// What went wrong with one exchange, before it is known what it means for the caller.
pub(crate) enum Exchange {
    /// Nothing was sent.
    NotSent(String),
    /// The request left, and no full answer came back.
    Lost(String),
}

impl Client {
    /// A client of the gateways at `urls` (`http://host:port`), on the real machine.
    pub fn new<U: AsRef<str>>(
        urls: impl IntoIterator<Item = U>,
        credentials: Option<Credentials>,
    ) -> Result<Self, ClientError> {
        let invalid = |reason: String| ClientError::Invalid { reason };
        let bases =
            urls.into_iter().map(|url| base(url.as_ref())).collect::<Result<Vec<_>, _>>()?;
        if bases.is_empty() {
            return Err(invalid("no URL of a gateway is given".to_owned()));
        }
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| invalid(chain(&error)))?;
        let (host, preferred) = (Host::system(), AtomicUsize::new(0));
        Ok(Self { http, shared: Arc::new(Shared { bases, credentials, host, preferred }) })
    }

    /// The base URLs.
    pub fn bases(&self) -> &[Url] {
        &self.shared.bases
    }

    /// The same client with one base alone; none where there are fewer.
    #[must_use]
    pub fn only(&self, index: usize) -> Option<Self> {
        let base = self.shared.bases.get(index)?.clone();
        let shared = Shared {
            bases: vec![base],
            credentials: self.shared.credentials.clone(),
            host: self.shared.host.clone(),
            preferred: AtomicUsize::new(0),
        };
        Some(Self { http: self.http.clone(), shared: Arc::new(shared) })
    }

    /// A key that nobody used before.
    pub fn new_key(&self) -> IdempotencyKey {
        let random = &self.shared.host.random;
        loop {
            let text = format!("{:016x}{:016x}", random.next_u64(), random.next_u64());
            if let Ok(key) = IdempotencyKey::new(&text) {
                return key;
            }
        }
    }

    pub(crate) fn host(&self) -> &Host {
        &self.shared.host
    }

    /// The base to try as the `attempt`-th, beginning with the one that answered last.
    pub(crate) fn turn(&self, attempt: usize) -> usize {
        let first = self.shared.preferred.load(Ordering::Relaxed);
        first.wrapping_add(attempt) % self.shared.bases.len()
    }

    pub(crate) fn prefer(&self, index: usize) {
        self.shared.preferred.store(index, Ordering::Relaxed);
    }

    /// A request to the base `index`, with a path of `segments` and a query of `parameters`, both
    /// escaped here.
    pub(crate) fn request(
        &self,
        index: usize,
        method: Method,
        segments: &[&str],
        parameters: &[(&str, String)],
    ) -> Result<RequestBuilder, ClientError> {
        let invalid = |reason: &str| ClientError::Invalid { reason: reason.to_owned() };
        let base = self.shared.bases.get(index).ok_or_else(|| invalid("no such base URL"))?;
        let mut url = base.clone();
        url.path_segments_mut()
            .map_err(|()| invalid("the base URL cannot have a path"))?
            .pop_if_empty()
            .extend(segments);
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        let request = self.http.request(method, url);
        Ok(match &self.shared.credentials {
            Some(Credentials(token)) => request.bearer_auth(token),
            None => request,
        })
    }

    /// Reads a document from whichever base answers, each asked at most once.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        segments: &[&str],
        parameters: &[(&str, String)],
        timeout: Duration,
    ) -> Result<T, ClientError> {
        let mut last = ClientError::Unavailable { reason: "no base URL".to_owned() };
        for attempt in 0..self.shared.bases.len() {
            let index = self.turn(attempt);
            let request = self.request(index, Method::GET, segments, parameters)?.timeout(timeout);
            last = match exchange(request).await {
                Ok(answer) if answer.status.is_success() => {
                    self.prefer(index);
                    return decode(&answer.body);
                }
                Ok(answer) => {
                    let error = ClientError::of(answer.problem(), None);
                    if !error.is_retryable() {
                        return Err(error);
                    }
                    error
                }
                Err(Exchange::NotSent(reason) | Exchange::Lost(reason)) => {
                    ClientError::Unavailable { reason }
                }
            };
        }
        Err(last)
    }
}

/// An answer that came in whole.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: bytes::Bytes,
}

impl Reply {
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
            let text: String = String::from_utf8_lossy(&self.body).chars().take(200).collect();
            Problem {
                kind: "about:blank".to_owned(),
                title: self.status.canonical_reason().unwrap_or("no problem document").to_owned(),
                status,
                detail: format!("status {status} without a problem document: {text:?}"),
                instance: String::new(),
                code: "http".to_owned(),
                trace_id: String::new(),
                retryable: matches!(status, 408 | 429 | 500..=599),
                outcome,
                field: None,
                line: None,
                column: None,
                available: Vec::new(),
                retry_after_ms: None,
                message_id: None,
            }
        })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Sends `request` and reads the whole answer.
pub(crate) async fn exchange(request: RequestBuilder) -> Result<Reply, Exchange> {
    whole(exchange_head(request).await?).await
}

/// Sends `request` and reads the head of its answer.
pub(crate) async fn exchange_head(request: RequestBuilder) -> Result<Response, Exchange> {
    request.send().await.map_err(|error| {
        let reason = chain(&error);
        let unsent = error.is_connect() || error.is_builder();
        if unsent { Exchange::NotSent(reason) } else { Exchange::Lost(reason) }
    })
}

/// Reads the rest of an answer.
pub(crate) async fn whole(response: Response) -> Result<Reply, Exchange> {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes().await.map_err(|error| Exchange::Lost(chain(&error)))?;
    Ok(Reply { status, headers, body })
}

pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(body).map_err(|error| ClientError::Unavailable {
        reason: format!("the answer is not the document that was asked for: {error}"),
    })
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn base(text: &str) -> Result<Url, ClientError> {
    let invalid = |reason: String| ClientError::Invalid { reason };
    let url: Url = text.parse().map_err(|error| invalid(format!("URL {text:?}: {error}")))?;
    if url.scheme() != "http" && url.scheme() != "https" {
        return Err(invalid(format!("URL {text:?} must begin with http:// or https://")));
    }
    Ok(url)
}
