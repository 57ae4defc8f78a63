//! The gate before the control plane: strangers are few and short.
//!
//! A connection that has not made a call with the right cookie counts as a stranger's. There are
//! only so many of these at a time, more are closed as they come, and each has only so long.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::Stream;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Sleep,
};
use tonic::transport::server::Connected;

/// How many strangers there may be at a time.
pub(super) const STRANGERS: usize = 64;
/// How long a stranger may take to make its first call.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait after the system could not give a connection, because it has no more files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Lets a connection stay once its caller has shown the cookie.
#[derive(Clone)]
pub(super) struct Admission(Arc<Stranger>);

struct Stranger {
    admitted: AtomicBool,
    place: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Admission {
    fn new(place: OwnedSemaphorePermit) -> Self {
        Self(Arc::new(Stranger {
            admitted: AtomicBool::new(false),
            place: Mutex::new(Some(place)),
        }))
    }

    /// The caller has shown the cookie: the connection may stay, and makes room for a stranger.
    pub(super) fn admit(&self) {
        if !self.0.admitted.swap(true, Ordering::AcqRel) {
            drop(self.0.place.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }

    fn is_admitted(&self) -> bool {
        self.0.admitted.load(Ordering::Acquire)
    }
}

/// A connection that ends when its caller stays a stranger for too long.
pub(super) struct Guarded {
    stream: TcpStream,
    admission: Admission,
    deadline: Pin<Box<Sleep>>,
}

/// Accepts connections on `listener` while there are fewer than `strangers`.
pub(super) fn accept(
    listener: TcpListener,
    strangers: usize,
    patience: Duration,
) -> impl Stream<Item = io::Result<Guarded>> {
    let places = Arc::new(Semaphore::new(strangers));
    futures_util::stream::unfold((listener, places), move |(listener, places)| async move {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                tracing::debug!(strangers, "too many connections without a cookie");
                continue;
            };
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection broke as it came");
                continue;
            }
            let deadline = Box::pin(tokio::time::sleep(patience));
            let guarded = Guarded { stream, admission: Admission::new(place), deadline };
            return Some((Ok(guarded), (listener, places)));
        }
    })
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
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
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
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
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
mod tests {
    use std::pin::pin;

    use futures_util::StreamExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_mins(1);

    async fn listener() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (listener, address)
    }

    #[tokio::test]
    async fn a_stranger_that_says_nothing_is_cut_off_and_a_friend_is_not() {
        let (listener, address) = listener().await;
        let mut connections = pin!(accept(listener, 2, SHORT));
        let _stranger = TcpStream::connect(&address).await.unwrap();
        let mut accepted = connections.next().await.unwrap().unwrap();
        let error = accepted.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let mut friend = TcpStream::connect(&address).await.unwrap();
        let mut accepted = connections.next().await.unwrap().unwrap();
        accepted.connect_info().admit();
        let silent = tokio::time::timeout(SHORT * 3, accepted.read_u8()).await;
        assert!(silent.is_err(), "a friend may be silent: {silent:?}");
        friend.write_u8(7).await.unwrap();
        assert_eq!(accepted.read_u8().await.unwrap(), 7);
    }

    #[tokio::test]
    async fn strangers_beyond_the_limit_are_closed_and_friends_make_room() {
        let (listener, address) = listener().await;
        let mut connections = pin!(accept(listener, 1, LONG));
        let _first = TcpStream::connect(&address).await.unwrap();
        let first = connections.next().await.unwrap().unwrap();
        let mut second = TcpStream::connect(&address).await.unwrap();
        let third = TcpStream::connect(&address).await.unwrap();
        let mut byte = [0];
        tokio::select! {
            accepted = connections.next() => panic!("accepted: {}", accepted.is_some()),
            closed = second.read(&mut byte) => assert_eq!(closed.unwrap_or(0), 0),
        }
        drop(third);
        first.connect_info().admit();
        let _fourth = TcpStream::connect(&address).await.unwrap();
        assert!(connections.next().await.unwrap().is_ok());
    }
}
