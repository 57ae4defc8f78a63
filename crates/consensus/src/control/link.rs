//! Connections to other nodes' control planes. Everything that dials does so here.

use std::{
    collections::BTreeMap,
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use quarry_plane::{Refusal, SecurityError, Stream};
use quarry_ports::codec::{self, schema};
use quarry_types::NodeId;
use serde::{Serialize, de::DeserializeOwned};
use tokio::net::TcpStream;
use tonic::{
    Code, Request, Status, Streaming,
    client::Grpc,
    codegen::http::{Uri, uri::PathAndQuery},
    metadata::{BinaryMetadataValue, MetadataMap},
    transport::{Channel, Endpoint},
};

use super::{
    frame::{FrameCodec, MAX_MESSAGE},
    gate::PATIENCE,
    message::{AttendRequest, FollowRequest, Method},
    policy::Policy,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) const COOKIE: &str = "quarry-cookie-bin";
pub(super) const CLUSTER: &str = "quarry-cluster-bin";
pub(super) const TARGET: &str = "quarry-target-bin";
/// Why a call was refused, in the answer.
pub(super) const REFUSAL: &str = "quarry-refusal";

/// What a connection is for; each purpose has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    Heartbeats,
    Log,
    Snapshots,
    Requests,
}

/// Why a call got no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The peer could not be reached, or is not who was meant.
    #[error("{0}")]
    Unreachable(String),
    /// The peer did not answer in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// What was sent or answered makes no sense to the other side.
    #[error("{0}")]
    Malformed(String),
}

/// The connections of this node, made when first used and again after they break.
#[derive(Debug)]
pub(crate) struct Links {
    policy: Policy,
    voters: BTreeMap<NodeId, String>,
    channels: Mutex<BTreeMap<(NodeId, Purpose), Channel>>,
}

impl Links {
    pub(crate) fn new(policy: Policy, voters: BTreeMap<NodeId, String>) -> Self {
        Self { policy, voters, channels: Mutex::default() }
    }

    /// The voters, with the addresses of their control planes.
    pub(crate) const fn voters(&self) -> &BTreeMap<NodeId, String> {
        &self.voters
    }

    /// Calls `method` of voter `to` and waits for the answer, at most `timeout`.
    pub(crate) async fn call<Q, A>(
        &self,
        to: NodeId,
        purpose: Purpose,
        method: Method,
        request: &Q,
        timeout: Duration,
    ) -> Result<A, CallError>
    where
        Q: Serialize + Sync,
        A: DeserializeOwned,
    {
        let (mut grpc, mut request) = self.request(self.channel(to, purpose)?, to, request)?;
        request.set_timeout(timeout);
        let answer = tokio::time::timeout(timeout, async {
            grpc.ready().await.map_err(|error| unreachable(&error))?;
            let path = PathAndQuery::from_static(method.path());
            let answer = grpc.unary(request, path, FrameCodec).await;
            answer.map_err(|status| self.failed(to, &status, timeout))
        })
        .await
        .map_err(|_| CallError::TimedOut(timeout))??;
        decode(&answer.into_inner())
    }

    /// Follows the views of voter `to`; it has to accept within `timeout`.
    pub(crate) async fn follow(
        &self,
        to: NodeId,
        request: &FollowRequest,
        timeout: Duration,
    ) -> Result<Streaming<Bytes>, CallError> {
        let channel = self.channel(to, Purpose::Requests)?;
        self.stream(channel, to, Method::Follow, request, timeout).await
    }

    /// Attends the process of node `to`, which need not be a voter, at `address`, on a connection of
    /// its own.
    pub(crate) async fn attend(
        &self,
        to: NodeId,
        address: &str,
        request: &AttendRequest,
        timeout: Duration,
    ) -> Result<Streaming<Bytes>, CallError> {
        self.stream(connection(&self.policy, to, address)?, to, Method::Attend, request, timeout)
            .await
    }

    async fn stream<Q: Serialize + Sync>(
        &self,
        channel: Channel,
        to: NodeId,
        method: Method,
        request: &Q,
        timeout: Duration,
    ) -> Result<Streaming<Bytes>, CallError> {
        let (mut grpc, request) = self.request(channel, to, request)?;
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

    fn request<Q: Serialize>(
        &self,
        channel: Channel,
        to: NodeId,
        request: &Q,
    ) -> Result<(Grpc<Channel>, Request<Bytes>), CallError> {
        let frame = codec::encode(schema::CONTROL, request)
            .map_err(|error| CallError::Malformed(error.to_string()))?;
        let mut request = Request::new(frame);
        self.sign(to, request.metadata_mut());
        let grpc = Grpc::new(channel)
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        Ok((grpc, request))
    }

    fn sign(&self, to: NodeId, metadata: &mut MetadataMap) {
        metadata.insert_bin(
            COOKIE,
            BinaryMetadataValue::from_bytes(self.policy.cookie.expose().as_bytes()),
        );
        metadata
            .insert_bin(CLUSTER, BinaryMetadataValue::from_bytes(self.policy.cluster.as_bytes()));
        metadata.insert_bin(TARGET, BinaryMetadataValue::from_bytes(&to.0.to_be_bytes()));
    }

    fn channel(&self, to: NodeId, purpose: Purpose) -> Result<Channel, CallError> {
        let address = self.voters.get(&to).ok_or_else(|| {
            CallError::Unreachable(format!("node {to} is not a voter of the configuration"))
        })?;
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(&(to, purpose)) {
            return Ok(channel.clone());
        }
        let channel = connection(&self.policy, to, address)?;
        channels.insert((to, purpose), channel.clone());
        Ok(channel)
    }

    fn failed(&self, to: NodeId, status: &Status, timeout: Duration) -> CallError {
        let label = status.metadata().get(REFUSAL).and_then(|label| label.to_str().ok());
        if let Some(refusal) = label.and_then(Refusal::of_label) {
            self.policy.refusals.record_by_peer(&format!("node {to}"), refusal);
        }
        match status.code() {
            Code::DeadlineExceeded | Code::Cancelled => CallError::TimedOut(timeout),
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

pub(crate) fn decode<A: DeserializeOwned>(frame: &Bytes) -> Result<A, CallError> {
    codec::decode(schema::CONTROL, frame).map_err(|error| CallError::Malformed(error.to_string()))
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
