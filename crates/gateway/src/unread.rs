//! Answers that are given before the whole body was read end their connection, and so do those of a
//! listener that is leaving. They say so: a client would otherwise put its next request on a connection
//! that is about to be closed.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use axum::{
    Router,
    body::{Body, HttpBody},
    extract::Request,
    http::{HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::StreamExt;
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::sync::watch;
use tower::ServiceExt;

use crate::{
    serve::{Stage, leaving},
    stream::Streaming,
};

/// A body that remembers whether it was read to its end.
struct Watched {
    body: Incoming,
    is_read: Arc<AtomicBool>,
}

impl Watched {
    fn note_end(&self) {
        if self.body.is_end_stream() {
            self.is_read.store(true, Ordering::Relaxed);
        }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        match &frame {
            Poll::Ready(None) => self.is_read.store(true, Ordering::Relaxed),
            Poll::Ready(Some(_)) => self.note_end(),
            Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Answers `request`. A stream that can be read on elsewhere ends when the listener is leaving.
pub(crate) async fn answer(
    router: Router,
    request: Request<Incoming>,
    stage: watch::Receiver<Stage>,
) -> Result<Response, Infallible> {
    let is_read = Arc::new(AtomicBool::new(false));
    let request = request.map(|body| {
        let watched = Watched { body, is_read: Arc::clone(&is_read) };
        watched.note_end();
        Body::new(watched)
    });
    let mut response = router.oneshot(request).await?;
    if !is_read.load(Ordering::Relaxed) || *stage.borrow() != Stage::Serving {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if response.extensions().get::<Streaming>().is_some() {
        return Ok(response.map(|body| {
            Body::from_stream(body.into_data_stream().take_until(Box::pin(leaving(stage))))
        }));
    }
    Ok(response)
}
