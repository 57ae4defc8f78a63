//! Bytes in records that are checked: what the network changed, dropped or doubled ends the stream
//! before anybody reads it.
//!
//! ```text
//! record = length (2 bytes, big-endian) │ its complement │ checksum (8 bytes) │ bytes
//! ```
//! The checksum is XXH3 of the bytes, seeded with the number of the record in its direction. TCP's own
//! is weak, and none where frames never leave a machine. Without this, one bit in a length of the
//! substrate's framing lets it wait for up to half a mebibyte more and swallow what comes meanwhile,
//! one in an address lets it drop a batch without a word, and the link stays up. Under TLS the
//! records are TLS's.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, BufReader, ReadBuf};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::socket::Secured;

const HEADER: usize = 12;
/// The most bytes of one record.
const MAX_RECORD: u16 = u16::MAX;
/// Two records are read by one system call.
const READ_BUFFER: usize = 128 << 10;

/// A connection whose bytes are checked, in both directions.
pub(crate) struct Checked {
    stream: BufReader<Secured>,
    reading: Reading,
    writing: Writing,
}

impl Checked {
    pub(crate) fn new(stream: Secured) -> Self {
        let stream = BufReader::with_capacity(READ_BUFFER, stream);
        Self { stream, reading: Reading::default(), writing: Writing::default() }
    }
}

/// What arrived of the record under way.
#[derive(Debug, Default)]
struct Reading {
    /// The number of the record.
    number: u64,
    header: Vec<u8>,
    /// Its length and checksum, once the header is whole.
    expected: Option<(usize, u64)>,
    bytes: Vec<u8>,
    /// How many bytes of a whole record were read.
    read: usize,
    is_whole: bool,
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a record is damaged: {what}"))
}

impl Reading {
    /// Takes of what arrived what belongs to the record under way; how much that is.
    fn take(&mut self, arrived: &[u8]) -> io::Result<usize> {
        let Some((length, checksum)) = self.expected else {
            let taken = arrived.len().min(HEADER - self.header.len());
            self.header.extend_from_slice(arrived.get(..taken).unwrap_or_default());
            if let Some(header) = self.header.first_chunk::<HEADER>() {
                self.expected = Some(parse(header)?);
            }
            return Ok(taken);
        };
        let taken = arrived.len().min(length - self.bytes.len());
        self.bytes.extend_from_slice(arrived.get(..taken).unwrap_or_default());
        if self.bytes.len() == length {
            if xxh3_64_with_seed(&self.bytes, self.number) != checksum {
                return Err(damaged("its checksum is another one"));
            }
            self.is_whole = true;
        }
        Ok(taken)
    }

    /// Hands out bytes of a whole record.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        let rest = self.bytes.get(self.read..).unwrap_or_default();
        let given = rest.len().min(buffer.remaining());
        buffer.put_slice(rest.get(..given).unwrap_or_default());
        self.read += given;
        if self.read == self.bytes.len() {
            self.number += 1;
            self.header.clear();
            self.bytes.clear();
            (self.expected, self.read, self.is_whole) = (None, 0, false);
        }
    }

    /// Whether the stream may end here.
    fn is_between_records(&self) -> bool {
        self.header.is_empty()
    }
}

fn parse(header: &[u8; HEADER]) -> io::Result<(usize, u64)> {
    let [l0, l1, c0, c1, checksum @ ..] = *header;
    let length = u16::from_be_bytes([l0, l1]);
    if length != !u16::from_be_bytes([c0, c1]) {
        return Err(damaged("its length is not that of its complement"));
    }
    if length == 0 {
        return Err(damaged("it is empty"));
    }
    Ok((usize::from(length), u64::from_be_bytes(checksum)))
}

impl AsyncRead for Checked {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while !this.reading.is_whole {
            let arrived = ready!(Pin::new(&mut this.stream).poll_fill_buf(cx))?;
            if arrived.is_empty() {
                let is_end = this.reading.is_between_records();
                return Poll::Ready(
                    is_end.then_some(()).ok_or(io::ErrorKind::UnexpectedEof.into()),
                );
            }
            let taken = this.reading.take(arrived)?;
            Pin::new(&mut this.stream).consume(taken);
        }
        this.reading.give(buffer);
        Poll::Ready(Ok(()))
    }
}

/// The record on its way out.
#[derive(Debug, Default)]
struct Writing {
    /// The number of the next record.
    number: u64,
    record: Vec<u8>,
    /// How much of it the connection took.
    sent: usize,
}

impl Writing {
    /// Makes a record of the first of these bytes; how many they are.
    fn seal(&mut self, bytes: &[u8]) -> usize {
        let length = u16::try_from(bytes.len()).unwrap_or(MAX_RECORD);
        let taken = usize::from(length);
        let bytes = bytes.get(..taken).unwrap_or_default();
        self.record.clear();
        self.record.extend(length.to_be_bytes());
        self.record.extend((!length).to_be_bytes());
        self.record.extend(xxh3_64_with_seed(bytes, self.number).to_be_bytes());
        self.record.extend_from_slice(bytes);
        (self.number, self.sent) = (self.number + 1, 0);
        taken
    }
}

impl Checked {
    /// Sends what is left of the record on its way out.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, writing, .. } = self;
        while let Some(rest) = writing.record.get(writing.sent..).filter(|rest| !rest.is_empty()) {
            let sent = ready!(Pin::new(&mut *stream).poll_write(cx, rest))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            writing.sent += sent;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Checked {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let taken = this.writing.seal(bytes);
        // What the connection does not take now is sent before the next record, or by flushing.
        match this.poll_drain(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(taken)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const SPOKEN: &[u8] = b"what is said on a link";

    /// The records of two writes.
    async fn records() -> Vec<u8> {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let mut near = Checked::new(Box::new(near));
        for _ in 0..2 {
            near.write_all(SPOKEN).await.unwrap();
        }
        near.shutdown().await.unwrap();
        drop(near);
        let mut bytes = Vec::new();
        far.read_to_end(&mut bytes).await.unwrap();
        bytes
    }

    /// What is heard of these bytes until the stream ends, and why it ends where it is not their end.
    async fn heard(bytes: &[u8]) -> (Vec<u8>, Option<io::ErrorKind>) {
        let (mut near, far) = tokio::io::duplex(1 << 20);
        near.write_all(bytes).await.unwrap();
        drop(near);
        let mut heard = Vec::new();
        let ended = Checked::new(Box::new(far)).read_to_end(&mut heard).await;
        (heard, ended.err().map(|error| error.kind()))
    }

    #[tokio::test]
    async fn what_is_written_is_read_whatever_the_pipe_takes_at_once() {
        for at_once in [1, 7, 4_096, 1 << 20] {
            let (near, far) = tokio::io::duplex(at_once);
            let (mut near, mut far) = (Checked::new(Box::new(near)), Checked::new(Box::new(far)));
            let sent: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
            let write = async {
                near.write_all(&sent).await.unwrap();
                near.flush().await.unwrap();
                near.shutdown().await.unwrap();
                drop(near);
            };
            let mut received = Vec::new();
            let ((), read) = tokio::join!(write, far.read_to_end(&mut received));
            read.unwrap();
            assert!(received == sent, "{at_once} at once");
        }
    }

    #[tokio::test]
    async fn a_bit_that_is_turned_anywhere_ends_the_stream_with_its_record_unread() {
        let records = records().await;
        assert_eq!(heard(&records).await, (SPOKEN.repeat(2), None));
        for place in 0..records.len() {
            for bit in 0..8 {
                let mut damaged = records.clone();
                damaged[place] ^= 1 << bit;
                let whole = SPOKEN.repeat(place / (records.len() / 2));
                let expected = (whole, Some(io::ErrorKind::InvalidData));
                assert_eq!(heard(&damaged).await, expected, "bit {bit} of byte {place}");
            }
        }
    }

    #[tokio::test]
    async fn records_that_are_missing_doubled_or_cut_end_the_stream() {
        let records = records().await;
        let (first, second) = records.split_at(records.len() / 2);
        let invalid = Some(io::ErrorKind::InvalidData);
        assert_eq!(heard(second).await, (Vec::new(), invalid));
        assert_eq!(heard(&[first, first].concat()).await, (SPOKEN.to_vec(), invalid));
        let cut = Some(io::ErrorKind::UnexpectedEof);
        assert_eq!(heard(&records[..records.len() - 1]).await, (SPOKEN.to_vec(), cut));
        assert_eq!(heard(&records[..3]).await, (Vec::new(), cut));
    }
}
