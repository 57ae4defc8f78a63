//! Serves the control plane.

use std::{
    convert::Infallible,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Request, Response, Status,
    body::Body,
    codegen::{BoxFuture, Service, StdError, http},
    metadata::MetadataMap,
    server::{Grpc, NamedService, ServerStreamingService, UnaryService},
    transport::Server,
};

use quarry_plane::{Protocol, Refusal};
use quarry_ports::Host;

use super::{
    frame::{FrameCodec, MAX_MESSAGE},
    gate::{Admission, STRANGERS, accept},
    message::{AttendRequest, FollowItem, FollowRequest, Method},
    plane::{Plane, read, write},
};

/// A follower hears something at least this often, so that it notices a peer that froze.
const STILL_INTERVAL: Duration = Duration::from_secs(1);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(4);
const MAX_STREAMS: u32 = 1_024;

/// Serves `plane` on `listener` until `stop` resolves. A caller has to show the cookie within
/// `patience`.
pub(crate) async fn serve(
    listener: TcpListener,
    plane: Arc<Plane>,
    host: Host,
    patience: Duration,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let incoming = accept(listener, STRANGERS, patience, plane.policy().clone(), &host);
    Server::builder()
        .max_concurrent_streams(MAX_STREAMS)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_service(Control { plane, host })
        .serve_with_incoming_shutdown(incoming, stop)
        .await
        .map_err(io::Error::other)
}

#[derive(Clone)]
struct Control {
    plane: Arc<Plane>,
    host: Host,
}

impl NamedService for Control {
    const NAME: &'static str = "quarry.control.v1.Control";
}

impl<B> Service<http::Request<B>> for Control
where
    B: tonic::codegen::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let control = self.clone();
        Box::pin(async move {
            let admission = request.extensions().get::<Admission>().cloned();
            let metadata = MetadataMap::from_headers(request.headers().clone());
            let caller = match control.plane.check(&metadata) {
                Ok(caller) => caller,
                Err((refusal, status)) => {
                    if let Some(admission) = &admission {
                        admission.refuse(refusal);
                    }
                    return Ok(status.into_http());
                }
            };
            if let Some(admission) = &admission {
                admission.admit();
            }
            let Some(method) = Method::of_path(request.uri().path()) else {
                return Ok(Status::unimplemented("no such procedure").into_http());
            };
            let mut grpc = Grpc::new(FrameCodec)
                .max_decoding_message_size(MAX_MESSAGE)
                .max_encoding_message_size(MAX_MESSAGE);
            let answer = match method {
                Method::Follow => {
                    grpc.server_streaming(Stream { control, follows: true }, request).await
                }
                Method::Attend => {
                    grpc.server_streaming(Stream { control, follows: false }, request).await
                }
                method => grpc.unary(Unary { control, method, caller }, request).await,
            };
            if let Some((refusal, admission)) = refusal_in(&answer).zip(admission) {
                admission.refuse(refusal);
            }
            Ok(answer)
        })
    }
}

/// What the answer says to a call that ended before its message was whole: most are given up by callers
/// who had waited for long enough.
const NO_MESSAGE: &[u8] = b"Missing%20request%20message.";

/// Whether the answer says that the frame of the call was not taken.
fn refusal_in(answer: &http::Response<Body>) -> Option<Refusal> {
    let said = |name: &str| answer.headers().get(name).map(http::HeaderValue::as_bytes);
    match Code::from_bytes(said("grpc-status")?) {
        Code::InvalidArgument => Some(Refusal::Garbage),
        // What gRPC itself makes of bytes that are none of its own.
        Code::Internal => (said("grpc-message") != Some(NO_MESSAGE)).then_some(Refusal::Garbage),
        Code::OutOfRange | Code::ResourceExhausted => Some(Refusal::Oversized),
        _ => None,
    }
}

struct Unary {
    control: Control,
    method: Method,
    caller: Protocol,
}

impl UnaryService<Bytes> for Unary {
    type Response = Bytes;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Status>> + Send>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (plane, method) = (Arc::clone(&self.control.plane), self.method);
        let caller = self.caller;
        Box::pin(async move {
            plane.answer(method, caller, request.into_inner()).await.map(Response::new)
        })
    }
}

/// A stream of views, or of signs of life only.
struct Stream {
    control: Control,
    follows: bool,
}

impl ServerStreamingService<Bytes> for Stream {
    type Response = Bytes;
    type ResponseStream = ReceiverStream<Result<Bytes, Status>>;
    type Future =
        Pin<Box<dyn Future<Output = Result<Response<Self::ResponseStream>, Status>> + Send>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (plane, follows) = (Arc::clone(&self.control.plane), self.follows);
        if let Err(refused) = asks(follows, request.get_ref()) {
            return Box::pin(async move { Err(refused) });
        }
        // One item waits at most: a slow follower skips views instead of queueing them.
        let (items, stream) = mpsc::channel(1);
        drop(self.control.host.spawn("coordinator stream", async move {
            if follows {
                tell(&plane, &items).await;
            } else {
                live(&items).await;
            }
        }));
        Box::pin(async move { Ok(Response::new(ReceiverStream::new(stream))) })
    }
}

/// Refuses what does not ask for such a stream; who asks for it makes no difference.
fn asks(follows: bool, frame: &Bytes) -> Result<(), Status> {
    if follows {
        read::<FollowRequest>(frame).map(drop)
    } else {
        read::<AttendRequest>(frame).map(drop)
    }
}

/// Sends a sign of life now and then until the other side is gone.
async fn live(items: &mpsc::Sender<Result<Bytes, Status>>) {
    while items.send(write(&FollowItem::Still)).await.is_ok() {
        tokio::select! {
            () = tokio::time::sleep(STILL_INTERVAL) => {}
            () = items.closed() => return,
        }
    }
}

/// Sends each newest view until the follower is gone.
async fn tell(plane: &Plane, items: &mpsc::Sender<Result<Bytes, Status>>) {
    let (mut changes, views) = plane.follow();
    changes.mark_changed();
    loop {
        let item = tokio::select! {
            news = changes.changed() => {
                if news.is_err() { return }
                let view = changes.borrow_and_update().as_ref().clone();
                FollowItem::of(&views, view)
            }
            () = tokio::time::sleep(STILL_INTERVAL) => FollowItem::Still,
            () = items.closed() => return,
        };
        let last = items.send(write(&item)).await.is_err();
        if last {
            return;
        }
    }
}
