//! The in-memory message plane: a network that nodes share, with seeded faults.
//!
//! Frames between two nodes arrive in the order in which they were sent, unless the plan says
//! otherwise. Two ways to break it that look different to a sender, as in a real network: a *cut*
//! swallows frames silently (requests end at their deadline), a *stopped* node refuses links
//! (requests fail at once).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use quarry_ports::{Host, Peer, Reply, RequestHandler, Transport, TransportError};
use quarry_types::{Monotonic, NodeId};
use tokio::sync::{mpsc, oneshot};

use crate::host::SeededRandom;

/// The largest body of a request or reply.
pub const MAX_BODY: usize = 16 * 1024 * 1024;

/// What the network does to frames. The default does nothing to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultPlan {
    /// Of 1000 frames, how many are lost.
    pub drop_per_mille: u16,
    /// Of 1000 frames, how many arrive twice.
    pub duplicate_per_mille: u16,
    /// Of 1000 frames, how many may overtake others and be overtaken.
    pub reorder_per_mille: u16,
    /// The least time that a frame takes.
    pub delay_min: Duration,
    /// The most time that a frame takes.
    pub delay_max: Duration,
}

/// What became of the frames of a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames handed to the network.
    pub sent: u64,
    /// Frames that the plan or a cut swallowed.
    pub lost: u64,
    /// Frames that were doubled.
    pub doubled: u64,
}

/// A network in memory. Clones are the same network.
#[derive(Clone)]
pub struct Network(Arc<Shared>);

struct Shared {
    host: Host,
    random: SeededRandom,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    plan: FaultPlan,
    nodes: BTreeMap<NodeId, Weak<MemoryTransport>>,
    stopped: BTreeSet<NodeId>,
    cuts: BTreeSet<(NodeId, NodeId)>,
    lines: BTreeMap<(NodeId, NodeId), Line>,
    traffic: Traffic,
}

/// One direction between two nodes.
struct Line {
    queue: mpsc::UnboundedSender<(Monotonic, Frame)>,
    last: Monotonic,
}

#[derive(Clone)]
enum Frame {
    Request { correlation: u64, body: Bytes },
    Reply { correlation: u64, body: Option<Bytes> },
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Network {
    /// A network without faults, whose later faults follow from `seed`.
    pub fn new(host: Host, seed: u64) -> Self {
        let random = SeededRandom::new(seed);
        Self(Arc::new(Shared { host, random, state: Mutex::default() }))
    }

    /// The transport of `node`: a new one, as after a restart, in place of any earlier one.
    pub fn node(&self, node: NodeId) -> Arc<MemoryTransport> {
        let transport = Arc::new(MemoryTransport {
            node,
            network: self.clone(),
            handler: Mutex::default(),
            peers: Mutex::default(),
            pending: Mutex::default(),
            correlation: AtomicU64::new(self.0.random.below(1 << 32)),
        });
        self.break_links(node);
        let mut state = lock(&self.0.state);
        state.stopped.remove(&node);
        state.nodes.insert(node, Arc::downgrade(&transport));
        transport
    }

    /// Puts `plan` in force for the frames sent from now on.
    pub fn set_plan(&self, plan: FaultPlan) {
        lock(&self.0.state).plan = plan;
    }

    /// Swallows all frames between `a` and `b` until they are healed.
    pub fn cut(&self, a: NodeId, b: NodeId) {
        self.cut_one_way(a, b);
        self.cut_one_way(b, a);
    }

    /// Swallows all frames from `from` to `to` until they are healed.
    pub fn cut_one_way(&self, from: NodeId, to: NodeId) {
        lock(&self.0.state).cuts.insert((from, to));
    }

    /// Cuts every pair with one node in `side` and the other outside it.
    pub fn partition(&self, side: &BTreeSet<NodeId>) {
        let mut state = lock(&self.0.state);
        let nodes: Vec<NodeId> = state.nodes.keys().copied().collect();
        for a in nodes.iter().filter(|node| side.contains(node)) {
            for b in nodes.iter().filter(|node| !side.contains(node)) {
                state.cuts.extend([(*a, *b), (*b, *a)]);
            }
        }
    }

    /// Ends all cuts.
    pub fn heal(&self) {
        lock(&self.0.state).cuts.clear();
    }

    /// Stops `node` as a crash does: its links break, requests to it fail at once, and what it had
    /// asked for is lost. [`Network::node`] starts it again.
    pub fn stop(&self, node: NodeId) {
        lock(&self.0.state).stopped.insert(node);
        self.break_links(node);
    }

    /// Lets a stopped `node` be reached again, with the transport that it had.
    pub fn resume(&self, node: NodeId) {
        lock(&self.0.state).stopped.remove(&node);
    }

    /// Whether `node` is stopped.
    pub fn is_stopped(&self, node: NodeId) -> bool {
        lock(&self.0.state).stopped.contains(&node)
    }

    /// What became of the frames so far.
    pub fn traffic(&self) -> Traffic {
        lock(&self.0.state).traffic
    }

    /// Fails what others wait for from `node` and what it waits for, and drops frames under way.
    fn break_links(&self, node: NodeId) {
        let nodes: Vec<_> = {
            let mut state = lock(&self.0.state);
            state.lines.retain(|(from, to), _| *from != node && *to != node);
            state.nodes.iter().map(|(id, transport)| (*id, transport.clone())).collect()
        };
        for (id, transport) in nodes {
            if let Some(transport) = transport.upgrade() {
                lock(&transport.pending).retain(|_, waiting| id != node && waiting.to != node);
            }
        }
    }

    fn reachable(&self, from: NodeId, to: NodeId) -> bool {
        let state = lock(&self.0.state);
        let up = |node| !state.stopped.contains(&node) && state.nodes.contains_key(&node);
        up(from) && up(to)
    }

    fn send(&self, from: NodeId, to: NodeId, frame: &Frame) {
        let shared = &self.0;
        let mut state = lock(&shared.state);
        let hit = |per_mille: u16| per_mille > 0 && shared.random.below(1000) < per_mille.into();
        state.traffic.sent += 1;
        if state.cuts.contains(&(from, to)) || hit(state.plan.drop_per_mille) {
            state.traffic.lost += 1;
            return;
        }
        let copies = if hit(state.plan.duplicate_per_mille) { 2 } else { 1 };
        state.traffic.doubled += copies - 1;
        for _ in 0..copies {
            let spread = state.plan.delay_max.saturating_sub(state.plan.delay_min);
            let spread = u64::try_from(spread.as_nanos()).unwrap_or(u64::MAX);
            let extra = if spread == 0 { 0 } else { shared.random.below(spread) };
            let delay = state.plan.delay_min.saturating_add(Duration::from_nanos(extra));
            let due = shared.host.now().after(delay);
            if hit(state.plan.reorder_per_mille) {
                let (network, frame) = (self.clone(), frame.clone());
                shared.host.spawn("overtaking frame", async move {
                    network.0.host.sleep_until(due).await;
                    network.arrive(from, to, frame);
                });
                continue;
            }
            let line = state.lines.entry((from, to)).or_insert_with(|| self.line(from, to));
            line.last = line.last.max(due);
            let _ = line.queue.send((line.last, frame.clone()));
        }
    }

    /// A line with a task of its own, which ends when the line is dropped.
    fn line(&self, from: NodeId, to: NodeId) -> Line {
        let (queue, mut frames) = mpsc::unbounded_channel::<(Monotonic, Frame)>();
        let (host, network) = (self.0.host.clone(), Arc::downgrade(&self.0));
        self.0.host.spawn("line", async move {
            while let Some((due, frame)) = frames.recv().await {
                host.sleep_until(due).await;
                // Frames under way when a link broke are gone.
                if frames.is_closed() {
                    return;
                }
                let Some(shared) = network.upgrade() else { return };
                Network(shared).arrive(from, to, frame);
            }
        });
        Line { queue, last: Monotonic(0) }
    }

    fn arrive(&self, from: NodeId, to: NodeId, frame: Frame) {
        let target = {
            let mut state = lock(&self.0.state);
            if state.stopped.contains(&to) || state.cuts.contains(&(from, to)) {
                state.traffic.lost += 1;
                return;
            }
            state.nodes.get(&to).and_then(Weak::upgrade)
        };
        if let Some(target) = target {
            target.arrived(from, frame);
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("traffic", &self.traffic()).finish_non_exhaustive()
    }
}

/// One node's transport on a [`Network`].
pub struct MemoryTransport {
    node: NodeId,
    network: Network,
    handler: Mutex<Option<Arc<dyn RequestHandler>>>,
    peers: Mutex<BTreeSet<NodeId>>,
    pending: Mutex<BTreeMap<u64, Waiting>>,
    correlation: AtomicU64,
}

struct Waiting {
    to: NodeId,
    answer: oneshot::Sender<Option<Bytes>>,
}

/// Forgets a request when its sender stops waiting.
struct Forget<'a>(&'a MemoryTransport, u64);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(&self.0.pending).remove(&self.1);
    }
}

impl MemoryTransport {
    /// The node whose transport it is.
    pub fn node(&self) -> NodeId {
        self.node
    }

    fn arrived(&self, from: NodeId, frame: Frame) {
        match frame {
            Frame::Request { correlation, body } => {
                let (network, node) = (self.network.clone(), self.node);
                let reply = Reply::new(move |body| {
                    if network.reachable(node, from) {
                        let body = body.filter(|body| body.len() <= MAX_BODY);
                        network.send(node, from, &Frame::Reply { correlation, body });
                    }
                });
                // Without a handler the reply is dropped, which tells the sender.
                let handler = lock(&self.handler).clone();
                if let Some(handler) = handler {
                    handler.handle(from, body, reply);
                }
            }
            Frame::Reply { correlation, body } => {
                let waiting = lock(&self.pending).remove(&correlation);
                if let Some(waiting) = waiting {
                    let _ = waiting.answer.send(body);
                }
            }
        }
    }
}

#[async_trait]
impl Transport for MemoryTransport {
    async fn request(
        &self,
        to: NodeId,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, TransportError> {
        let not_sent =
            |reason: &str| Err(TransportError::NotSent { to, reason: reason.to_owned() });
        let lost = |reason: &str| Err(TransportError::Lost { to, reason: reason.to_owned() });
        if body.len() > MAX_BODY {
            return not_sent("the body is over the limit");
        }
        if !lock(&self.peers).contains(&to) || !self.network.reachable(self.node, to) {
            return not_sent("there is no link to it");
        }
        let correlation = self.correlation.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        lock(&self.pending).insert(correlation, Waiting { to, answer });
        let _forget = Forget(self, correlation);
        self.network.send(self.node, to, &Frame::Request { correlation, body });
        match tokio::time::timeout(timeout, answered).await {
            Ok(Ok(Some(body))) => Ok(body),
            Ok(Ok(None)) => lost("the peer dropped the request"),
            Ok(Err(_)) => lost("the link broke"),
            Err(_) => lost("the deadline passed"),
        }
    }

    fn serve(&self, handler: Arc<dyn RequestHandler>) {
        *lock(&self.handler) = Some(handler);
    }

    fn set_peers(&self, peers: Vec<Peer>) {
        let peers: BTreeSet<NodeId> =
            peers.into_iter().map(|peer| peer.node).filter(|node| *node != self.node).collect();
        lock(&self.pending).retain(|_, waiting| peers.contains(&waiting.to));
        *lock(&self.peers) = peers;
    }
}

impl fmt::Debug for MemoryTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTransport").field("node", &self.node).finish_non_exhaustive()
    }
}
