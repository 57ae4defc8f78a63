//! The connection to one or more gateways.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use quarry_ports::Host;
use quarry_types::IdempotencyKey;
use reqwest::{Method, RequestBuilder, Url};
use serde::de::DeserializeOwned;

use crate::{
    ClientError,
    exchange::{Reply, chain},
};

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
    listener: Option<Listener>,
}

#[derive(Debug)]
struct Shared {
    bases: Vec<Url>,
    credentials: Option<Credentials>,
    host: Host,
    /// Which base was the last to answer: the one to begin with.
    preferred: AtomicUsize,
    /// Whether any base ever took a request.
    has_reached: AtomicBool,
}

/// Who hears what a client goes through.
#[derive(Clone)]
struct Listener(Arc<dyn Fn(&ClientError) + Send + Sync>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
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
        let shared = Shared {
            bases,
            credentials,
            host: Host::system(),
            preferred: AtomicUsize::new(0),
            has_reached: AtomicBool::new(false),
        };
        Ok(Self { http, shared: Arc::new(shared), listener: None })
    }

    /// The same client, which tells `listener` once for each message that no base takes, before it
    /// tries all of them again.
    #[must_use]
    pub fn listening(self, listener: impl Fn(&ClientError) + Send + Sync + 'static) -> Self {
        Self { listener: Some(Listener(Arc::new(listener))), ..self }
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
            has_reached: AtomicBool::new(self.has_reached()),
        };
        let (http, listener) = (self.http.clone(), self.listener.clone());
        Some(Self { http, shared: Arc::new(shared), listener })
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

    /// Whether any base ever took a request of this client.
    pub(crate) fn has_reached(&self) -> bool {
        self.shared.has_reached.load(Ordering::Relaxed)
    }

    pub(crate) fn note_reached(&self) {
        self.shared.has_reached.store(true, Ordering::Relaxed);
    }

    pub(crate) fn tell(&self, error: &ClientError) {
        if let Some(Listener(listener)) = &self.listener {
            listener(error);
        }
    }

    /// That no base takes a connection, for the last one's `reason`.
    pub(crate) fn unreachable(&self, reason: String) -> ClientError {
        let bases = self.shared.bases.iter().map(|base| base.as_str().trim_end_matches('/'));
        ClientError::Unreachable { addresses: bases.collect::<Vec<_>>().join(", "), reason }
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
        self.read_whole(segments, parameters, timeout).await?.document()
    }

    /// Reads whatever it is from whichever base answers, each asked at most once.
    pub(crate) async fn read_whole(
        &self,
        segments: &[&str],
        parameters: &[(&str, String)],
        timeout: Duration,
    ) -> Result<Reply, ClientError> {
        let mut last = ClientError::Unavailable { reason: "no base URL".to_owned() };
        for attempt in 0..self.shared.bases.len() {
            let index = self.turn(attempt);
            let request = self.request(index, Method::GET, segments, parameters)?.timeout(timeout);
            last = match self.exchange(request).await {
                Ok(answer) if answer.status.is_success() => {
                    self.prefer(index);
                    return Ok(answer);
                }
                Ok(answer) => {
                    let error = ClientError::of(answer.problem(), None);
                    if !error.is_retryable() {
                        return Err(error);
                    }
                    error
                }
                Err(error) => self.unanswered(error),
            };
        }
        Err(last)
    }
}

pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(body).map_err(|error| ClientError::Unavailable {
        reason: format!("the answer is not the document that was asked for: {error}"),
    })
}

fn base(text: &str) -> Result<Url, ClientError> {
    let invalid = |reason: String| ClientError::Invalid { reason };
    let url: Url = text.parse().map_err(|error| invalid(format!("URL {text:?}: {error}")))?;
    if url.scheme() != "http" && url.scheme() != "https" {
        return Err(invalid(format!("URL {text:?} must begin with http:// or https://")));
    }
    Ok(url)
}
