//! One process of a node: how it starts, and what it runs on.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use quarry::prelude::{Node, NodeConfig, Ports, Registry};
use quarry_consensus::{Config, Consensus, MemoryDisk, Recovery, Times, start_in_memory};
use quarry_core::coordinator::Founding;
use quarry_plane::{Cookie, Protocol, Security};
use quarry_ports::{Clock, Host, Metrics, Peer, Store, Transport};
use quarry_services::{Counter, Publisher, Register};
use quarry_sim::{MemoryStore, Process};
use quarry_types::{BootId, Monotonic, NodeId, Role, Timestamp};

use crate::{
    bombs::Bomb,
    entities::{Brief, Grump, Teller},
    world::World,
};

/// Shards of a simulated cluster.
const SHARDS: u32 = 8;
/// Stands for the cluster's secret.
const COOKIE: &str = "a cluster that is simulated needs no secret";

/// A process that runs, or starts.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) boot: BootId,
    pub(crate) process: Arc<Process>,
    pub(crate) clock: Arc<OwnClock>,
    /// None while it starts.
    pub(crate) node: Option<Node>,
}

/// A process's own clock: its rate differs from that of others by less than the bound, and its wall
/// clock jumps.
pub(crate) struct OwnClock {
    base: Arc<dyn Clock>,
    /// Parts per thousand by which it is faster, at most 40 in size.
    faster: i64,
    wall_offset: AtomicI64,
}

impl OwnClock {
    pub(crate) fn jump(&self, milliseconds: i64) {
        self.wall_offset.store(milliseconds, Ordering::Relaxed);
    }
}

impl Clock for OwnClock {
    fn monotonic(&self) -> Monotonic {
        let now = i128::from(self.base.monotonic().0);
        let own = now + now * i128::from(self.faster) / 1000;
        Monotonic(u64::try_from(own).unwrap_or(0))
    }

    fn wall(&self) -> Timestamp {
        Timestamp(self.base.wall().0.saturating_add(self.wall_offset.load(Ordering::Relaxed)))
    }
}

/// Why a process did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartFailed {
    #[error(transparent)]
    Coordinator(#[from] quarry_consensus::StartError),
    #[error("the store cannot be read: {0}")]
    Store(#[from] quarry_ports::StoreError),
    #[error("{0}")]
    Other(String),
}

impl World {
    /// Starts a process of node `id`, in place of any earlier one.
    pub(crate) fn start(self: &Arc<Self>, id: u64) {
        let boot = BootId(self.random.next()).over(id);
        self.chronicle.note(&format!("start {id} boot {:x}", boot.0));
        let clock = Arc::new(OwnClock {
            base: Arc::clone(&self.host.clock),
            faster: i64::try_from(self.random.below(81)).unwrap_or(40) - 40,
            wall_offset: AtomicI64::new(0),
        });
        let process = Process::new();
        let own = Host { clock: Arc::clone(&clock) as _, ..process.host(&self.host) };
        let running = Running { boot, process: Arc::clone(&process), clock, node: None };
        self.running().insert(id, running);
        let (world, host) = (Arc::clone(self), own.clone());
        drop(own.spawn("node", async move {
            match world.run(NodeId(id), boot, host).await {
                Ok(reason) => world.chronicle.note(&format!("node {id} has to end: {reason}")),
                Err(error) => world.chronicle.note(&format!("node {id} does not start: {error}")),
            }
            // As whoever watches over it does: another process takes its place.
            let next = Arc::clone(&world);
            let again = world.host.clone();
            drop(again.spawn("starter", async move {
                tokio::time::sleep(Duration::from_millis(500)).await;
                let is_same = next.running().get(&id).is_some_and(|now| now.boot == boot);
                if is_same {
                    next.kill(id);
                    next.start(id);
                }
            }));
        }));
    }

    /// Runs a process until it can take no further part, and says why.
    async fn run(
        self: &Arc<Self>,
        id: NodeId,
        boot: BootId,
        host: Host,
    ) -> Result<String, StartFailed> {
        let metrics = Metrics::new().map_err(|error| StartFailed::Other(error.to_string()))?;
        let clock = Arc::clone(&self.host.clock);
        let store = MemoryStore::open_by(&self.database, clock, Arc::clone(&host.clock));
        let existing = store.identity().await?;
        let (transport, disk) = self.ground(id);
        let config = self.config(id, boot, existing)?;
        let consensus =
            start_in_memory(config, host.clone(), metrics.clone(), transport, disk).await?;
        self.check_identity(&*store, &consensus).await?;
        let ports = Ports {
            store,
            transport: self.network.node(id),
            coordinator: Arc::clone(&consensus) as _,
            host,
            metrics,
        };
        let node = Node::start(NodeConfig::new(id, boot), self.registry(id, boot), ports);
        self.began(id, boot, node);
        consensus.join();
        let beliefs = self.beliefs.follow(id, quarry_ports::Coordinator::view(&*consensus));
        tokio::select! {
            biased;
            reason = consensus.failed() => Ok(reason),
            () = beliefs => Ok("its view has ended".to_owned()),
        }
    }

    async fn check_identity(
        &self,
        store: &dyn Store,
        consensus: &Consensus,
    ) -> Result<(), StartFailed> {
        let cluster = consensus.wait_for_cluster_id().await;
        let adopted = store.adopt(cluster).await?;
        if adopted == cluster {
            return Ok(());
        }
        self.chronicle.violation("two clusters were made");
        Err(StartFailed::Other("the store is of another cluster".to_owned()))
    }

    fn registry(self: &Arc<Self>, node: NodeId, boot: BootId) -> Registry {
        Registry::builder()
            .with(Counter::default())
            .with(Register::default())
            .with(Publisher::default())
            .with(Teller::default())
            .with(Grump)
            .with(Brief::default())
            .with(Bomb { world: Arc::downgrade(self), node, boot })
            .build()
    }

    /// The control plane and the disk of a node.
    fn ground(&self, id: NodeId) -> (Arc<dyn Transport>, MemoryDisk) {
        let transport = self.control.node(id);
        let peers = (1..=self.plan.nodes)
            .map(|node| Peer { node: NodeId(node), mesh: format!("control-{node}") });
        transport.set_peers(peers.collect());
        let disk = self.disks.get(&id.0).cloned().unwrap_or_default();
        (transport, disk)
    }

    fn config(
        &self,
        node: NodeId,
        boot: BootId,
        existing_identity: Option<quarry_types::ClusterId>,
    ) -> Result<Config, StartFailed> {
        let voters: BTreeMap<NodeId, String> = (1..=self.plan.voters())
            .map(|voter| (NodeId(voter), format!("control-{voter}")))
            .collect();
        let cookie = Cookie::new(COOKIE).map_err(|error| StartFailed::Other(error.to_string()))?;
        Ok(Config {
            node,
            boot,
            protocol: Protocol::CURRENT,
            voters,
            listen: format!("control-{node}"),
            advertise: format!("control-{node}"),
            data_dir: PathBuf::new(),
            cookie,
            security: Security::open(),
            cluster_name: "simulated".to_owned(),
            times: Times {
                // So that restarts meet snapshots too.
                log_bytes: 16 * 1024,
                ..Times::default()
            },
            roles: BTreeSet::from([Role::Runner, Role::Coordinator]),
            weight: 100,
            groups: BTreeSet::new(),
            http: String::new(),
            mesh: format!("node-{node}"),
            shards: SHARDS,
            max_moves: 64,
            founding: Founding::default(),
            existing_identity,
            recovery: Recovery::Refuse,
        })
    }
}
