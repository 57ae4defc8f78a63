//! The nodes of a trial.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use quarry_ports::{Host, Metrics, Random};
use quarry_runtime::{Node, NodeConfig, Ports, Registry};
use quarry_sim::{
    Coordination, LeaseTimes, Member, MemoryCoordinator, MemoryDatabase, MemoryStore, Network,
    Process, host::SeededRandom,
};
use quarry_types::{
    Address, Answer, BootId, CallError, Callers, Due, Envelope, Failure, IdempotencyKey, Keep,
    KeyOrigin, MessageId, Method, NodeId, Outcome, ReplyMode, Role, Tenant, UnknownCode,
};
use serde::Serialize;

/// Shards of a trial's cluster.
const SHARDS: u32 = 16;
/// How long a node may take for one try of a call.
const TRY: Duration = Duration::from_secs(5);
/// A node that says nothing for so long may be gone: another is asked.
const SILENCE: Duration = Duration::from_secs(6);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);

struct Running {
    node: Node,
    process: Arc<Process>,
    coordinator: Arc<MemoryCoordinator>,
}

struct Inner {
    host: Host,
    registry: Box<dyn Fn() -> Registry + Send + Sync>,
    database: Arc<MemoryDatabase>,
    network: Network,
    coordination: Coordination,
    random: SeededRandom,
    nodes: u64,
    running: Mutex<BTreeMap<u64, Running>>,
}

/// The cluster of a trial, whose nodes are numbered from 1. Clones are the same one.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

impl Cluster {
    pub(super) fn start(
        seed: u64,
        nodes: u64,
        registry: impl Fn() -> Registry + Send + Sync + 'static,
    ) -> Self {
        let host = quarry_sim::host(seed);
        let database = MemoryDatabase::new();
        database.faults().set_commit_time(Duration::from_millis(1));
        let cluster = Self(Arc::new(Inner {
            network: Network::new(host.clone(), seed),
            coordination: Coordination::new(host.clone(), LeaseTimes::default(), SHARDS),
            random: SeededRandom::new(seed ^ 0x5eed),
            registry: Box::new(registry),
            running: Mutex::default(),
            nodes,
            host,
            database,
        }));
        for node in 1..=nodes {
            cluster.restart(node);
        }
        cluster
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<u64, Running>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many nodes there are, whether or not they run.
    pub fn nodes(&self) -> u64 {
        self.0.nodes
    }

    /// A random number below `bound`, which follows from the seed.
    pub fn random(&self, bound: u64) -> u64 {
        self.0.random.below(bound)
    }

    /// Waits, in virtual time.
    pub async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Calls a method of an entity, `Type/id`, of the default tenant through any node, under a key of
    /// its own; asks again, through others, until it is done: the answer as JSON.
    ///
    /// # Errors
    /// The failure that the handler declared; `quarantined` where it failed too often;
    /// `invalid_call` where there is no such method, or the argument does not fit.
    pub async fn call(
        &self,
        entity: &str,
        method: &str,
        argument: &(impl Serialize + ?Sized),
    ) -> Result<serde_json::Value, Failure> {
        let mut envelope = self.envelope(entity, method, argument)?;
        loop {
            if let Some(ended) = self.try_once(envelope.clone()).await {
                let reply = ended?;
                let body = if reply.is_empty() { b"null" } else { reply.as_ref() };
                return serde_json::from_slice(body).map_err(|error| invalid(&error));
            }
            envelope.send_count += 1;
            self.sleep(PAUSE).await;
        }
    }

    fn envelope(
        &self,
        entity: &str,
        method: &str,
        argument: &(impl Serialize + ?Sized),
    ) -> Result<Envelope, Failure> {
        let tenant = Tenant::default_tenant();
        let address = Address::parse(tenant, entity).map_err(|error| invalid(&error))?;
        let argument = serde_json::to_vec(argument).map_err(|error| invalid(&error))?;
        let payload = if argument == b"null" { Vec::new() } else { argument };
        let key = format!("trial-{:016x}", self.0.random.next_u64());
        let (wall, random) = (self.0.host.clock.wall(), self.0.random.next_u64());
        Ok(Envelope {
            message_id: MessageId::new(wall, address.slot(), random),
            address,
            method: Method::new(method).map_err(|error| invalid(&error))?,
            payload: payload.into(),
            key: IdempotencyKey::new(&key).map_err(|error| invalid(&error))?,
            key_origin: KeyOrigin::Client,
            send_count: 0,
            reply: ReplyMode::Outcome,
            due: Due::Now,
            keep: Keep::Everything,
            trace_parent: None,
            callers: Callers::none(),
        })
    }

    /// One try through any node; nothing where it may be tried again.
    async fn try_once(&self, envelope: Envelope) -> Option<Result<bytes::Bytes, Failure>> {
        let (node, process) = self.any()?;
        let (tell, told) = tokio::sync::oneshot::channel();
        // The part of the call that is the node's stops and ends with its process.
        let host = process.host(&self.0.host);
        drop(host.spawn("call", async move { drop(tell.send(node.call(envelope, TRY).await)) }));
        match tokio::time::timeout(SILENCE, told).await.ok()?.ok()? {
            Ok(Answer::Handled { outcome: Outcome::Success(reply), .. }) => Some(Ok(reply)),
            Ok(Answer::Handled { outcome: Outcome::Failure(failure), .. }) => Some(Err(failure)),
            Ok(Answer::Accepted { .. }) => Some(Ok(bytes::Bytes::new())),
            Err(CallError::Unknown(unknown)) => {
                let is_set_aside = unknown.code == UnknownCode::Quarantined;
                let code = unknown.code.as_str().to_owned();
                is_set_aside.then_some(Err(Failure { code, message: unknown.message }))
            }
            Err(CallError::Refused(refusal)) => {
                (!refusal.code.is_retryable()).then(|| Err(invalid(&refusal)))
            }
        }
    }

    fn any(&self) -> Option<(Node, Arc<Process>)> {
        let running = self.running();
        let at = self.random(u64::try_from(running.len()).unwrap_or(0));
        let chosen = running.values().nth(usize::try_from(at).ok()?)?;
        Some((chosen.node.clone(), Arc::clone(&chosen.process)))
    }

    /// Kills the process of `node`, if it runs; what it had in memory is gone.
    pub fn kill(&self, node: u64) {
        if let Some(running) = self.running().remove(&node) {
            self.0.network.stop(NodeId(node));
            running.coordinator.end();
            running.process.kill();
        }
    }

    /// Starts a process of `node`; kills the one that runs, if one does.
    pub fn restart(&self, node: u64) {
        self.kill(node);
        let inner = &self.0;
        let Ok(metrics) = Metrics::new() else { return };
        let process = Process::new();
        let host = process.host(&inner.host);
        let boot = BootId(inner.random.next_u64());
        let coordinator = inner.coordination.join(Member {
            id: NodeId(node),
            boot,
            roles: [Role::Runner].into(),
            weight: 100,
            groups: BTreeSet::new(),
            http: String::new(),
            control: String::new(),
            mesh: format!("node-{node}"),
        });
        let ports = Ports {
            store: MemoryStore::open(&inner.database, Arc::clone(&host.clock)),
            transport: inner.network.node(NodeId(node)),
            coordinator: Arc::clone(&coordinator) as _,
            host,
            metrics,
        };
        let config = NodeConfig::new(NodeId(node), boot);
        let started = Node::start(config, (inner.registry)(), ports);
        self.running().insert(node, Running { node: started, process, coordinator });
    }

    /// Freezes the process of `node`, as a stop signal does: it misses all that happens meanwhile, and
    /// its lease runs out.
    pub fn freeze(&self, node: u64) {
        if let Some(running) = self.running().get(&node) {
            running.process.freeze();
            running.coordinator.cut(true);
        }
    }

    /// Lets a frozen process go on.
    pub fn thaw(&self, node: u64) {
        if let Some(running) = self.running().get(&node) {
            running.coordinator.cut(false);
            running.process.thaw();
        }
    }

    /// Cuts `node` off from all others and from the coordinator.
    pub fn cut_off(&self, node: u64) {
        self.0.network.partition(&[NodeId(node)].into());
        if let Some(running) = self.running().get(&node) {
            running.coordinator.cut(true);
        }
    }

    /// Ends all cuts.
    pub fn heal(&self) {
        self.0.network.heal();
        for running in self.running().values().filter(|running| !running.process.is_frozen()) {
            running.coordinator.cut(false);
        }
    }

    /// The database answers nothing until [`Cluster::give_back_database`].
    pub fn take_database(&self) {
        self.0.database.faults().set_unavailable("the trial took it away");
    }

    /// The database answers again.
    pub fn give_back_database(&self) {
        self.0.database.faults().set_available();
    }

    pub(super) fn host(&self) -> &Host {
        &self.0.host
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("nodes", &self.0.nodes).finish_non_exhaustive()
    }
}

fn invalid(error: &dyn fmt::Display) -> Failure {
    Failure { code: "invalid_call".to_owned(), message: error.to_string() }
}
