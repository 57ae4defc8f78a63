//! Connections to other nodes' control planes over sockets. Everything that dials does so here.

use std::{
    collections::BTreeMap,
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use quarry_plane::{Refusal, SecurityError, Stream};
use quarry_types::NodeId;
use tokio::net::TcpStream;
use tonic::{
    Code, Request, Status, Streaming, TimeoutExpired,
    client::Grpc,
    codegen::http::{Uri, uri::PathAndQuery},
    metadata::{BinaryMetadataValue, MetadataMap},
    transport::{Channel, Endpoint},
};

use super::{
    frame::{FrameCodec, MAX_MESSAGE},
    gate::PATIENCE,
    link::{CallError, Purpose},
    message::Method,
    policy::Policy,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a probe of an address waits.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
/// When calls in a row were not answered for so long, all told, the connection is made anew. A single
/// one that has little time says nothing of its connection: it may only have had far to go.
const UNANSWERED: Duration = Duration::from_secs(3);
/// No call counts for more, so that it takes several.
const ONE_CALL: Duration = Duration::from_secs(1);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) const COOKIE: &str = "quarry-cookie-bin";
pub(super) const PROTOCOL: &str = "quarry-protocol-bin";
pub(super) const CLUSTER: &str = "quarry-cluster-bin";
pub(super) const TARGET: &str = "quarry-target-bin";
/// Why a call was refused, in the answer.
pub(super) const REFUSAL: &str = "quarry-refusal";

/// The connections of this node, made when first used and again after they break.
#[derive(Debug)]
pub(super) struct Sockets {
    policy: Policy,
    channels: Mutex<BTreeMap<(NodeId, Purpose), Known>>,
}

/// A connection for one purpose.
#[derive(Debug)]
struct Known {
    address: String,
    channel: Channel,
    /// For how long calls in a row were not answered, all told.
    unanswered: Duration,
}

impl Sockets {
    pub(super) fn new(policy: Policy) -> Self {
        Self { policy, channels: Mutex::default() }
    }

    /// Calls `method` of node `to` at an address with `frame` and waits for the answer, at most `timeout`.
    pub(super) async fn call(
        &self,
        (to, address): (NodeId, &str),
        purpose: Purpose,
        method: Method,
        frame: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, CallError> {
        let channel = self.channel(to, address, purpose)?;
        let (mut grpc, mut request) = self.request(channel, to, frame);
        request.set_timeout(timeout);
        let answer = tokio::time::timeout(timeout, async {
            grpc.ready().await.map_err(|error| unreachable(&error))?;
            let path = PathAndQuery::from_static(method.path());
            let answer = grpc.unary(request, path, FrameCodec).await;
            answer.map_err(|status| self.failed(to, &status, timeout))
        })
        .await
        .unwrap_or(Err(CallError::TimedOut(timeout)));
        self.judge((to, purpose), timeout, answer.as_ref().err());
        Ok(answer?.into_inner())
    }

    /// Follows the views of voter `to` at an address; it has to accept within `timeout`.
    pub(super) async fn follow(
        &self,
        (to, address): (NodeId, &str),
        frame: Bytes,
        timeout: Duration,
    ) -> Result<Streaming<Bytes>, CallError> {
        let channel = self.channel(to, address, Purpose::Requests)?;
        let answer = self.stream(channel, to, Method::Follow, frame, timeout).await;
        self.judge((to, Purpose::Requests), timeout, answer.as_ref().err());
        answer
    }

    /// Attends the process of node `to`, which need not be a voter, at `address`, on a connection of
    /// its own.
    pub(super) async fn attend(
        &self,
        to: NodeId,
        address: &str,
        frame: Bytes,
        timeout: Duration,
    ) -> Result<Streaming<Bytes>, CallError> {
        self.stream(connection(&self.policy, to, address)?, to, Method::Attend, frame, timeout)
            .await
    }

    async fn stream(
        &self,
        channel: Channel,
        to: NodeId,
        method: Method,
        frame: Bytes,
        timeout: Duration,
    ) -> Result<Streaming<Bytes>, CallError> {
        let (mut grpc, request) = self.request(channel, to, frame);
        let answer = tokio::time::timeout(timeout, async {
            grpc.ready().await.map_err(|error| unreachable(&error))?;
            let path = PathAndQuery::from_static(method.path());
            grpc.server_streaming(request, path, FrameCodec)
                .await
                .map_err(|status| self.failed(to, &status, timeout))
        })
        .await
        .map_err(|_| CallError::TimedOut(timeout))??;
        Ok(answer.into_inner())
    }

    fn request(
        &self,
        channel: Channel,
        to: NodeId,
        frame: Bytes,
    ) -> (Grpc<Channel>, Request<Bytes>) {
        let mut request = Request::new(frame);
        self.sign(to, request.metadata_mut());
        let grpc = Grpc::new(channel)
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        (grpc, request)
    }

    fn sign(&self, to: NodeId, metadata: &mut MetadataMap) {
        metadata.insert_bin(
            COOKIE,
            BinaryMetadataValue::from_bytes(self.policy.cookie.expose().as_bytes()),
        );
        let protocol = self.policy.protocol.to_bytes();
        metadata.insert_bin(PROTOCOL, BinaryMetadataValue::from_bytes(&protocol));
        metadata
            .insert_bin(CLUSTER, BinaryMetadataValue::from_bytes(self.policy.cluster.as_bytes()));
        metadata.insert_bin(TARGET, BinaryMetadataValue::from_bytes(&to.0.to_be_bytes()));
    }

    fn channel(&self, to: NodeId, address: &str, purpose: Purpose) -> Result<Channel, CallError> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = channels.get(&(to, purpose)).filter(|known| known.address == address) {
            return Ok(known.channel.clone());
        }
        let channel = connection(&self.policy, to, address)?;
        let (address, unanswered) = (address.to_owned(), Duration::ZERO);
        let known = Known { address, channel: channel.clone(), unanswered };
        channels.insert((to, purpose), known);
        Ok(channel)
    }

    /// Lets a connection go on which calls fail. One that was damaged on its way may stay broken for
    /// ever without an end of it: both sides of HTTP/2 remember names and paths of earlier calls, and
    /// how much the other takes.
    fn judge(&self, of: (NodeId, Purpose), timeout: Duration, error: Option<&CallError>) {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = channels.get_mut(&of) else { return };
        match error {
            None => known.unanswered = Duration::ZERO,
            Some(CallError::TimedOut(_)) => known.unanswered += timeout.min(ONE_CALL),
            Some(_) => known.unanswered = UNANSWERED,
        }
        if known.unanswered >= UNANSWERED {
            channels.remove(&of);
        }
    }

    /// What node `to` answered makes no sense: the connection is left, for it may be damaged.
    pub(super) fn garbled(&self, to: NodeId, purpose: Purpose) {
        self.policy.refusals.record(&format!("node {to}"), Refusal::Garbage);
        self.channels.lock().unwrap_or_else(PoisonError::into_inner).remove(&(to, purpose));
    }

    fn failed(&self, to: NodeId, status: &Status, timeout: Duration) -> CallError {
        let label = status.metadata().get(REFUSAL).and_then(|label| label.to_str().ok());
        if let Some(refusal) = label.and_then(Refusal::of_label) {
            self.policy.refusals.record_by_peer(&format!("node {to}"), refusal);
        }
        match status.code() {
            Code::DeadlineExceeded => CallError::TimedOut(timeout),
            // A call is cancelled by its deadline, and by the end of its connection: who closes every
            // connection at once is not there, and is asked again after a pause only.
            Code::Cancelled if status.message() == TimeoutExpired(()).to_string() => {
                CallError::TimedOut(timeout)
            }
            Code::InvalidArgument | Code::OutOfRange | Code::ResourceExhausted => {
                CallError::Malformed(status.message().to_owned())
            }
            code => CallError::Unreachable(format!("{code}: {}", status.message())),
        }
    }
}

/// The one place where connections are set up. They are made when first used, and anew when they
/// break.
fn connection(policy: &Policy, to: NodeId, address: &str) -> Result<Channel, CallError> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| CallError::Unreachable(format!("{address}: {error}")))?;
    let (policy, address) = (policy.clone(), address.to_owned());
    let dial = tower::service_fn(move |_: Uri| {
        let (policy, address) = (policy.clone(), address.clone());
        async move { dial(&policy, to, &address).await.map(TokioIo::new) }
    });
    Ok(endpoint
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .connect_with_connector_lazy(dial))
}

/// Connects to `address`, where the node `to` is to be, and secures the connection.
async fn dial(policy: &Policy, to: NodeId, address: &str) -> Result<Stream, SecurityError> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address));
    let stream = stream.await.map_err(late)??;
    stream.set_nodelay(true)?;
    let secured = tokio::time::timeout(PATIENCE, policy.security.connect(stream, to));
    let secured = secured.await.unwrap_or(Err(SecurityError::Refused(Refusal::Deadline)));
    secured.inspect_err(|error| policy.tell(address, error)).map(|secured| secured.stream)
}

/// With all of its causes: the outermost says no more than that it failed.
fn unreachable(error: &tonic::transport::Error) -> CallError {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = text + ": " + &inner.to_string();
        cause = inner.source();
    }
    CallError::Unreachable(text)
}

/// Whether the kernel at `address` says that nobody listens there.
pub(super) async fn is_refused(address: &str) -> bool {
    let connected = tokio::time::timeout(PROBE_TIMEOUT, TcpStream::connect(address)).await;
    matches!(connected, Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused)
}
