//! `ractor_cluster` as the mesh uses it: it is given streams of ours and tells what became of them.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use quarry_plane::{Refusal, Refusals};
use quarry_ports::{Host, Metrics, Task};
use ractor::{Actor, ActorId, ActorRef, pg};
use ractor_cluster::{
    NodeEventSubscription, NodeServer, NodeServerMessage,
    node::{NodeConnectionMode, NodeServerSessionInformation},
};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    config::StartError,
    frame::MeshMessage,
    gateway,
    greeting::Identity,
    socket::{Secured, Side},
    stream::{MAX_SUBSTRATE_FRAME, Watched},
};

/// How far a connection has come in the substrate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It has been handed over.
    Opened,
    /// Actors are mirrored; the substrate's number for the peer.
    Ready(u64),
    /// The session is gone.
    Gone,
}

/// A connection that was handed to the substrate.
#[derive(Debug)]
pub(crate) struct Session {
    label: String,
    /// Ends it, and tells that it has ended.
    pub(crate) end: CancellationToken,
    phase: watch::Sender<Phase>,
}

impl Session {
    /// Waits until the session is ready; the substrate's number for the peer, or nothing where it
    /// ended instead.
    pub(crate) async fn ready(&self) -> Option<u64> {
        let mut phase = self.phase.subscribe();
        let ready = phase.wait_for(|phase| *phase != Phase::Opened);
        tokio::select! {
            () = self.end.cancelled() => None,
            phase = ready => match *phase.ok()? {
                Phase::Ready(number) => Some(number),
                Phase::Opened | Phase::Gone => None,
            },
        }
    }

    /// Waits until the substrate has let go of the session.
    pub(crate) async fn gone(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.phase.subscribe().wait_for(|phase| *phase == Phase::Gone).await;
    }

    fn close(&self) {
        self.phase.send_replace(Phase::Gone);
        self.end.cancel();
    }
}

type Sessions = Arc<Mutex<HashMap<String, Arc<Session>>>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The substrate's node server and the sessions that were handed to it.
pub(crate) struct Substrate {
    identity: Identity,
    idle: Duration,
    metrics: Metrics,
    refusals: Arc<Refusals>,
    sessions: Sessions,
    server: Mutex<Option<ActorRef<NodeServerMessage>>>,
    labels: AtomicU64,
}

/// The pause before a node server that ended is started again.
const RESTART_PAUSE: Duration = Duration::from_millis(200);
/// What the substrate may take to let go of a session whose stream has ended.
const LETTING_GO: Duration = Duration::from_secs(2);

impl Substrate {
    /// Starts the node server, and starts it again whenever it ends before `stop`.
    pub(crate) async fn start(
        identity: Identity,
        idle: Duration,
        metrics: Metrics,
        refusals: Arc<Refusals>,
        host: &Host,
        stop: CancellationToken,
    ) -> Result<(Arc<Self>, Task), StartError> {
        let substrate = Arc::new(Self {
            identity,
            idle,
            metrics,
            refusals,
            sessions: Sessions::default(),
            server: Mutex::default(),
            labels: AtomicU64::new(1),
        });
        let mut ended = substrate.spawn().await?;
        let kept = substrate.clone();
        let task = host.spawn("mesh substrate", async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return kept.stop(ended).await,
                    _ = &mut ended => {}
                }
                tracing::error!("the node server of the mesh ended and is started again");
                ended = kept.restart().await;
            }
        });
        Ok((substrate, task))
    }

    async fn restart(&self) -> JoinHandle<()> {
        lock(&self.server).take();
        for (_, session) in lock(&self.sessions).drain() {
            session.close();
        }
        loop {
            tokio::time::sleep(RESTART_PAUSE).await;
            match self.spawn().await {
                Ok(ended) => return ended,
                Err(error) => tracing::error!(%error, "the node server did not start"),
            }
        }
    }

    /// The node server's own listener is bound to loopback, and what comes to it is refused.
    async fn spawn(&self) -> Result<JoinHandle<()>, StartError> {
        let Identity { node, boot, cookie, .. } = &self.identity;
        // Name and host differ between any two process starts: the substrate refuses a peer of the
        // same name as itself, and holds elections among sessions of one name.
        let server = NodeServer::new(
            0,
            cookie.expose().to_owned(),
            node.to_string(),
            format!("{:016x}.quarry", boot.0),
            None,
            Some(NodeConnectionMode::Isolated),
        )
        .with_listen_addr(IpAddr::V4(Ipv4Addr::LOCALHOST))
        .with_max_inbound_frame_size(MAX_SUBSTRATE_FRAME);
        let failed = |error: String| StartError::Substrate(error);
        let (server, ended) =
            Actor::spawn(None, server, ()).await.map_err(|error| failed(error.to_string()))?;
        let events = Events { sessions: self.sessions.clone(), refusals: self.refusals.clone() };
        server
            .cast(NodeServerMessage::SubscribeToEvents {
                id: "quarry".to_owned(),
                subscription: Box::new(events),
            })
            .map_err(|error| failed(error.to_string()))?;
        *lock(&self.server) = Some(server);
        Ok(ended)
    }

    async fn stop(&self, ended: JoinHandle<()>) {
        let server = lock(&self.server).take();
        if let Some(server) = server {
            server.stop(None);
            let _ = ended.await;
        }
    }

    /// Hands a greeted connection over.
    pub(crate) fn open(&self, stream: Secured, side: Side, peer: &str) -> Option<Arc<Session>> {
        let server = lock(&self.server).clone()?;
        let label = format!("{peer}#{}", self.labels.fetch_add(1, Ordering::Relaxed));
        let session = Arc::new(Session {
            label: label.clone(),
            end: CancellationToken::new(),
            phase: watch::Sender::new(Phase::Opened),
        });
        lock(&self.sessions).insert(label.clone(), session.clone());
        let watched = Watched {
            stream,
            label: label.clone(),
            peer: peer.to_owned(),
            end: session.end.clone(),
            idle: self.idle,
            metrics: self.metrics.clone(),
            refusals: self.refusals.clone(),
        };
        let opened = server.cast(NodeServerMessage::ConnectionOpenedExternal {
            stream: Box::new(watched),
            is_server: side == Side::Server,
        });
        if opened.is_err() {
            lock(&self.sessions).remove(&label);
            return None;
        }
        Some(session)
    }

    /// Ends a session, and waits until the substrate has let go of it.
    pub(crate) async fn close(&self, session: &Session) {
        session.end.cancel();
        // A session that the substrate never started is not reported either.
        if tokio::time::timeout(LETTING_GO, session.gone()).await.is_err() {
            lock(&self.sessions).remove(&session.label);
            session.close();
        }
    }

    /// The mirror of the gateway of `node` behind the session with this number.
    pub(crate) fn gateway(
        node: quarry_types::NodeId,
        number: u64,
    ) -> Option<ActorRef<MeshMessage>> {
        pg::get_scoped_members(&gateway::SCOPE.to_owned(), &gateway::group(node))
            .into_iter()
            .find(|cell| {
                matches!(cell.get_id(), ActorId::Remote { node_id, .. } if node_id == number)
            })
            .map(ActorRef::from)
    }
}

/// What the node server tells.
struct Events {
    sessions: Sessions,
    refusals: Arc<Refusals>,
}

impl Events {
    fn session(&self, label: &str) -> Option<Arc<Session>> {
        lock(&self.sessions).get(label).cloned()
    }
}

impl NodeEventSubscription for Events {
    fn node_session_opened(&self, session: NodeServerSessionInformation) {
        if self.session(&session.peer_addr).is_none() {
            self.refusals.record(&session.peer_addr, Refusal::Bypass);
            session.actor.kill();
        }
    }

    fn node_session_authenticated(&self, _session: NodeServerSessionInformation) {}

    fn node_session_ready(&self, session: NodeServerSessionInformation) {
        if let Some(known) = self.session(&session.peer_addr) {
            known.phase.send_replace(Phase::Ready(session.node_id));
        }
    }

    fn node_session_disconnected(&self, session: NodeServerSessionInformation) {
        let known = lock(&self.sessions).remove(&session.peer_addr);
        if let Some(known) = known {
            known.close();
        }
    }
}
