//! What every transport does.
//!
//! The suite runs at one node and talks to a [`Responder`] at another, which may be in another
//! process: everything it asks of it goes through the transport. Checks are assertions: they panic
//! with what went wrong.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::join_all;
use quarry_ports::{Reply, RequestHandler, Transport, TransportError};
use quarry_types::NodeId;

/// The first byte of a request that the [`Responder`] answers with the request itself.
pub const ECHO: u8 = 0;
const DROP: u8 = 1;
/// The first byte of a request that the [`Responder`] keeps until it is told to release all.
pub const HOLD: u8 = 2;
const RELEASE: u8 = 3;
const WHO: u8 = 4;
const RECORD: u8 = 5;
const RECORDED: u8 = 6;
const HELD: u8 = 7;

/// Long enough for anything that is to succeed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Answers what the suite asks; serve it at the peer.
#[derive(Debug, Default)]
pub struct Responder {
    held: Mutex<Vec<Reply>>,
    recorded: Mutex<BTreeMap<NodeId, BytesMut>>,
}

impl RequestHandler for Responder {
    fn handle(&self, from: NodeId, body: Bytes, reply: Reply) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        match body.first().copied() {
            Some(ECHO) => reply.send(body),
            Some(HOLD) => held.push(reply),
            Some(RELEASE) => {
                // The last to come is answered first: replies need not keep the order.
                for waiting in held.drain(..).rev() {
                    waiting.send(Bytes::from_static(b"released"));
                }
                reply.send(Bytes::new());
            }
            Some(WHO) => reply.send(Bytes::copy_from_slice(&from.0.to_le_bytes())),
            Some(RECORD) => {
                recorded.entry(from).or_default().put_slice(body.get(1..9).unwrap_or_default());
                reply.send(Bytes::new());
            }
            Some(RECORDED) => {
                reply.send(recorded.remove(&from).unwrap_or_default().freeze());
            }
            Some(HELD) => reply.send(Bytes::from(held.len().to_string())),
            // `DROP` and what is not known.
            _ => drop(reply),
        }
    }
}

/// Where the suite runs.
#[derive(Clone)]
pub struct Stage {
    /// The transport under test; the peer is among its peers.
    pub transport: Arc<dyn Transport>,
    /// The node it belongs to.
    pub node: NodeId,
    /// Another node, which serves a [`Responder`].
    pub peer: NodeId,
    /// A node that does not exist.
    pub nobody: NodeId,
}

impl Stage {
    async fn ask(&self, body: impl Into<Bytes>) -> Result<Bytes, TransportError> {
        self.transport.request(self.peer, body.into(), PATIENCE).await
    }

    /// Waits until the peer answers: a link may take a while.
    ///
    /// # Panics
    /// Where it does not within 20 s.
    pub async fn linked(&self) {
        let answered = async {
            while self.ask(vec![ECHO]).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, answered).await.is_ok(), "the peer never answered");
    }

    /// All checks, one after the other.
    ///
    /// # Panics
    /// Where the transport breaks the contract.
    pub async fn run(&self) {
        self.linked().await;
        self.a_request_gets_its_reply().await;
        self.a_dropped_reply_is_told_at_once().await;
        self.an_unknown_node_is_not_sent_to().await;
        self.a_silent_peer_costs_the_deadline().await;
        self.replies_may_come_in_any_order().await;
        self.bodies_of_every_size_arrive_whole().await;
        self.a_body_over_the_limit_is_not_sent().await;
        self.many_requests_run_at_once().await;
        self.requests_of_one_sender_arrive_in_order().await;
        self.the_handler_learns_who_asks().await;
    }

    async fn a_request_gets_its_reply(&self) {
        let body = Bytes::from_static(&[ECHO, 1, 2, 3]);
        assert_eq!(self.ask(body.clone()).await, Ok(body));
    }

    async fn a_dropped_reply_is_told_at_once(&self) {
        let timed = tokio::time::timeout(PATIENCE / 2, self.ask(vec![DROP])).await;
        assert!(
            matches!(timed, Ok(Err(TransportError::Lost { to, .. })) if to == self.peer),
            "a nack is due long before the deadline, not {timed:?}"
        );
    }

    async fn an_unknown_node_is_not_sent_to(&self) {
        let answer = self.transport.request(self.nobody, Bytes::new(), PATIENCE).await;
        assert!(
            matches!(answer, Err(TransportError::NotSent { to, .. }) if to == self.nobody),
            "{answer:?}"
        );
    }

    async fn a_silent_peer_costs_the_deadline(&self) {
        let short = Duration::from_millis(50);
        let held = Bytes::from_static(&[HOLD]);
        let answer = self.transport.request(self.peer, held, short).await;
        assert!(
            matches!(answer, Err(TransportError::Lost { to, .. }) if to == self.peer),
            "{answer:?}"
        );
        // The late reply reaches nobody, and above all no other request.
        assert_eq!(self.ask(vec![RELEASE]).await, Ok(Bytes::new()));
        self.a_request_gets_its_reply().await;
    }

    async fn replies_may_come_in_any_order(&self) {
        let held = join_all((0..8).map(|_| self.ask(vec![HOLD])));
        let release = async {
            while self.ask(vec![HELD]).await != Ok(Bytes::from_static(b"8")) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            self.ask(vec![RELEASE]).await
        };
        let (answers, released) = tokio::join!(held, release);
        assert_eq!(released, Ok(Bytes::new()));
        for answer in answers {
            assert_eq!(answer, Ok(Bytes::from_static(b"released")));
        }
    }

    async fn bodies_of_every_size_arrive_whole(&self) {
        const CHUNK: usize = 64 * 1024;
        for size in [1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7, 5 << 20, 16 << 20] {
            let body: Vec<u8> = [ECHO].into_iter().chain((0..=250_u8).cycle()).take(size).collect();
            let answer = self.ask(body.clone()).await;
            assert!(
                answer.as_deref() == Ok(&body),
                "a body of {size} bytes came back as {:?}",
                answer.map(|body| body.len())
            );
        }
    }

    async fn a_body_over_the_limit_is_not_sent(&self) {
        let answer = self.ask(vec![ECHO; (16 << 20) + 1]).await;
        assert!(matches!(answer, Err(TransportError::NotSent { .. })), "{answer:?}");
    }

    async fn many_requests_run_at_once(&self) {
        let bodies = (0..2_000_u32).map(|number| {
            let mut body = vec![ECHO];
            body.extend(number.to_le_bytes());
            body.resize(5 + usize::try_from(number % 300).unwrap_or(0), 7);
            Bytes::from(body)
        });
        let answers = join_all(bodies.map(async |body| (self.ask(body.clone()).await, body)));
        for (answer, body) in answers.await {
            assert_eq!(answer, Ok(body));
        }
    }

    async fn requests_of_one_sender_arrive_in_order(&self) {
        assert!(self.ask(vec![RECORDED]).await.is_ok());
        let sends = (0..500_u64).map(|number| {
            let mut body = vec![RECORD];
            body.extend(number.to_le_bytes());
            // Every tenth is chunked: a short one must not overtake it.
            if number % 10 == 0 {
                body.resize(150_000, 0);
            }
            self.ask(body)
        });
        for answer in join_all(sends).await {
            assert_eq!(answer, Ok(Bytes::new()));
        }
        let expected: Vec<u8> = (0..500_u64).flat_map(u64::to_le_bytes).collect();
        let recorded = self.ask(vec![RECORDED]).await;
        assert!(recorded.as_deref() == Ok(&expected), "the order of arrival was another");
    }

    async fn the_handler_learns_who_asks(&self) {
        let answer = self.ask(vec![WHO]).await;
        assert_eq!(answer, Ok(Bytes::copy_from_slice(&self.node.0.to_le_bytes())));
    }
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stage({} asks {})", self.node, self.peer)
    }
}
