//! A stream on which every answer is a whole one.
//!
//! What is no HTTP, or too large a head, never reaches the router: hyper answers it by itself with
//! a status and an empty body. This stream sees such an answer on its way out and gives it the body
//! that every error has. It cannot be mistaken for another: each of the router's answers carries
//! `traceparent`, and no body of ours begins with a status line.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::http::{HeaderMap, HeaderValue, header};
use bytes::{Buf, Bytes};
use quarry_ports::Host;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    Code, Problem,
    problem::write,
    trace::{TRACEPARENT, Trace},
};

/// The answers that hyper gives by itself.
const BARE: &[(&[u8], Code, &str)] = &[
    (
        b"HTTP/1.1 400 Bad Request\r\n",
        Code::MalformedRequest,
        "what came is no HTTP/1.1 request: its first line or a header is malformed",
    ),
    (
        b"HTTP/1.1 414 URI Too Long\r\n",
        Code::TargetTooLong,
        "the path and query are too long; send long values in the body",
    ),
    (
        b"HTTP/1.1 431 Request Header Fields Too Large\r\n",
        Code::HeadersTooLarge,
        "path, query and headers together are larger than the limit",
    ),
];

/// A stream that replaces bare answers.
pub(crate) struct Spoken<S> {
    stream: S,
    host: Host,
    /// What is being written instead, and how many bytes it stands for.
    instead: Option<(Bytes, usize)>,
}

impl<S> Spoken<S> {
    pub(crate) fn new(stream: S, host: Host) -> Self {
        Self { stream, host, instead: None }
    }

    /// Begins to write a whole answer where `bytes` are a bare one.
    fn begin(&mut self, bytes: &[u8]) {
        if self.instead.is_some() {
            return;
        }
        let found = BARE.iter().find(|(line, ..)| bytes.starts_with(line));
        let Some((line, code, detail)) = found else { return };
        let head = String::from_utf8_lossy(bytes);
        let is_bare = head.ends_with("\r\n\r\n")
            && head.contains("\r\ncontent-length: 0\r\n")
            && !head.contains(TRACEPARENT.as_str());
        if is_bare {
            self.instead = Some((whole(line, *code, detail, &self.host), bytes.len()));
        }
    }
}

fn whole(line: &[u8], code: Code, detail: &str, host: &Host) -> Bytes {
    let trace = Trace::new(&*host.random);
    let mut headers = HeaderMap::new();
    let body = write(Problem::new(code, detail), &trace, "*", &mut headers);
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    headers.extend(HeaderValue::try_from(trace.parent()).map(|value| (TRACEPARENT, value)));
    let mut answer = line.to_vec();
    for (name, value) in &headers {
        let parts: [&[u8]; 4] = [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"];
        answer.extend(parts.concat());
    }
    answer.extend(b"\r\n");
    answer.extend(body);
    answer.into()
}

impl<S: AsyncWrite + Unpin> Spoken<S> {
    /// Writes what stands instead to its end, and answers for the bytes that it stands for.
    fn poll_instead(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<usize>>> {
        let Some((answer, stands_for)) = &mut self.instead else { return Poll::Ready(None) };
        while answer.has_remaining() {
            match ready!(Pin::new(&mut self.stream).poll_write(context, answer)) {
                Ok(0) => return Poll::Ready(Some(Err(io::ErrorKind::WriteZero.into()))),
                Ok(written) => answer.advance(written),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
        let written = *stands_for;
        self.instead = None;
        Poll::Ready(Some(Ok(written)))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Spoken<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.begin(bytes);
        match ready!(self.poll_instead(context)) {
            Some(written) => Poll::Ready(written),
            None => Pin::new(&mut self.stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [bytes] = slices {
            self.begin(bytes);
        }
        match ready!(self.poll_instead(context)) {
            Some(written) => Poll::Ready(written),
            None => Pin::new(&mut self.stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Spoken<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}
