//! The gate before the control plane: strangers are few and short.
//!
//! A connection that has not made a call with the right cookie counts as a stranger's. There are
//! only so many of these at a time, more are closed as they come, and each has only so long, its
//! TLS handshake included. What does not even begin as HTTP/2 gets no further than here.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::{Stream as Connections, StreamExt};
use quarry_plane::{Refusal, Refusals, SecurityError, Stream};
use quarry_ports::Host;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::Sleep,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use super::{farewell::Farewell, policy::Policy};

/// How many strangers there may be at a time.
pub(super) const STRANGERS: usize = 64;
/// How long a stranger may take to make its first call.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait after the system could not give a connection, because it has no more files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// With these bytes HTTP/2 begins (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Lets a connection stay once its caller has shown the cookie.
#[derive(Clone)]
pub(super) struct Admission(Arc<Stranger>);

struct Stranger {
    peer: String,
    refusals: Arc<Refusals>,
    admitted: AtomicBool,
    /// Whether it is said already why it is refused.
    told: AtomicBool,
    place: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Admission {
    /// The caller has shown the cookie: the connection may stay, and makes room for a stranger.
    pub(super) fn admit(&self) {
        if !self.0.admitted.swap(true, Ordering::AcqRel) {
            drop(self.0.place.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }

    /// Something of this caller is refused.
    pub(super) fn refuse(&self, refusal: Refusal) {
        self.0.told.store(true, Ordering::Release);
        self.0.refusals.record(&self.0.peer, refusal);
    }

    fn is_admitted(&self) -> bool {
        self.0.admitted.load(Ordering::Acquire)
    }
}

/// A connection that ends when its caller stays a stranger for too long.
pub(super) struct Guarded {
    stream: Stream,
    /// What was read ahead, and is still to be handed on.
    preface: &'static [u8],
    admission: Admission,
    deadline: Pin<Box<Sleep>>,
    farewell: Farewell,
}

impl Guarded {
    /// Bytes were written. A peer is refused for what they say of it, also one that has shown the cookie;
    /// but that gave up calls which this node, standing still, had not taken yet, is no fault of such a one.
    fn wrote(&mut self, bytes: &[u8]) {
        let is_fault =
            |refusal: &Refusal| *refusal != Refusal::Overload || !self.admission.is_admitted();
        if let Some(refusal) = self.farewell.wrote(bytes).filter(is_fault) {
            self.admission.refuse(refusal);
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if !self.admission.is_admitted() && !self.admission.0.told.load(Ordering::Acquire) {
            self.admission.refuse(Refusal::Unproven);
        }
    }
}

/// Accepts connections on `listener` while there are fewer than `strangers`, until the stream of
/// them is dropped.
pub(super) fn accept(
    listener: TcpListener,
    strangers: usize,
    patience: Duration,
    policy: Policy,
    host: &Host,
) -> impl Connections<Item = io::Result<Guarded>> + use<> {
    // Each waiting connection holds a place, so the channel is never full.
    let (guarded, connections) = mpsc::channel(strangers.max(1));
    let gate = Gate { patience, policy, host: host.clone(), guarded };
    drop(host.spawn("control acceptor", gate.run(listener, strangers)));
    ReceiverStream::new(connections).map(Ok)
}

#[derive(Clone)]
struct Gate {
    patience: Duration,
    policy: Policy,
    host: Host,
    guarded: mpsc::Sender<Guarded>,
}

impl Gate {
    async fn run(self, listener: TcpListener, strangers: usize) {
        let places = Arc::new(Semaphore::new(strangers));
        loop {
            let accepted = tokio::select! {
                () = self.guarded.closed() => return,
                accepted = listener.accept() => accepted,
            };
            let (stream, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // Without the port: it is another one for every connection.
            let peer = from.ip().to_string();
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                self.policy.refusals.record(&peer, Refusal::Busy);
                continue;
            };
            let greeting = self.clone().greet(stream, peer, place);
            drop(self.host.spawn("control greeting", greeting));
        }
    }

    /// Secures the connection and waits for the first bytes of HTTP/2.
    async fn greet(self, stream: TcpStream, peer: String, place: OwnedSemaphorePermit) {
        let Self { patience, policy, guarded, .. } = self;
        let mut deadline = Box::pin(tokio::time::sleep(patience));
        let secured = tokio::select! {
            () = deadline.as_mut() => return policy.refusals.record(&peer, Refusal::Deadline),
            secured = secure(stream, &policy) => secured,
        };
        let stream = match secured {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(peer, %error, "a connection came to nothing");
                return policy.tell(&peer, &error);
            }
        };
        let admission = Admission(Arc::new(Stranger {
            peer,
            refusals: policy.refusals,
            admitted: AtomicBool::new(false),
            told: AtomicBool::new(false),
            place: Mutex::new(Some(place)),
        }));
        let farewell = Farewell::default();
        let connection = Guarded { stream, preface: PREFACE, admission, deadline, farewell };
        if let Err(gone) = guarded.send(connection).await {
            // The node ends: nobody was refused.
            gone.0.admission.0.told.store(true, Ordering::Release);
        }
    }
}

async fn secure(stream: TcpStream, policy: &Policy) -> Result<Stream, SecurityError> {
    stream.set_nodelay(true)?;
    let mut stream = policy.security.accept(stream).await?.stream;
    for expected in PREFACE {
        if stream.read_u8().await? != *expected {
            return Err(SecurityError::Refused(Refusal::Garbage));
        }
    }
    Ok(stream)
}

impl Connected for Guarded {
    type ConnectInfo = Admission;

    fn connect_info(&self) -> Admission {
        self.admission.clone()
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.admission.is_admitted() && self.deadline.as_mut().poll(cx).is_ready() {
            self.admission.refuse(Refusal::Deadline);
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if !self.preface.is_empty() {
            let (now, later) = self.preface.split_at(self.preface.len().min(buffer.remaining()));
            buffer.put_slice(now);
            self.preface = later;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.wrote(bytes.get(..written).unwrap_or_default());
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bytes))?;
        let mut left = written;
        for piece in bytes {
            let here = left.min(piece.len());
            self.wrote(piece.get(..here).unwrap_or_default());
            left -= here;
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
