//! The link to one peer: what was asked over it, what waits for it, and what it brought.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use quarry_ports::{Reply, TransportError};
use quarry_types::NodeId;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Limits,
    frame::{Frame, MAX_BODY, MAX_CHUNK},
    inbound::Inbound,
    outbound::{Outbound, Room, Ticket, Window},
    vital::{IDLE_TICKS, Vital},
};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The link to one peer. It ends with its connection; the next connection is another link.
pub(crate) struct Link {
    /// The number that both ends know it by.
    pub(crate) number: u64,
    /// The node at the other end.
    pub(crate) peer: NodeId,
    /// Ends the link, and tells that it has ended.
    pub(crate) end: CancellationToken,
    /// Tells that the substrate has let go of it too.
    pub(crate) gone: CancellationToken,
    /// Bodies that are not complete.
    pub(crate) inbound: Mutex<Inbound>,
    limits: Limits,
    outbound: Mutex<Outbound>,
    /// Tells the task that casts batches that there may be one.
    work: Notify,
    /// Held while a request waits for room, so that requests stay in their order.
    turn: tokio::sync::Mutex<()>,
    room_bytes: Arc<Semaphore>,
    room_requests: Arc<Semaphore>,
    pending: Mutex<HashMap<u64, oneshot::Sender<Option<Bytes>>>>,
    /// Requests of the peer that are not answered yet.
    unanswered: AtomicUsize,
    vital: Mutex<Vital>,
}

/// Ends what a request holds when its sender stops waiting, for whatever reason.
struct Leaving<'a> {
    link: &'a Link,
    correlation: u64,
    ticket: Arc<Ticket>,
    is_chunked: bool,
    left: Option<bool>,
}

impl Leaving<'_> {
    /// Ends it; whether a frame of the request had left.
    fn end(&mut self) -> bool {
        if let Some(left) = self.left {
            return left;
        }
        let left = self.ticket.abandon();
        self.left = Some(left);
        lock(&self.link.pending).remove(&self.correlation);
        if !left {
            lock(&self.link.outbound).withdraw(self.correlation);
        } else if self.is_chunked {
            // What left in part is cancelled by the next batch.
            self.link.work.notify_one();
        }
        left
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

/// How a request ended that got no reply.
enum Ended {
    Nacked,
    LinkLost,
}

impl Link {
    pub(crate) fn new(
        number: u64,
        peer: NodeId,
        end: CancellationToken,
        window: Window,
        limits: Limits,
    ) -> Arc<Self> {
        let semaphore =
            |permits: u32| Arc::new(Semaphore::new(usize::try_from(permits).unwrap_or(usize::MAX)));
        Arc::new(Self {
            number,
            peer,
            end,
            gone: CancellationToken::new(),
            inbound: Mutex::default(),
            outbound: Mutex::new(Outbound::new(limits, window)),
            work: Notify::new(),
            turn: tokio::sync::Mutex::new(()),
            room_bytes: semaphore(limits.queue_bytes),
            room_requests: semaphore(limits.queue_requests),
            pending: Mutex::default(),
            unanswered: AtomicUsize::new(0),
            vital: Mutex::default(),
            limits,
        })
    }

    /// Whether a request would have to wait for credit.
    pub(crate) fn is_clogged(&self) -> bool {
        self.room_requests.available_permits() == 0 || !lock(&self.outbound).has_credit()
    }

    /// Sends a request and waits for its reply, at most for `timeout`.
    pub(crate) async fn request(
        &self,
        correlation: u64,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, TransportError> {
        let ticket = Arc::<Ticket>::default();
        let mut leaving = Leaving {
            link: self,
            correlation,
            ticket: ticket.clone(),
            is_chunked: body.len() > MAX_CHUNK,
            left: None,
        };
        let asked = self.ask(correlation, body, ticket);
        let reason = match tokio::time::timeout(timeout, asked).await {
            Ok(Ok(body)) => return Ok(body),
            Ok(Err(Ended::Nacked)) => "the peer dropped the request",
            Ok(Err(Ended::LinkLost)) => "the link broke",
            Err(_) => "the deadline passed",
        };
        let (to, reason) = (self.peer, reason.to_owned());
        if leaving.end() {
            Err(TransportError::Lost { to, reason })
        } else {
            Err(TransportError::NotSent { to, reason })
        }
    }

    async fn ask(
        &self,
        correlation: u64,
        body: Bytes,
        ticket: Arc<Ticket>,
    ) -> Result<Bytes, Ended> {
        let (answer, answered) = oneshot::channel();
        {
            let _turn = self.turn.lock().await;
            let room = tokio::select! {
                room = self.room(body.len()) => room.ok_or(Ended::LinkLost)?,
                () = self.end.cancelled() => return Err(Ended::LinkLost),
            };
            lock(&self.pending).insert(correlation, answer);
            lock(&self.outbound).push_request(correlation, body, ticket, room);
        }
        self.work.notify_one();
        // Closing first ends the link and then empties `pending`: one of the two is seen here.
        if self.end.is_cancelled() {
            return Err(Ended::LinkLost);
        }
        match answered.await {
            Ok(Some(body)) => Ok(body),
            Ok(None) => Err(Ended::Nacked),
            Err(_) => Err(Ended::LinkLost),
        }
    }

    async fn room(&self, body: usize) -> Option<Room> {
        let one = self.room_requests.clone().acquire_owned().await.ok()?;
        let bytes = u32::try_from(body).ok()?;
        Some((one, self.room_bytes.clone().acquire_many_owned(bytes).await.ok()?))
    }

    /// Hands a reply, or a nack, to the request that waits for it, if one still does.
    pub(crate) fn answered(&self, correlation: u64, body: Option<Bytes>) {
        let waiting = lock(&self.pending).remove(&correlation);
        if let Some(waiting) = waiting {
            let _ = waiting.send(body);
        }
    }

    /// The way back to the peer for its request; none where too many are unanswered.
    pub(crate) fn reply(self: &Arc<Self>, correlation: u64) -> Option<Reply> {
        if self.unanswered.fetch_add(1, Ordering::AcqRel) >= self.limits.unanswered {
            self.unanswered.fetch_sub(1, Ordering::AcqRel);
            self.control(Frame::Nack { correlation });
            return None;
        }
        let link: Weak<Self> = Arc::downgrade(self);
        Some(Reply::new(move |body| {
            let Some(link) = link.upgrade() else { return };
            link.unanswered.fetch_sub(1, Ordering::AcqRel);
            match body.filter(|body| body.len() <= MAX_BODY) {
                Some(body) => {
                    let pushed = lock(&link.outbound).push_reply(correlation, body);
                    link.pushed(pushed.is_ok());
                }
                None => link.control(Frame::Nack { correlation }),
            }
        }))
    }

    /// Sends a frame that needs no credit.
    pub(crate) fn control(&self, frame: Frame) {
        let pushed = lock(&self.outbound).push_control(frame);
        self.pushed(pushed.is_ok());
    }

    fn pushed(&self, fits: bool) {
        if !fits {
            tracing::warn!(peer = self.peer.0, "the peer does not listen: its link is closed");
            self.end.cancel();
        }
        self.work.notify_one();
    }

    /// The peer handed on this much of what it was sent.
    pub(crate) fn credited(&self, bytes: u64, frames: u32) {
        lock(&self.outbound).credited(bytes, frames);
        self.work.notify_one();
    }

    /// This node handed on this much of what the peer sent.
    pub(crate) fn consumed(&self, bytes: u64, frames: u32) {
        if lock(&self.outbound).consumed(bytes, frames) {
            self.work.notify_one();
        }
    }

    /// Gives batches to `cast` as credit allows, until the link ends or `cast` fails.
    pub(crate) async fn pump(&self, cast: impl Fn(Vec<Frame>) -> bool) {
        loop {
            tokio::select! {
                () = self.end.cancelled() => return,
                () = self.work.notified() => {}
            }
            loop {
                let batch = lock(&self.outbound).next_batch();
                if batch.is_empty() {
                    break;
                }
                if !cast(batch) {
                    self.end.cancel();
                    return;
                }
                // Whoever runs meanwhile adds to the next batch.
                tokio::task::yield_now().await;
            }
        }
    }

    /// Something arrived that answers this side.
    pub(crate) fn heard(&self) {
        lock(&self.vital).heard();
    }

    /// The peer answered this ping; false where there was none.
    pub(crate) fn ponged(&self, number: u64) -> bool {
        lock(&self.vital).answered(number)
    }

    /// Asks the peer's gateway for signs of life until the link ends, and ends it where there is none
    /// for the idle time.
    pub(crate) async fn ask_for_life(&self) {
        loop {
            tokio::select! {
                () = self.end.cancelled() => return,
                // From now on: time in which nobody ran, as in a process that was stopped, is one tick.
                () = tokio::time::sleep(self.limits.idle / IDLE_TICKS) => {}
            }
            let Some(number) = lock(&self.vital).tick() else {
                tracing::warn!(peer = self.peer.0, "the peer answers nothing: its link is closed");
                return self.end.cancel();
            };
            self.control(Frame::Ping { number });
        }
    }

    /// Fails all that waits for the peer. The link has ended.
    pub(crate) fn close(&self) {
        self.end.cancel();
        self.room_bytes.close();
        self.room_requests.close();
        let pending: Vec<_> = lock(&self.pending).drain().collect();
        drop(pending);
    }
}
