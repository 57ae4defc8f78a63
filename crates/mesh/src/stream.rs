//! The stream that the substrate reads and writes: ours, watched.
//!
//! It ends when its link is closed, when nothing has arrived for the idle time (a frozen peer is
//! never noticed by the substrate), or when a frame announces more than a batch may hold. When the
//! substrate drops it, the link is closed.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use prometheus::IntCounter;
use quarry_plane::{Refusal, Refusals};
use quarry_ports::Metrics;
use ractor_cluster::{BoxRead, BoxWrite, ClusterBidiStream};
use tokio::{
    io::{AsyncRead, AsyncWrite, BufReader, ReadBuf, ReadHalf, WriteHalf},
    time::Sleep,
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{frame::MAX_BATCH, socket::Secured, vital::IDLE_TICKS};

/// The substrate reads small pieces; each would be a system call.
const READ_BUFFER: usize = 64 << 10;
/// What the substrate puts around a batch is far smaller than this.
const ENVELOPE: u64 = 4 << 10;
/// The largest frame of the substrate.
#[expect(clippy::as_conversions, reason = "a constant that fits")]
pub(crate) const MAX_SUBSTRATE_FRAME: u64 = MAX_BATCH as u64 + ENVELOPE;

/// A greeted connection, on its way to the substrate.
pub(crate) struct Watched {
    pub(crate) stream: Secured,
    /// The name under which the substrate reports the session; another one for every connection.
    pub(crate) label: String,
    /// The name of the peer, by which refusals are told: the same for all of its connections.
    pub(crate) peer: String,
    /// Ends the connection, and tells that it has ended.
    pub(crate) end: CancellationToken,
    pub(crate) idle: Duration,
    pub(crate) metrics: Metrics,
    pub(crate) refusals: Arc<Refusals>,
}

impl ClusterBidiStream for Watched {
    fn split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        let (read, write) = tokio::io::split(self.stream);
        let tick = self.idle / IDLE_TICKS;
        let counter = |direction| self.metrics.mesh_bytes.with_label_values(&[direction]);
        let reader = Reader {
            stream: BufReader::with_capacity(READ_BUFFER, read),
            ended: Box::pin(self.end.clone().cancelled_owned()),
            ticker: Box::pin(tokio::time::sleep(tick)),
            tick,
            silent_ticks: 0,
            framing: Framing::default(),
            bytes: counter("received"),
            label: self.label,
            peer: self.peer,
            refusals: self.refusals,
            _close: Close(self.end.clone()),
        };
        let writer = Writer {
            stream: write,
            ended: Box::pin(self.end.clone().cancelled_owned()),
            bytes: counter("sent"),
            _close: Close(self.end),
        };
        (Box::new(reader), Box::new(writer))
    }

    fn peer_label(&self) -> Option<String> {
        Some(self.label.clone())
    }
}

/// Closes the link when the substrate lets go of the stream.
struct Close(CancellationToken);

impl Drop for Close {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

struct Reader {
    stream: BufReader<ReadHalf<Secured>>,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    ticker: Pin<Box<Sleep>>,
    tick: Duration,
    silent_ticks: u32,
    framing: Framing,
    bytes: IntCounter,
    label: String,
    peer: String,
    refusals: Arc<Refusals>,
    _close: Close,
}

impl AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.ended.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(cx, buffer) {
            if let Err(error) = read {
                // Of a record of ours, or of TLS.
                if error.kind() == io::ErrorKind::InvalidData {
                    this.refusals.record(&this.peer, Refusal::Garbage);
                }
                return Poll::Ready(Err(error));
            }
            let arrived = buffer.filled().get(before..).unwrap_or_default();
            this.silent_ticks = 0;
            this.bytes.inc_by(u64::try_from(arrived.len()).unwrap_or(0));
            if this.framing.walk(arrived).is_err() {
                this.refusals.record(&this.peer, Refusal::Oversized);
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::InvalidData)));
            }
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(this.ticker.as_mut().poll(cx));
            this.silent_ticks += 1;
            if this.silent_ticks > IDLE_TICKS {
                tracing::warn!(link = this.label, "nothing arrived for the idle time");
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::TimedOut)));
            }
            // From now on: time in which nobody read, as in a process that was stopped, counts as
            // one tick at most.
            this.ticker.set(tokio::time::sleep(this.tick));
        }
    }
}

/// Follows the substrate's framing (a length of eight bytes, then as many bytes) to stop before a
/// frame over the limit is read.
#[derive(Debug, Default)]
struct Framing {
    length: [u8; 8],
    have: usize,
    skip: u64,
}

impl Framing {
    fn walk(&mut self, mut bytes: &[u8]) -> Result<(), Refusal> {
        while let Some((first, rest)) = bytes.split_first() {
            if self.skip > 0 {
                let here = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
                self.skip -= u64::try_from(here).unwrap_or(self.skip);
                bytes = bytes.get(here..).unwrap_or_default();
                continue;
            }
            if let Some(place) = self.length.get_mut(self.have) {
                *place = *first;
            }
            self.have += 1;
            bytes = rest;
            if self.have == self.length.len() {
                self.have = 0;
                self.skip = u64::from_be_bytes(self.length);
                if self.skip > MAX_SUBSTRATE_FRAME {
                    return Err(Refusal::Oversized);
                }
            }
        }
        Ok(())
    }
}

struct Writer {
    stream: WriteHalf<Secured>,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    bytes: IntCounter,
    _close: Close,
}

impl Writer {
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.ended.as_mut().poll(cx).is_ready() {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe));
        }
        Ok(())
    }
}

impl AsyncWrite for Writer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_ended(cx)?;
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.bytes.inc_by(u64::try_from(written).unwrap_or(0));
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_ended(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;

    fn watched(idle: Duration) -> (DuplexStream, BoxRead, BoxWrite, CancellationToken, Metrics) {
        let (near, far) = tokio::io::duplex(256 << 10);
        let (end, metrics) = (CancellationToken::new(), Metrics::new().unwrap());
        let stream = Box::new(Watched {
            stream: Box::new(far),
            label: "2#1".to_owned(),
            peer: "2".to_owned(),
            end: end.clone(),
            idle,
            metrics: metrics.clone(),
            refusals: Arc::new(Refusals::new("mesh", metrics.mesh_refused.clone())),
        });
        let (reader, writer) = stream.split();
        (near, reader, writer, end, metrics)
    }

    #[tokio::test]
    async fn a_frame_over_the_limit_ends_the_stream_before_it_is_read() {
        let (mut near, mut reader, _writer, _end, metrics) = watched(Duration::from_secs(9));
        near.write_all(&3_u64.to_be_bytes()).await.unwrap();
        near.write_all(b"abc").await.unwrap();
        let mut good = [0; 11];
        reader.read_exact(&mut good).await.unwrap();
        near.write_all(&(MAX_SUBSTRATE_FRAME + 1).to_be_bytes()).await.unwrap();
        let error = reader.read_exact(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(metrics.mesh_refused.with_label_values(&["oversized"]).get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_for_the_idle_time_ends_the_stream_and_a_byte_postpones_it() {
        let (mut near, mut reader, _writer, _end, _) = watched(Duration::from_secs(10));
        let clock = quarry_sim::host(1);
        let start = clock.now();
        let speak = async {
            tokio::time::sleep(Duration::from_secs(9)).await;
            near.write_all(&[0]).await.unwrap();
        };
        let listen = async {
            reader.read_exact(&mut [0; 1]).await.unwrap();
            reader.read_exact(&mut [0; 1]).await.unwrap_err()
        };
        let ((), error) = tokio::join!(speak, listen);
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let silent = clock.now().since(start);
        assert!(
            silent > Duration::from_secs(19) && silent <= Duration::from_secs(21),
            "{silent:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_read_is_not_taken_for_silence() {
        let (mut near, mut reader, _writer, _end, _) = watched(Duration::from_secs(10));
        near.write_all(&[0]).await.unwrap();
        tokio::time::sleep(Duration::from_hours(1)).await;
        reader.read_exact(&mut [0; 1]).await.unwrap();
        let mut next = [0; 1];
        let next = tokio::time::timeout(Duration::from_secs(9), reader.read_exact(&mut next));
        assert!(next.await.is_err(), "the stream is still open");
    }

    #[tokio::test]
    async fn closing_ends_both_halves_and_dropping_one_closes() {
        let (_near, mut reader, mut writer, end, _) = watched(Duration::from_secs(9));
        end.cancel();
        assert_eq!(reader.read(&mut [0; 4]).await.unwrap(), 0);
        assert!(writer.write_all(b"x").await.is_err());
        let (_near, reader, _writer, end, _) = watched(Duration::from_secs(9));
        drop(reader);
        assert!(end.is_cancelled());
    }
}
