//! The links of a node by peer and by number, and what arrives over them.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use prometheus::IntCounter;
use quarry_plane::{Refusal, Refusals};
use quarry_ports::{Metrics, RequestHandler};
use quarry_types::NodeId;

use crate::{
    frame::{Batch, Chunk, Frame},
    inbound::Kind,
    link::Link,
};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The links of a node.
pub(crate) struct Switchboard {
    handler: OnceLock<Arc<dyn RequestHandler>>,
    links: Mutex<Links>,
    correlations: AtomicU64,
    metrics: Metrics,
    /// Looked up once: they are counted for every frame.
    received: HashMap<&'static str, IntCounter>,
    sent: HashMap<&'static str, IntCounter>,
    refusals: Arc<Refusals>,
}

#[derive(Default)]
struct Links {
    /// Links over which frames may come.
    by_number: HashMap<u64, Arc<Link>>,
    /// Links that are ready to be asked over.
    by_peer: HashMap<NodeId, Arc<Link>>,
}

impl Switchboard {
    pub(crate) fn new(metrics: Metrics, refusals: Arc<Refusals>) -> Self {
        let counters = |direction| {
            let counter = |kind| metrics.mesh_frames.with_label_values(&[direction, kind]);
            Frame::KINDS.into_iter().map(|kind| (kind, counter(kind))).collect()
        };
        Self {
            handler: OnceLock::new(),
            received: counters("received"),
            sent: counters("sent"),
            links: Mutex::default(),
            correlations: AtomicU64::new(1),
            metrics,
            refusals,
        }
    }

    /// Names who takes requests; the first one stays.
    pub(crate) fn serve(&self, handler: Arc<dyn RequestHandler>) {
        if self.handler.set(handler).is_err() {
            tracing::error!("the mesh was given a second handler, which gets nothing");
        }
    }

    pub(crate) fn refuse(&self, peer: &str, refusal: Refusal) {
        self.refusals.record(peer, refusal);
    }

    pub(crate) fn next_correlation(&self) -> u64 {
        self.correlations.fetch_add(1, Ordering::Relaxed)
    }

    /// Lets frames come over `link`.
    pub(crate) fn announce(&self, link: &Arc<Link>) {
        lock(&self.links).by_number.insert(link.number, link.clone());
    }

    /// Lets `link` be asked over.
    pub(crate) fn ready(&self, link: &Arc<Link>) {
        lock(&self.links).by_peer.insert(link.peer, link.clone());
        // Whoever ended it meanwhile may have looked before.
        if link.end.is_cancelled() {
            self.fail(link);
        }
    }

    /// Lets nobody ask over an ended link any more and fails all that waits for it.
    pub(crate) fn fail(&self, link: &Arc<Link>) {
        {
            let mut links = lock(&self.links);
            if links.by_peer.get(&link.peer).is_some_and(|known| known.number == link.number) {
                links.by_peer.remove(&link.peer);
            }
        }
        link.close();
    }

    /// Forgets a link of which the substrate has let go.
    pub(crate) fn forget(&self, link: &Arc<Link>) {
        self.fail(link);
        lock(&self.links).by_number.remove(&link.number);
        link.gone.cancel();
    }

    /// Counts a link that was made anew.
    pub(crate) fn reconnected(&self) {
        self.metrics.mesh_reconnects.inc();
    }

    /// The link to be asked over.
    pub(crate) fn link(&self, peer: NodeId) -> Option<Arc<Link>> {
        lock(&self.links).by_peer.get(&peer).cloned()
    }

    /// All links, also those that are not ready.
    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        lock(&self.links).by_number.values().cloned().collect()
    }

    /// Counts frames that leave.
    pub(crate) fn leaving(&self, frames: &[Frame]) {
        for counter in frames.iter().filter_map(|frame| self.sent.get(frame.kind())) {
            counter.inc();
        }
    }

    /// A peer cast what is no batch. The link ends where it can be told: what was in the batch is lost,
    /// and the credit that went with it.
    pub(crate) fn refuse_batch(&self, link: Option<u64>, refusal: Refusal) {
        let link = link.and_then(|number| lock(&self.links).by_number.get(&number).cloned());
        match link {
            None => self.refuse("unknown", refusal),
            Some(link) => {
                self.refuse(&link.peer.to_string(), refusal);
                link.end.cancel();
            }
        }
    }

    /// Takes what a peer cast.
    pub(crate) fn receive(&self, batch: Batch) {
        let link = lock(&self.links).by_number.get(&batch.link).cloned();
        let Some(link) = link else {
            return self.refuse("unknown", Refusal::Stale);
        };
        let (mut bytes, mut frames) = (0_u64, 0_u32);
        for frame in batch.frames {
            if let Some(counter) = self.received.get(frame.kind()) {
                counter.inc();
            }
            if let Frame::Request(chunk) | Frame::Reply(chunk) = &frame {
                bytes = bytes.saturating_add(chunk.cost().into());
                frames = frames.saturating_add(1);
            }
            if let Err(refusal) = self.take(&link, frame) {
                self.refuse(&link.peer.to_string(), refusal);
                return link.end.cancel();
            }
        }
        link.consumed(bytes, frames);
    }

    fn take(&self, link: &Arc<Link>, frame: Frame) -> Result<(), Refusal> {
        let whole = |kind, chunk: Chunk| {
            let correlation = chunk.correlation;
            let body = lock(&link.inbound).take(kind, chunk)?;
            Ok(body.map(|body| (correlation, body)))
        };
        if frame.answers() {
            link.heard();
        }
        match frame {
            Frame::Request(chunk) => {
                if let Some((correlation, body)) = whole(Kind::Request, chunk)? {
                    self.request(link, correlation, body);
                }
            }
            Frame::Reply(chunk) => {
                if let Some((correlation, body)) = whole(Kind::Reply, chunk)? {
                    link.answered(correlation, Some(body));
                }
            }
            Frame::Nack { correlation } => link.answered(correlation, None),
            Frame::Cancel { correlation } => lock(&link.inbound).cancel(correlation),
            Frame::Credit { bytes, frames } => link.credited(bytes, frames),
            Frame::Ping { number } => link.control(Frame::Pong { number }),
            Frame::Pong { number } if link.ponged(number) => {}
            Frame::Pong { .. } => return Err(Refusal::Garbage),
        }
        Ok(())
    }

    fn request(&self, link: &Arc<Link>, correlation: u64, body: Bytes) {
        let Some(reply) = link.reply(correlation) else {
            return self.refuse(&link.peer.to_string(), Refusal::Overload);
        };
        // Where there is no handler yet, the dropped reply tells the peer.
        let Some(handler) = self.handler.get() else { return };
        let returned = catch_unwind(AssertUnwindSafe(|| handler.handle(link.peer, body, reply)));
        if returned.is_err() {
            tracing::error!(peer = link.peer.0, "the handler of requests panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{config::Limits, outbound::Window};

    #[tokio::test]
    async fn what_is_no_batch_ends_the_link_that_it_came_over_and_no_other() {
        let metrics = Metrics::new().unwrap();
        let refusals = Arc::new(Refusals::new("mesh", metrics.mesh_refused.clone()));
        let board = Switchboard::new(metrics.clone(), refusals);
        let window = Window { bytes: 1 << 20, frames: 100 };
        let link = |number, peer| {
            let end = CancellationToken::new();
            let link = Link::new(number, NodeId(peer), end, window, Limits::default());
            board.announce(&link);
            link
        };
        let (one, other) = (link(1, 5), link(2, 6));
        board.refuse_batch(Some(3), Refusal::Garbage);
        board.refuse_batch(None, Refusal::Garbage);
        assert!(!one.end.is_cancelled() && !other.end.is_cancelled());
        board.refuse_batch(Some(2), Refusal::Garbage);
        assert!(!one.end.is_cancelled() && other.end.is_cancelled());
        assert_eq!(metrics.mesh_refused.with_label_values(&["garbage"]).get(), 3);
    }
}
