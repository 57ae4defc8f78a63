//! The control plane over a message plane in memory, for simulations.
//!
//! A request is a byte for the procedure and the frame; an answer is a byte for success or not, and
//! the frame or the reason. Streams are asked for again and again.

use std::{sync::Arc, time::Duration};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use quarry_ports::{Host, Reply, RequestHandler, Transport, TransportError};
use quarry_types::NodeId;

use super::{
    link::{CallError, Items},
    message::{FollowItem, Method},
    plane::{Plane, write},
};

/// How often a follower asks for the view.
const FOLLOW_PAUSE: Duration = Duration::from_millis(50);
/// How often an attended process says that it is there.
const STILL_INTERVAL: Duration = Duration::from_secs(1);
/// How long a probe waits.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);

const DONE: u8 = 0;
const FAILED: u8 = 1;

/// Asks over a message plane.
#[derive(Clone)]
pub(super) struct Messages(Arc<dyn Transport>);

impl Messages {
    pub(super) const fn new(transport: Arc<dyn Transport>) -> Self {
        Self(transport)
    }

    pub(super) async fn call(
        &self,
        to: NodeId,
        method: Method,
        frame: &Bytes,
        timeout: Duration,
    ) -> Result<Bytes, CallError> {
        let mut body = BytesMut::with_capacity(frame.len() + 1);
        body.put_u8(method.number());
        body.put_slice(frame);
        let mut answer = match self.0.request(to, body.freeze(), timeout).await {
            Ok(answer) => answer,
            Err(error @ TransportError::NotSent { .. }) => {
                return Err(CallError::Unreachable(error.to_string()));
            }
            Err(TransportError::Lost { .. }) => return Err(CallError::TimedOut(timeout)),
        };
        match answer.try_get_u8() {
            Ok(DONE) => Ok(answer),
            _ => Err(CallError::Unreachable(String::from_utf8_lossy(&answer).into_owned())),
        }
    }

    pub(super) fn follow(&self, to: NodeId, frame: Bytes, timeout: Duration) -> Items {
        self.again_and_again(Method::Follow, to, frame, timeout, FOLLOW_PAUSE)
    }

    pub(super) fn attend(&self, to: NodeId, frame: Bytes, timeout: Duration) -> Items {
        self.again_and_again(Method::Attend, to, frame, timeout, STILL_INTERVAL)
    }

    fn again_and_again(
        &self,
        method: Method,
        to: NodeId,
        frame: Bytes,
        timeout: Duration,
        pause: Duration,
    ) -> Items {
        let state = (self.clone(), Duration::ZERO);
        stream::unfold(state, move |(messages, wait)| {
            let frame = frame.clone();
            async move {
                tokio::time::sleep(wait).await;
                let item = messages.call(to, method, &frame, timeout).await;
                Some((item, (messages, pause)))
            }
        })
        .boxed()
    }

    /// A request that cannot even be sent was refused.
    pub(super) async fn is_refused(&self, to: NodeId) -> bool {
        let probe = Bytes::from_static(&[u8::MAX]);
        matches!(
            self.0.request(to, probe, PROBE_TIMEOUT).await,
            Err(TransportError::NotSent { .. })
        )
    }
}

/// Answers what comes over a message plane.
pub(super) struct Answering {
    plane: Arc<Plane>,
    host: Host,
}

/// Serves `plane` on `transport`.
pub(crate) fn serve_messages(transport: &dyn Transport, plane: Plane, host: Host) {
    transport.serve(Arc::new(Answering { plane: Arc::new(plane), host }));
}

impl RequestHandler for Answering {
    fn handle(&self, _from: NodeId, mut body: Bytes, reply: Reply) {
        let method = body.try_get_u8().ok().and_then(Method::of_number);
        // Dropped, the reply tells that nothing was done.
        let Some(method) = method else { return };
        let plane = Arc::clone(&self.plane);
        drop(self.host.spawn("coordinator answer", async move {
            let answer = match method {
                Method::Follow => write(&plane.look()),
                Method::Attend => write(&FollowItem::Still),
                method => plane.answer(method, plane.policy().protocol, body).await,
            };
            let (first, rest) = match answer {
                Ok(frame) => (DONE, frame),
                Err(status) => (FAILED, Bytes::from(status.message().to_owned())),
            };
            let mut body = BytesMut::with_capacity(rest.len() + 1);
            body.put_u8(first);
            body.put_slice(&rest);
            reply.send(body.freeze());
        }));
    }
}
