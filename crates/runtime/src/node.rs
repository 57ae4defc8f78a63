//! The handle of one process of the cluster.

use std::{sync::Arc, time::Duration};

use quarry_core::delivery::{AfterQuarantine, Limits};
use quarry_ports::{
    Administration, Coordinator, Host, MessageRecord, MessageState, Metrics, Peer, RequestHandler,
    Store, StoreError, StoredChunk, Transport,
};
use quarry_types::{
    Address, Answer, BootId, CallError, ClusterView, Delivery, EntityType, Envelope, Epoch,
    IdempotencyKey, MessageId, Monotonic, NodeId, NodeState, NodeView, Refusal, RefusalCode,
    ShardId, SlotRange,
};
use tokio::sync::{Notify, Semaphore, watch};

use crate::{
    Registry,
    residence::Residence,
    retire::Retirer,
    route::FirstUses,
    runner::{Runner, Served},
    shard::{Clocks, Loads, Shared, first_aside},
};

/// What a node stands on.
#[derive(Clone)]
pub struct Ports {
    /// Durable storage.
    pub store: Arc<dyn Store>,
    /// The message plane.
    pub transport: Arc<dyn Transport>,
    /// The coordinator.
    pub coordinator: Arc<dyn Coordinator>,
    /// Clock, randomness, tasks.
    pub host: Host,
    /// The metric families.
    pub metrics: Metrics,
}

/// How a node behaves.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The node's id.
    pub node: NodeId,
    /// Random per process start.
    pub boot: BootId,
    /// How long a handler may go on when its shard is to move.
    pub drain_time: Duration,
    /// Calls that this node routes at a time; more are refused as `overloaded`.
    pub calls: usize,
    /// Entities in memory at a time, at least 1; beyond, the least recently used ones without messages
    /// make room.
    pub residents: usize,
    /// Bytes of the states of other entities that are kept in memory, so that these need not be read.
    pub dormant_bytes: usize,
    /// Bounds of delivery.
    pub limits: Limits,
}

impl NodeConfig {
    /// The defaults for a node.
    pub fn new(node: NodeId, boot: BootId) -> Self {
        Self {
            node,
            boot,
            drain_time: Duration::from_secs(10),
            calls: 10_000,
            residents: 100_000,
            dormant_bytes: 64 * 1024 * 1024,
            limits: Limits::default(),
        }
    }
}

/// A shard that this node owns or loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnedShard {
    /// The shard.
    pub shard: ShardId,
    /// The epoch of the grant.
    pub epoch: Epoch,
}

/// The handle of one process of the cluster. Cheap to clone; the node lives on when it is dropped.
#[derive(Clone)]
pub struct Node(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: NodeConfig,
    pub(crate) registry: Registry,
    pub(crate) ports: Ports,
    pub(crate) served: Served,
    /// The types of which it is being recorded that they are used.
    pub(crate) first_uses: Arc<FirstUses>,
    /// When this node began.
    pub(crate) begun: Monotonic,
    pub(crate) calls: Semaphore,
    /// By when everything is to be closed, once this node stops.
    stopping: watch::Sender<Option<Monotonic>>,
    pub(crate) idle: Arc<Notify>,
}

impl Node {
    /// Starts the runner: from now on it takes the shards that the coordinator grants.
    pub fn start(config: NodeConfig, registry: Registry, ports: Ports) -> Self {
        let (stopping, stop) = watch::channel(None);
        let inner = Arc::new(Inner {
            calls: Semaphore::new(config.calls),
            served: Served::default(),
            first_uses: Arc::default(),
            begun: ports.host.now(),
            idle: Arc::default(),
            config,
            registry,
            ports,
            stopping,
        });
        let shared = inner.shared();
        inner.ports.host.spawn("retirer", Retirer::of(&shared).run());
        inner.ports.host.spawn("runner", Runner::new(shared, &inner, stop).run());
        inner.ports.transport.serve(Arc::clone(&inner) as Arc<dyn RequestHandler>);
        let follower = Arc::clone(&inner);
        inner.ports.host.spawn("peers", async move { follower.follow_peers().await });
        Self(inner)
    }

    /// Routes a message to its owner, wherever that is, and waits for what it is to be answered;
    /// looks again when the owner changes, until `timeout`.
    ///
    /// # Errors
    /// [`CallError::Refused`] where it was surely not done, [`CallError::Unknown`] where it may have
    /// been: then call again with the same key.
    pub async fn call(&self, envelope: Envelope, timeout: Duration) -> Result<Answer, CallError> {
        let inner = &self.0;
        let delivery = inner.check(&envelope).map_err(CallError::Refused)?;
        let Ok(_permit) = inner.calls.try_acquire() else { return Err(inner.too_many_calls()) };
        let entity_type = envelope.address.entity_type.clone();
        let result = inner.route(envelope, delivery, timeout).await;
        inner.count(&entity_type, &result);
        result
    }

    /// Waits until the message is finished or set aside, at most for `timeout`; the record as the
    /// store has it then. None where there is no such message.
    ///
    /// # Errors
    /// [`StoreError`] where the store does not answer.
    pub async fn await_message(
        &self,
        message_id: MessageId,
        timeout: Duration,
    ) -> Result<Option<MessageRecord>, StoreError> {
        let inner = &self.0;
        let deadline = inner.ports.host.now().after(timeout);
        loop {
            let record = inner.ports.store.message(message_id).await?;
            let left = deadline.since(inner.ports.host.now());
            let open = record.as_ref().filter(|record| is_open(record) && !left.is_zero());
            let Some(open) = open else { return Ok(record) };
            let asked = inner.ports.host.now();
            inner.await_at_owner(open, None, left).await;
            // The owner answers when there is something new; where it could not be asked, wait a bit.
            if inner.ports.host.now().since(asked) < Duration::from_millis(20) {
                tokio::time::sleep(Duration::from_millis(20).min(left)).await;
            }
        }
    }

    /// The quarantined message behind which an open message to `address` waits, where its type says
    /// that order outranks progress.
    ///
    /// # Errors
    /// [`StoreError`] where the store does not answer.
    pub async fn held_up_by(&self, address: &Address) -> Result<Option<MessageId>, StoreError> {
        let inner = &self.0;
        let limits = &inner.config.limits;
        let of_type = limits.types.get(&address.entity_type).copied();
        let of_type = of_type
            .unwrap_or_else(|| inner.registry.bounds(&address.entity_type, limits.default_type));
        if of_type.after_quarantine == AfterQuarantine::GoOn {
            return Ok(None);
        }
        let range = SlotRange { first: address.slot(), last: address.slot() };
        let space = inner.space_of(address);
        first_aside(&*inner.ports.store, (space, range), address).await
    }

    /// The durable chunks of a message from number `from` on, at most `limit`; waits up to `timeout`
    /// for the first of them. Empty where there is none by then, or the message is over without.
    ///
    /// # Errors
    /// [`StoreError`] where the store does not answer.
    pub async fn chunks(
        &self,
        message_id: MessageId,
        from: u64,
        limit: u32,
        timeout: Duration,
    ) -> Result<Vec<StoredChunk>, StoreError> {
        let inner = &self.0;
        let store = &inner.ports.store;
        let deadline = inner.ports.host.now().after(timeout);
        loop {
            // Asked before the chunks are read: what is over then has all its chunks durable.
            let record = store.message(message_id).await?;
            let chunks = store.chunks(message_id, from, limit).await?;
            let left = deadline.since(inner.ports.host.now());
            let is_over = record.as_ref().is_some_and(|record| !is_open(record));
            if !chunks.is_empty() || is_over || left.is_zero() {
                return Ok(chunks);
            }
            let asked = inner.ports.host.now();
            if let Some(record) = &record {
                inner.await_at_owner(record, Some(from), left).await;
            }
            if inner.ports.host.now().since(asked) < Duration::from_millis(20) {
                tokio::time::sleep(Duration::from_millis(20).min(left)).await;
            }
        }
    }

    /// A new id for a message to `address`.
    pub fn new_message_id(&self, address: &Address) -> MessageId {
        self.0.new_message_id(address)
    }

    /// A new random key for a message whose client gave none.
    pub fn new_key(&self) -> IdempotencyKey {
        let random = &self.0.ports.host.random;
        let text = format!("q-{:016x}{:016x}", random.next_u64(), random.next_u64());
        #[expect(clippy::expect_used, reason = "the text obeys the rule for keys by its form")]
        IdempotencyKey::new(&text).expect("hexadecimal digits make a key")
    }

    /// The entity types of this node.
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// What the node stands on.
    pub fn ports(&self) -> &Ports {
        &self.0.ports
    }

    /// The node's id.
    pub fn id(&self) -> NodeId {
        self.0.config.node
    }

    /// The cluster as this node knows it.
    pub fn view(&self) -> Arc<ClusterView> {
        Arc::clone(&self.0.ports.coordinator.view().borrow())
    }

    /// Whether this node gives its shards away.
    pub fn is_draining(&self) -> bool {
        let is_told = self.view().nodes.get(&self.0.config.node).is_some_and(|node| {
            node.state == NodeState::Draining && node.boot == self.0.config.boot
        });
        is_told || self.0.stopping.borrow().is_some()
    }

    /// The shards that this node owns or loads.
    pub fn owned_shards(&self) -> Vec<OwnedShard> {
        self.0.served.all().into_iter().map(|(shard, epoch)| OwnedShard { shard, epoch }).collect()
    }

    /// Hands every shard off and says goodbye, as [`Node::hand_off`] and [`Node::leave`].
    pub async fn drain(&self) {
        self.hand_off().await;
        self.leave().await;
    }

    /// Hands every shard off, within the drain time. For the end of the process: nothing that was
    /// acknowledged is lost. Calls that come in are still routed, until the node leaves.
    pub async fn hand_off(&self) {
        let inner = &self.0;
        let deadline = inner.ports.host.now().after(inner.config.drain_time);
        // Where the number is another process's by now, it is not this one's to drain.
        if self.is_known() {
            let withdraw = Administration::Withdraw(inner.config.node);
            let drained = inner.ports.coordinator.administer(withdraw);
            let told = tokio::time::timeout(Duration::from_secs(2), drained).await;
            if matches!(told, Ok(Ok(_))) {
                self.wait_until_idle(deadline, || self.someone_can_take_over()).await;
            }
        }
        // What nobody took is closed here, so that its last commits are through.
        inner.stopping.send_replace(Some(deadline));
        let grace = inner.ports.host.now().max(deadline).after(Duration::from_secs(2));
        self.wait_until_idle(grace, || true).await;
    }

    /// Gives all shards up as they are, so that others can take them over at once. They end their
    /// links to this node, and with them the calls that it passed on.
    pub async fn leave(&self) {
        let goodbye = self.0.ports.coordinator.goodbye();
        if !matches!(tokio::time::timeout(Duration::from_secs(2), goodbye).await, Ok(Ok(()))) {
            tracing::info!("goodbye was not heard; the lease ends by time");
        }
    }

    /// Whether the node of this number is this process, as it knows.
    fn is_known(&self) -> bool {
        let (view, config) = (self.view(), &self.0.config);
        view.nodes.get(&config.node).is_some_and(|node| node.boot == config.boot)
    }

    /// Whether the coordinator can grant what is still served to another runner that is up.
    fn someone_can_take_over(&self) -> bool {
        let view = self.view();
        let takes = |node: &NodeView, group: Option<&str>| {
            node.id != self.id()
                && node.state == NodeState::Up
                && node.weight > 0
                && group.is_none_or(|group| node.groups.contains(group))
        };
        let has_taker = |(shard, _): &(ShardId, Epoch)| {
            let group = view.bindings.group(shard.space());
            view.nodes.values().any(|node| takes(node, group))
        };
        self.0.ports.coordinator.status().has_quorum && self.0.served.all().iter().any(has_taker)
    }

    /// Waits until no shard is served, `deadline`, or `is_hopeful` no more.
    async fn wait_until_idle(&self, deadline: Monotonic, is_hopeful: impl Fn() -> bool) {
        let is_over = || {
            self.0.served.all().is_empty() || self.0.ports.host.now() >= deadline || !is_hopeful()
        };
        while !is_over() {
            // The runner notifies when its last shard is closed; looking again costs nothing.
            let _ = tokio::time::timeout(Duration::from_millis(20), self.0.idle.notified()).await;
        }
    }
}

fn is_open(record: &MessageRecord) -> bool {
    matches!(record.state, MessageState::Open { .. })
}

impl Inner {
    fn shared(self: &Arc<Self>) -> Shared {
        let limits = self.registry.bounded(self.config.limits.clone());
        let NodeConfig { residents, dormant_bytes, .. } = self.config;
        let metrics = self.ports.metrics.clone();
        Shared {
            node: self.config.node,
            boot: self.config.boot,
            registry: self.registry.clone(),
            store: Arc::clone(&self.ports.store),
            lease: self.ports.coordinator.lease(),
            host: self.ports.host.clone(),
            residence: Residence::new(residents, dormant_bytes, &limits, &metrics),
            metrics,
            limits,
            drain_time: self.config.drain_time,
            clocks: Clocks::default(),
            loads: Loads::default(),
            turn: Arc::new(Semaphore::new(1)),
            caller: Arc::downgrade(self),
        }
    }

    /// How `envelope` is delivered; refuses what no type takes.
    pub(crate) fn check(&self, envelope: &Envelope) -> Result<Delivery, Refusal> {
        let entity_type = &envelope.address.entity_type;
        self.registry.check(entity_type, &envelope.method, &envelope.payload)
    }

    /// The refusal of what this node has no room to route.
    pub(crate) fn too_many_calls(&self) -> CallError {
        CallError::Refused(Refusal {
            code: RefusalCode::Overloaded,
            message: format!("this node already routes {} calls", self.config.calls),
            retry_after_ms: Some(1_000),
        })
    }

    /// Counts how a call ended.
    pub(crate) fn count(&self, entity_type: &EntityType, result: &Result<Answer, CallError>) {
        let outcome = match result {
            Ok(_) => "done",
            Err(CallError::Refused(_)) => "refused",
            Err(CallError::Unknown(_)) => "unknown",
        };
        self.ports.metrics.messages.with_label_values(&[entity_type.as_str(), outcome]).inc();
    }

    pub(crate) fn new_message_id(&self, address: &Address) -> MessageId {
        let host = &self.ports.host;
        MessageId::new(host.clock.wall(), address.slot(), host.random.next_u64())
    }

    /// Whether the number is, by `view`, that of a process over another data directory that has a lease.
    fn is_taken(&self, view: &ClusterView) -> bool {
        let known = view.nodes.get(&self.config.node);
        known.is_some_and(|known| {
            known.state != NodeState::Down && known.boot.directory() != self.config.boot.directory()
        })
    }

    /// Keeps the transport's peers as the coordinator's view has them. While another process has the
    /// number there are none: the peers would take the links of this one for the other's.
    async fn follow_peers(&self) {
        let mut view = self.ports.coordinator.view();
        let mut known = Vec::new();
        loop {
            let current = Arc::clone(&view.borrow_and_update());
            let is_taken = self.is_taken(&current);
            let is_peer = |node: &&NodeView| {
                !is_taken && node.id != self.config.node && node.state != NodeState::Down
            };
            let peer = |node: &NodeView| Peer { node: node.id, mesh: node.mesh.clone() };
            let peers: Vec<Peer> = current.nodes.values().filter(is_peer).map(peer).collect();
            if peers != known {
                self.ports.transport.set_peers(peers.clone());
                known = peers;
            }
            if view.changed().await.is_err() {
                return;
            }
        }
    }
}
