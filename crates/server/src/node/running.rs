//! A running node: the parts, started in order and ended in the reverse one.

use std::{net::TcpListener, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use quarry::runtime::{Node, Ports};
use quarry_consensus::{Consensus, Recovery};
use quarry_extract::pack::Library;
use quarry_gateway::{Entrance, FAREWELL, Gateway, GatewayConfig, ListenerConfig, Opening};
use quarry_mesh::Mesh;
use quarry_ports::{Coordinator, Host, Store, StoreError, Task, crash};
use quarry_types::{BootId, ClusterId};
use tokio::sync::watch;

use super::{
    Phases, Signals,
    addresses::Addresses,
    create_directory,
    guard::{Guard, protection},
    limits,
    mark::StoreMark,
    parts,
    ready::until_all_ready,
    registry::Hosted,
};
use crate::{
    configuration::{Settings, mask_url},
    failure::{Exit, Failure},
};

/// How long the end of a process may take beyond the drain time: what HTTP takes to tell its clients and to
/// answer them, and a goodbye.
const GRACE: Duration = FAREWELL.saturating_add(HTTP_GRACE).saturating_add(GOODBYE);
/// How long requests in flight may take then.
const HTTP_GRACE: Duration = Duration::from_secs(5);
/// How long a goodbye may take, and the end of the planes.
const GOODBYE: Duration = Duration::from_secs(3);
/// How long to wait before the store is asked again that did not answer.
const STORE_PAUSE: Duration = Duration::from_millis(200);
/// After so long without a quorum or the store at the start, the operator hears of it.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a node that starts waits for, to be read by operators.
const STORE: &str = "its store";

/// A running node.
pub(crate) struct RunningNode {
    node: Node,
    store: Arc<dyn Store>,
    consensus: Arc<Consensus>,
    mesh: Arc<Mesh>,
    http: Task,
    stop_http: watch::Sender<bool>,
    mark: StoreMark,
    url: String,
    drain_time: Duration,
}

impl RunningNode {
    /// Starts everything: listeners first, which say until the rest is there for what it waits; the
    /// store, the planes, the coordinator, and the runner when the store is known to be the cluster's.
    ///
    /// # Errors
    /// Says which part does not start, why, and what to do.
    pub(crate) async fn start(
        settings: &Settings,
        hosted: Hosted,
        recovery: Recovery,
        host: &Host,
        phases: &mut Phases,
    ) -> Result<Self, Failure> {
        let (listener, addresses) = Addresses::bind(&settings.node)?;
        let data = create_directory(&settings.node.data_dir)?;
        let guard = Guard::read(settings, &data, host)?;
        let (metrics, library, registry) = hosted.build();
        guard.watch_expiry(&metrics, host);
        let (opening, entrance) = quarry_gateway::entrance(metrics.clone(), host.clone());
        let (stop_http, stopped) = watch::channel(false);
        let http = serve_http(entrance, listener, stopped, host)?;
        phases.mark("listeners");
        opening.waits_for(STORE);
        let store = parts::store(settings, &data, host, &metrics).await?;
        let identity = store.identity().await.map_err(anyhow::Error::from)?;
        crash::point("store-opened");
        phases.mark("store");
        let mesh = parts::mesh(settings, &addresses, &guard, host, &metrics).await?;
        phases.mark("mesh");
        let bindings = limits::bindings(settings, &registry)?;
        let wanted = bindings.clone();
        let founding = parts::founding(settings, &data, bindings, recovery).await?;
        let boot = BootId(host.random.next_u64());
        let planned =
            parts::Coordination { boot, data: data.clone(), identity, recovery, founding };
        let consensus =
            parts::consensus(settings, &addresses, &guard, planned, host, &metrics).await?;
        phases.mark("consensus");
        let cluster = check_identity(&*store, &consensus, &opening, host).await?;
        crash::point("identity-adopted");
        phases.mark("identity");
        let mark = StoreMark::start(&data, cluster, &store, &metrics, host).await;
        let ports = Ports {
            store: Arc::clone(&store),
            transport: Arc::clone(&mesh) as _,
            coordinator: Arc::clone(&consensus) as _,
            host: host.clone(),
            metrics,
        };
        let config = limits::node_config(settings, &registry, consensus.boot())?;
        let node = Node::start(config, registry, ports);
        opening.open(quarry_gateway::router(gateway(&node, settings, library)));
        let coordinator = Arc::clone(&consensus) as Arc<dyn Coordinator>;
        host.spawn("bindings", limits::compare_bindings(wanted, coordinator));
        // Last: from here on it is given shards, and they wait for nothing but their load.
        consensus.join();
        phases.mark("runner");
        tracing::info!(node = settings.node.id, http = %addresses.http, "node started");
        Ok(Self {
            node,
            store,
            consensus,
            mesh,
            http,
            stop_http,
            mark,
            url: format!("http://{}", addresses.http),
            drain_time: settings.node.drain_time,
        })
    }

    /// Waits until the node says that it is ready.
    ///
    /// # Errors
    /// Where it does not within `limit`.
    pub(crate) async fn until_ready(&self, limit: Duration) -> Result<(), Failure> {
        until_all_ready(std::slice::from_ref(&self.url), limit).await
    }

    /// The node itself.
    pub(crate) const fn node(&self) -> &Node {
        &self.node
    }

    /// Where its API answers.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Waits until the node can take no further part; why.
    pub(crate) async fn ended(&self) -> Failure {
        let reason = tokio::select! {
            reason = self.consensus.failed() => reason,
            reason = self.store.failed() => reason,
        };
        Failure::new(Exit::Failed, format!("node {} must end: {reason}", self.node.id()))
            .advise("start it again")
    }

    /// Hands all shards off, says goodbye and ends; another signal ends the process at once.
    ///
    /// # Errors
    /// Where another signal cut it short.
    pub(crate) async fn stop(self, signals: &mut Signals) -> Result<(), Failure> {
        let limit = self.drain_time.saturating_add(GRACE);
        tokio::select! {
            ended = tokio::time::timeout(limit, self.end()) => {
                if ended.is_err() {
                    tracing::warn!("the end took longer than the drain time; what is left is cut off");
                }
                Ok(())
            }
            () = signals.next() => {
                Err(Failure::new(Exit::Failed, "a second signal: ended at once"))
            }
        }
    }

    /// Hands all shards off, answers what came in by HTTP, says goodbye and ends. Where the store failed
    /// nothing can be brought to its end, and others get the shards at once.
    pub(crate) async fn end(self) {
        let has_failed = self.store.failed().now_or_never().is_some();
        if has_failed {
            self.node.leave().await;
        } else {
            tracing::info!("draining");
            self.node.hand_off().await;
        }
        self.stop_http.send_replace(true);
        self.http.ended().await;
        if !has_failed {
            self.node.leave().await;
        }
        self.mark.end().await;
        self.consensus.shutdown().await;
        self.mesh.shutdown().await;
        tracing::info!("ended");
    }
}

/// Makes sure that the store is the cluster's: no shard is loaded from another's.
async fn check_identity(
    store: &dyn Store,
    consensus: &Consensus,
    opening: &Opening,
    host: &Host,
) -> Result<ClusterId, Failure> {
    opening.waits_for("a quorum of the coordinator's voters");
    let known = async {
        loop {
            let known = tokio::time::timeout(PATIENCE, consensus.wait_for_cluster_id()).await;
            if let Ok(cluster) = known {
                return cluster;
            }
            tracing::warn!("waiting for a quorum of the coordinator's voters");
        }
    };
    let cluster = tokio::select! {
        cluster = known => cluster,
        reason = consensus.failed() => return Err(Failure::new(Exit::Failed, reason)),
    };
    opening.waits_for(STORE);
    let adopted = tokio::select! {
        adopted = adopt(store, cluster, host) => adopted?,
        reason = consensus.failed() => return Err(Failure::new(Exit::Failed, reason)),
    };
    if adopted == cluster {
        return Ok(cluster);
    }
    let message = format!(
        "the store {} belongs to cluster {:016x}, and this node to {:016x}",
        mask_url(&store.describe()),
        adopted.0,
        cluster.0
    );
    Err(Failure::new(Exit::Refused, message)
        .advise("name the cluster's own store with --store, or its own data directory with --data"))
}

/// Says to the store whose it is, and asks whose it was before. Nothing waits for this node meanwhile,
/// so it waits for its database.
async fn adopt(store: &dyn Store, cluster: ClusterId, host: &Host) -> Result<ClusterId, Failure> {
    let mut told = None;
    loop {
        let reason = match store.adopt(cluster).await {
            Ok(adopted) => return Ok(adopted),
            Err(StoreError::Unavailable { reason }) => reason,
            Err(error @ StoreError::Corrupt { .. }) => {
                return Err(anyhow::Error::from(error).into());
            }
        };
        let now = host.now();
        if told.is_none_or(|told| now.since(told) >= PATIENCE) {
            told = Some(now);
            tracing::warn!(reason, "waiting for the store");
        }
        tokio::time::sleep(STORE_PAUSE).await;
    }
}

fn gateway(node: &Node, settings: &Settings, library: Arc<Library>) -> Gateway {
    let config = GatewayConfig {
        body_limit: settings.http.body_limit,
        call_timeout: settings.http.timeout,
        in_flight: settings.http.in_flight,
        protection: protection(settings),
        ..GatewayConfig::default()
    };
    Gateway::with_library(node.clone(), config, library)
}

fn serve_http(
    entrance: Entrance,
    listener: TcpListener,
    mut stopped: watch::Receiver<bool>,
    host: &Host,
) -> Result<Task, Failure> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let shutdown = async move {
        // An error means that the node is gone: the same.
        drop(stopped.wait_for(|stopped| *stopped).await);
    };
    let config = ListenerConfig { grace: HTTP_GRACE, ..ListenerConfig::default() };
    Ok(host
        .spawn("http", quarry_gateway::serve(listener, entrance, config, host.clone(), shutdown)))
}
