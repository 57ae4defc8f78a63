//! What is refused on the control plane, sent over real sockets: counted each time, said once, and
//! nobody else is harmed.

use std::{
    convert::Infallible,
    fmt,
    future::{Ready, poll_fn, ready},
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use quarry_core::coordinator::Loads;
use quarry_plane::{Protocol, Refusals};
use quarry_ports::{Host, Metrics};
use quarry_types::{BootId, NodeId};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_stream::{StreamExt, wrappers::TcpListenerStream};
use tonic::{
    Code, Request, Response, Status,
    body::Body,
    client::Grpc,
    codegen::{BoxFuture, Service, http},
    metadata::{BinaryMetadataValue, MetadataMap},
    server::{Grpc as ServerGrpc, NamedService, UnaryService},
    transport::{Channel, Endpoint, Server},
};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use super::{
    CallError, FollowRequest, HeartbeatAnswer, HeartbeatRequest, Method, Policy, Purpose,
    frame::{FrameCodec, MAX_MESSAGE},
    sockets::{CLUSTER, COOKIE, PROTOCOL, TARGET},
    tests::{TIMEOUT, links, links_under, policy, refused, serve_on},
};
use crate::view::Views;

/// With these bytes HTTP/2 begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// So often each fault is repeated.
const TIMES: u64 = 3;

/// Notes whom warnings name as refused, and why.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<Warning>>>);

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Warning {
    message: String,
    peer: String,
    reason: String,
}

impl Visit for Warning {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            "peer" => self.peer = text.trim_matches('"').to_owned(),
            "reason" => self.reason = text,
            _ => {}
        }
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut warning = Warning::default();
        event.record(&mut warning);
        if warning.message == "refused a peer" {
            self.0.lock().unwrap().push(warning);
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// A node 1 of cluster `here` on whose sockets everything is tried.
struct Target {
    address: String,
    metrics: Metrics,
}

impl Target {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let metrics = Metrics::new().unwrap();
        let refusals = Arc::new(Refusals::new("control", metrics.control_refused.clone()));
        serve_on(listener, &Arc::new(Views::new()), Policy { refusals, ..policy(1, "here") });
        Self { address, metrics }
    }

    fn count(&self, reason: &str) -> u64 {
        self.metrics.control_refused.with_label_values(&[reason]).get()
    }

    /// Waits until so many were refused for this reason, and no more.
    async fn counts(&self, reason: &str, expected: u64) {
        let counted = async {
            while self.count(reason) < expected {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let counted = tokio::time::timeout(TIMEOUT, counted).await;
        assert!(counted.is_ok(), "{reason}: {} of {expected}", self.count(reason));
        assert_eq!(self.count(reason), expected, "{reason}");
    }

    /// Sends `bytes` as the first on a connection, which has to be closed for them.
    async fn hears(&self, bytes: &[u8]) {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(TIMEOUT, stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "the connection is still open after {bytes:?}");
    }

    async fn connect(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        endpoint.connect().await.unwrap()
    }

    /// Calls `method` as a friend, with these bytes in the place of gRPC's frame: the answer's code.
    async fn answers(&self, method: Method, bytes: &'static str) -> Code {
        let mut channel = self.connect().await;
        let uri = format!("http://{}{}", self.address, method.path());
        let request = http::Request::post(uri).header("content-type", "application/grpc");
        let mut request = request.body(Body::new(bytes.to_owned())).unwrap();
        request.headers_mut().extend(signed().into_headers());
        poll_fn(|context| channel.poll_ready(context)).await.unwrap();
        let answer = channel.call(request).await.unwrap();
        Code::from_bytes(answer.headers()["grpc-status"].as_bytes())
    }
}

/// What a friend of node 1 sends with each call.
fn signed() -> MetadataMap {
    let mut metadata = MetadataMap::new();
    let mut sign = |name: &'static str, value: &[u8]| {
        metadata.insert_bin(name, BinaryMetadataValue::from_bytes(value));
    };
    sign(COOKIE, "1".repeat(32).as_bytes());
    sign(PROTOCOL, &Protocol::CURRENT.to_bytes());
    sign(CLUSTER, b"here");
    sign(TARGET, &1_u64.to_be_bytes());
    metadata
}

/// Everything that is wrong, once.
async fn all_faults(target: &Target) {
    let stranger = |cookie, cluster, node| links(cookie, cluster, node, &target.address);
    assert!(refused(&stranger(2, "here", 1), 1).await.contains("cookie"));
    assert!(refused(&stranger(1, "there", 1), 1).await.contains("another cluster"));
    assert!(refused(&stranger(1, "here", 2), 2).await.contains("this is node 1"));
    target.hears(b"GET / HTTP/1.1\r\n\r\n").await;
    // Content of a stream that nobody opened; a frame of 16 MiB.
    target.hears(&[PREFACE, &[0; 9]].concat()).await;
    target.hears(&[PREFACE, &[255, 255, 255, 0, 0, 0, 0, 0, 1]].concat()).await;
    // gRPC's frame is a flag and a length: no such flag, a message over the limit, and one that is
    // none of ours.
    assert_eq!(target.answers(Method::Heartbeat, "\u{7}abcdefgh").await, Code::Internal);
    assert_eq!(target.answers(Method::Heartbeat, "\0\u{1}\0\0A").await, Code::OutOfRange);
    assert_eq!(target.answers(Method::Follow, "\0\0\0\0\u{3}abc").await, Code::InvalidArgument);
    assert_eq!(target.answers(Method::Attend, "\0\0\0\0\u{3}abc").await, Code::InvalidArgument);
}

#[tokio::test]
async fn garbage_oversize_and_strangers_are_counted_each_time_said_once_and_harm_nobody() {
    let warnings = Warnings::default();
    let _noting = tracing::subscriber::set_default(warnings.clone());
    let target = Target::start().await;
    assert_eq!(u64::try_from(MAX_MESSAGE).unwrap() + 1, 0x0100_0041, "as it is sent above");
    let friend = links(1, "here", 1, &target.address);
    let request = FollowRequest { node: NodeId(2) };
    let mut news = friend.follow(NodeId(1), &request, TIMEOUT).await.unwrap();
    for time in 1..=TIMES {
        all_faults(&target).await;
        for (reason, each) in
            [("cookie", 1), ("cluster", 1), ("node", 1), ("garbage", 5), ("oversized", 2)]
        {
            target.counts(reason, each * time).await;
        }
        assert!(refused(&friend, 1).await.contains("not a voter"), "a friend is heard");
        assert!(news.next().await.unwrap().is_ok(), "and hears");
    }
    let mut said = warnings.0.lock().unwrap().clone();
    said.retain(|warning| !warning.reason.contains("in time"));
    said.sort();
    let all = said.len();
    said.dedup();
    assert_eq!((all, said.len()), (5, 5), "one line for each reason: {said:#?}");
    assert!(said.iter().all(|warning| warning.peer == "127.0.0.1"), "{said:#?}");
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_and_the_next_call_is_answered() {
    let target = Target::start().await;
    let mut grpc = Grpc::new(target.connect().await);
    let call = |size| {
        let mut request = Request::new(Bytes::from(vec![0; size]));
        *request.metadata_mut() = signed();
        request
    };
    let path = || http::uri::PathAndQuery::from_static(Method::Heartbeat.path());
    for (size, expected) in
        [(MAX_MESSAGE + 1, Code::OutOfRange), (MAX_MESSAGE, Code::FailedPrecondition)]
    {
        grpc.ready().await.unwrap();
        let answer = grpc.unary(call(size), path(), FrameCodec).await;
        assert_eq!(answer.unwrap_err().code(), expected, "{size} bytes");
    }
    target.counts("oversized", 1).await;
}

#[tokio::test]
async fn a_call_that_its_caller_gives_up_is_not_taken_for_garbage() {
    let target = Target::start().await;
    let channel = target.connect().await;
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let mut request = Request::new(stream::pending::<Bytes>());
    *request.metadata_mut() = signed();
    let path = http::uri::PathAndQuery::from_static(Method::Heartbeat.path());
    let call = grpc.client_streaming(request, path, FrameCodec);
    let given_up = tokio::time::timeout(Duration::from_millis(50), call).await;
    assert!(given_up.is_err(), "it was answered");
    // What is answered on the same connection came after the end of the call.
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.unwrap();
    let mut request = Request::new(Bytes::new());
    *request.metadata_mut() = signed();
    let path = http::uri::PathAndQuery::from_static(Method::Heartbeat.path());
    let answer = grpc.unary(request, path, FrameCodec).await;
    assert_eq!(answer.unwrap_err().code(), Code::FailedPrecondition);
    target.counts("garbage", 0).await;
}

/// Answers every call with gRPC that holds none of our frames.
#[derive(Clone)]
struct Babble;

impl NamedService for Babble {
    const NAME: &'static str = "quarry.control.v1.Control";
}

impl Service<http::Request<Body>> for Babble {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move { Ok(ServerGrpc::new(FrameCodec).unary(Self, request).await) })
    }
}

impl UnaryService<Bytes> for Babble {
    type Response = Bytes;
    type Future = Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, _: Request<Bytes>) -> Self::Future {
        ready(Ok(Response::new(Bytes::from_static(b"babble"))))
    }
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_counted_each_time_and_said_once() {
    let warnings = Warnings::default();
    let _noting = tracing::subscriber::set_default(warnings.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let incoming = TcpListenerStream::new(listener);
    let serving = Server::builder().add_service(Babble).serve_with_incoming(incoming);
    drop(Host::system().spawn("babbling server", async move { serving.await.unwrap() }));
    let metrics = Metrics::new().unwrap();
    let refusals = Arc::new(Refusals::new("control", metrics.control_refused.clone()));
    let links = links_under(Policy { refusals, ..policy(1, "here") }, 1, &address);
    let request = HeartbeatRequest { node: NodeId(7), boot: BootId(7), loads: Loads::new() };
    for time in 1..=TIMES {
        let answer: Result<HeartbeatAnswer, CallError> =
            links.call(NodeId(1), Purpose::Heartbeats, Method::Heartbeat, &request, TIMEOUT).await;
        assert!(matches!(answer, Err(CallError::Malformed(_))), "{answer:?}");
        assert_eq!(metrics.control_refused.with_label_values(&["garbage"]).get(), time);
    }
    let said = warnings.0.lock().unwrap().clone();
    assert_eq!(said.len(), 1, "{said:#?}");
    assert_eq!(said[0].peer, "node 1");
}
