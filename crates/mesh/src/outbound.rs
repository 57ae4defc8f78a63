//! What is to go to one peer, and what the peer gave credit for. A value: no I/O, no clock.
//!
//! Bodies wait in two queues, replies and requests, and leave chunk by chunk in turn, so that a
//! large body of one kind does not hold up the other; each queue keeps its order. Chunks leave only
//! against credit: a peer that has stopped gives none, and what waits for it is bounded by the
//! permits that the requests hold and by the limit on replies.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    config::Limits,
    frame::{BATCH_BYTES, BATCH_FRAMES, Chunk, FRAME_COST, Frame, MAX_CHUNK},
};

/// More frames without credit than this can only mean a peer that does not listen.
const MAX_CONTROL: usize = 65_536;

/// How far a request got; shared by its sender and the queue.
#[derive(Debug, Default)]
pub(crate) struct Ticket(AtomicU8);

const WAITING: u8 = 0;
const LEFT: u8 = 1;
const ABANDONED: u8 = 2;

impl Ticket {
    /// Its first frame is about to leave; false where its sender no longer waits.
    fn leave(&self) -> bool {
        let left = (Ordering::AcqRel, Ordering::Acquire);
        self.0.compare_exchange(WAITING, LEFT, left.0, left.1) != Err(ABANDONED)
    }

    /// Its sender waits no longer; whether a frame of it had left.
    pub(crate) fn abandon(&self) -> bool {
        self.0.swap(ABANDONED, Ordering::AcqRel) != WAITING
    }

    fn is_abandoned(&self) -> bool {
        self.0.load(Ordering::Acquire) == ABANDONED
    }
}

/// Room in the queue that a request holds until its last chunk has left.
pub(crate) type Room = (OwnedSemaphorePermit, OwnedSemaphorePermit);

/// A body on its way out.
#[derive(Debug)]
struct Body {
    correlation: u64,
    bytes: Bytes,
    sent: usize,
    ticket: Option<Arc<Ticket>>,
    _room: Option<Room>,
}

impl Body {
    /// The next chunk, without taking it.
    fn peek(&self) -> Chunk {
        let end = self.bytes.len().min(self.sent + MAX_CHUNK);
        Chunk {
            correlation: self.correlation,
            total: u32::try_from(self.bytes.len()).unwrap_or(u32::MAX),
            offset: u32::try_from(self.sent).unwrap_or(u32::MAX),
            piece: self.bytes.slice(self.sent..end),
        }
    }
}

/// How much a node lets a peer send before it has handed it on; told in the greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Window {
    pub(crate) bytes: u32,
    pub(crate) frames: u32,
}

/// What may still be sent, or is to be granted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Credit {
    bytes: u64,
    frames: u32,
}

/// The queues toward one peer and its credit.
#[derive(Debug)]
pub(crate) struct Outbound {
    limits: Limits,
    /// The peer's.
    window: Window,
    control: VecDeque<Frame>,
    replies: VecDeque<Body>,
    requests: VecDeque<Body>,
    reply_bytes: usize,
    /// What the peer may still be sent.
    credit: Credit,
    /// What the peer may be told that it may send again.
    grant: Credit,
    /// Whether the next chunk is to be a request's.
    requests_turn: bool,
}

/// A queue is full: the link is of no use.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Overrun;

impl Outbound {
    pub(crate) fn new(limits: Limits, window: Window) -> Self {
        let credit = Credit { bytes: window.bytes.into(), frames: window.frames };
        Self {
            limits,
            window,
            control: VecDeque::new(),
            replies: VecDeque::new(),
            requests: VecDeque::new(),
            reply_bytes: 0,
            credit,
            grant: Credit::default(),
            requests_turn: true,
        }
    }

    /// Whether the peer gave credit for one more chunk of any size.
    pub(crate) fn has_credit(&self) -> bool {
        self.credit.frames > 0 && self.credit.bytes >= cost_limit()
    }

    pub(crate) fn push_request(
        &mut self,
        correlation: u64,
        body: Bytes,
        ticket: Arc<Ticket>,
        room: Room,
    ) {
        let (ticket, room) = (Some(ticket), Some(room));
        self.requests.push_back(Body { correlation, bytes: body, sent: 0, ticket, _room: room });
    }

    /// Takes back a request whose sender waits no longer, at once where nothing of it has left.
    pub(crate) fn withdraw(&mut self, correlation: u64) {
        let at = self.requests.iter().position(|request| request.correlation == correlation);
        if let Some(at) = at.filter(|at| self.requests.get(*at).is_some_and(|r| r.sent == 0)) {
            self.requests.remove(at);
        }
    }

    /// Queues a reply; false where too much waits already, so that a nack takes its place.
    pub(crate) fn push_reply(&mut self, correlation: u64, body: Bytes) -> Result<bool, Overrun> {
        let weight = weight(body.len());
        if self.reply_bytes.saturating_add(weight) > self.limits.reply_bytes {
            self.push_control(Frame::Nack { correlation })?;
            return Ok(false);
        }
        self.reply_bytes += weight;
        self.replies.push_back(Body {
            correlation,
            bytes: body,
            sent: 0,
            ticket: None,
            _room: None,
        });
        Ok(true)
    }

    /// Queues a frame that needs no credit.
    pub(crate) fn push_control(&mut self, frame: Frame) -> Result<(), Overrun> {
        if self.control.len() >= MAX_CONTROL {
            return Err(Overrun);
        }
        self.control.push_back(frame);
        Ok(())
    }

    /// The peer handed on this much of what it was sent.
    pub(crate) fn credited(&mut self, bytes: u64, frames: u32) {
        let Window { bytes: most_bytes, frames: most_frames } = self.window;
        self.credit.bytes = self.credit.bytes.saturating_add(bytes).min(most_bytes.into());
        self.credit.frames = self.credit.frames.saturating_add(frames).min(most_frames);
    }

    /// This node handed on this much of what the peer sent; whether it is time to say so.
    pub(crate) fn consumed(&mut self, bytes: u64, frames: u32) -> bool {
        self.grant.bytes = self.grant.bytes.saturating_add(bytes);
        self.grant.frames = self.grant.frames.saturating_add(frames);
        self.grant_due()
    }

    fn grant_due(&self) -> bool {
        let Limits { window_bytes, window_frames, .. } = self.limits;
        let due = Credit { bytes: (window_bytes / 4).into(), frames: window_frames / 4 };
        self.grant.bytes >= due.bytes.max(1) || self.grant.frames >= due.frames.max(1)
    }

    /// The frames that may leave now, as one batch; empty where there is nothing to send.
    pub(crate) fn next_batch(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        if self.grant_due() {
            let Credit { bytes, frames: count } = std::mem::take(&mut self.grant);
            frames.push(Frame::Credit { bytes, frames: count });
        }
        let control = self.control.len().min(BATCH_FRAMES);
        frames.extend(self.control.drain(..control));
        let mut bytes = 0;
        while frames.len() < BATCH_FRAMES && bytes < BATCH_BYTES {
            let Some(frame) = self.next_chunk() else { break };
            if let Frame::Request(chunk) | Frame::Reply(chunk) = &frame {
                bytes += chunk.piece.len();
            }
            frames.push(frame);
        }
        frames
    }

    /// The next chunk, or the cancelling of a request of which only a part had left.
    fn next_chunk(&mut self) -> Option<Frame> {
        let turns = if self.requests_turn { [true, false] } else { [false, true] };
        for is_request in turns {
            let queue = if is_request { &mut self.requests } else { &mut self.replies };
            let frame = next_of(queue, &mut self.credit);
            match frame {
                None => {}
                Some(Next::Cancelled(correlation)) => return Some(Frame::Cancel { correlation }),
                Some(Next::Chunk(chunk)) => {
                    self.requests_turn = !is_request;
                    if is_request {
                        return Some(Frame::Request(chunk));
                    }
                    if chunk.is_last() {
                        let total = usize::try_from(chunk.total).unwrap_or(usize::MAX);
                        self.reply_bytes = self.reply_bytes.saturating_sub(weight(total));
                    }
                    return Some(Frame::Reply(chunk));
                }
            }
        }
        None
    }
}

enum Next {
    Chunk(Chunk),
    Cancelled(u64),
}

/// What a waiting reply counts for.
fn weight(body: usize) -> usize {
    body.saturating_add(usize::try_from(FRAME_COST).unwrap_or(0))
}

fn cost_limit() -> u64 {
    u64::from(FRAME_COST) + u64::try_from(MAX_CHUNK).unwrap_or(u64::MAX)
}

/// The next chunk of a queue against its credit.
fn next_of(queue: &mut VecDeque<Body>, credit: &mut Credit) -> Option<Next> {
    loop {
        let head = queue.front_mut()?;
        if head.ticket.as_ref().is_some_and(|ticket| ticket.is_abandoned()) {
            let head = queue.pop_front()?;
            if head.sent > 0 {
                return Some(Next::Cancelled(head.correlation));
            }
            continue;
        }
        let chunk = head.peek();
        let cost = u64::from(chunk.cost());
        if credit.frames == 0 || credit.bytes < cost {
            return None;
        }
        if head.ticket.as_ref().is_some_and(|ticket| !ticket.leave()) {
            continue;
        }
        credit.frames -= 1;
        credit.bytes -= cost;
        head.sent += chunk.piece.len();
        if head.sent == head.bytes.len() {
            queue.pop_front();
        }
        return Some(Next::Chunk(chunk));
    }
}

#[cfg(test)]
#[path = "outbound_tests.rs"]
mod tests;
