//! The mesh of one node: the transport that others see, and what it is made of.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use quarry_plane::Refusals;
use quarry_ports::{Host, Metrics, Peer, RequestHandler, Task, Transport, TransportError};
use quarry_types::{BootId, NodeId};
use tokio_util::sync::CancellationToken;

use crate::{
    acceptor,
    config::{Config, StartError},
    connector::{self, Joiner},
    frame::MAX_BODY,
    gateway::Gateway,
    greeting::Identity,
    outbound::Window,
    socket,
    substrate::Substrate,
    switchboard::Switchboard,
};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The mesh of this process. One per process: the substrate's registries are process-wide.
pub struct Mesh {
    joiner: Arc<Joiner>,
    local: SocketAddr,
    metrics: Metrics,
    stop: CancellationToken,
    peers: Mutex<BTreeMap<NodeId, Kept>>,
    substrate: Mutex<Option<Task>>,
}

/// A peer that a link is kept with.
struct Kept {
    mesh: String,
    /// Ends the task that connects to it.
    stop: CancellationToken,
}

/// Starts the mesh of this process: it listens, and serves what [`Transport::serve`] will name.
///
/// # Errors
/// [`StartError`].
pub async fn start(config: Config, host: Host, metrics: Metrics) -> Result<Arc<Mesh>, StartError> {
    let Config { node, protocol, cluster_name, cookie, security, listen, limits } = config;
    let limits = limits.workable();
    let (listener, local) = socket::listen(&listen)
        .await
        .map_err(|source| StartError::Listen { address: listen, source })?;
    let boot = BootId(host.random.next_u64());
    let window = Window { bytes: limits.window_bytes, frames: limits.window_frames };
    let identity = Identity { protocol, cluster: cluster_name, node, boot, cookie, window };
    let stop = CancellationToken::new();
    let refusals = Arc::new(Refusals::new("mesh", metrics.mesh_refused.clone()));
    let switchboard = Arc::new(Switchboard::new(metrics.clone(), refusals.clone()));
    Gateway::start(node, switchboard.clone(), &host, stop.clone())
        .await
        .map_err(|error| StartError::Substrate(error.to_string()))?;
    let (substrate, kept) = Substrate::start(
        identity.clone(),
        limits.idle,
        metrics.clone(),
        refusals.clone(),
        &host,
        stop.clone(),
    )
    .await?;
    let joiner = Arc::new(Joiner::new(
        (identity, security),
        limits,
        host.clone(),
        switchboard,
        substrate,
        refusals,
    ));
    host.spawn("mesh acceptor", acceptor::run(listener, joiner.clone(), stop.clone()));
    Ok(Arc::new(Mesh {
        joiner,
        local,
        metrics,
        stop,
        peers: Mutex::default(),
        substrate: Mutex::new(Some(kept)),
    }))
}

impl Mesh {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The nodes with which there is a link now.
    pub fn linked(&self) -> Vec<NodeId> {
        let links = self.joiner.switchboard.links();
        let mut nodes: Vec<_> = links.iter().map(|link| link.peer).collect();
        nodes.sort_unstable();
        nodes
    }

    /// Ends all links and tasks; what waits fails. Waits until the substrate has stopped.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.set_peers(Vec::new());
        for link in self.joiner.switchboard.links() {
            self.joiner.switchboard.forget(&link);
        }
        let substrate = lock(&self.substrate).take();
        if let Some(substrate) = substrate {
            substrate.ended().await;
        }
    }

    fn keep(&self, peer: Peer) -> Kept {
        let stop = self.stop.child_token();
        // One link per pair: the lower node connects.
        if self.joiner.identity.node < peer.node {
            let run = connector::run(self.joiner.clone(), peer.clone(), stop.clone());
            self.joiner.host.spawn("mesh connector", run);
        }
        Kept { mesh: peer.mesh, stop }
    }
}

#[async_trait]
impl Transport for Mesh {
    async fn request(
        &self,
        to: NodeId,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, TransportError> {
        let not_sent =
            |reason: &str| Err(TransportError::NotSent { to, reason: reason.to_owned() });
        if body.len() > MAX_BODY {
            return not_sent("the body is over the limit");
        }
        let Some(link) = self.joiner.switchboard.link(to) else {
            return not_sent("there is no link to it");
        };
        if link.is_clogged() {
            self.metrics.mesh_credit_waits.inc();
        }
        let correlation = self.joiner.switchboard.next_correlation();
        link.request(correlation, body, timeout).await
    }

    fn serve(&self, handler: Arc<dyn RequestHandler>) {
        self.joiner.switchboard.serve(handler);
    }

    fn set_peers(&self, peers: Vec<Peer>) {
        let mut wanted: BTreeMap<NodeId, Peer> =
            peers.into_iter().map(|peer| (peer.node, peer)).collect();
        wanted.remove(&self.joiner.identity.node);
        for link in self.joiner.switchboard.links() {
            if !wanted.contains_key(&link.peer) {
                link.end.cancel();
            }
        }
        let mut kept = lock(&self.peers);
        kept.retain(|node, kept| {
            let stays = wanted.get(node).is_some_and(|peer| peer.mesh == kept.mesh);
            if !stays {
                kept.stop.cancel();
            }
            stays
        });
        for (node, peer) in wanted {
            kept.entry(node).or_insert_with(|| self.keep(peer));
        }
    }
}

impl fmt::Debug for Mesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mesh").field("local", &self.local).finish_non_exhaustive()
    }
}
