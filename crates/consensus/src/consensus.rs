//! The coordinator as this node has it.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use openraft::async_runtime::watch::WatchReceiver;
use quarry_core::coordinator::{Command, LeaseEnd, Loads, MAX_RECORDED, Response};
use quarry_ports::{
    Administration, Coordinator, CoordinatorError, CoordinatorStatus, Host, LeaseGuard, Task,
};
use quarry_types::{BootId, ClusterId, ClusterView, Epoch, Monotonic, NodeId, ShardId};
use tokio::{runtime::Runtime, sync::watch};

use crate::{
    ask::Asker, config::Config, control::ReplaceRequest, directory::Directory, keeper::Standing,
    leader::Lead, view::Views,
};

/// How long a request of the runner or of an operator is tried.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);
/// How long the replacement of a voter is tried; a snapshot may have to cross first.
const REPLACE_LIMIT: Duration = Duration::from_secs(25);
/// Of how many shards a heartbeat says what they cost, the heaviest: it is to stay small.
const REPORTED: usize = 256;
/// How long a leader waits until another one leads.
const TRANSFER_LIMIT: Duration = Duration::from_secs(1);

/// The coordinator as this node has it. Dropping it ends all of its work at once, as a crash would;
/// [`Consensus::shutdown`] ends it in order.
pub struct Consensus {
    pub(crate) config: Config,
    pub(crate) host: Host,
    pub(crate) views: Arc<Views>,
    pub(crate) guard: LeaseGuard,
    pub(crate) asker: Arc<Asker>,
    pub(crate) lead: Option<Arc<Lead>>,
    pub(crate) standing: watch::Receiver<Standing>,
    pub(crate) heard: watch::Receiver<Option<Monotonic>>,
    pub(crate) loads: watch::Sender<Loads>,
    pub(crate) failure: watch::Receiver<Option<String>>,
    pub(crate) stop_serving: watch::Sender<bool>,
    pub(crate) is_warm: watch::Sender<bool>,
    pub(crate) keeper: Arc<Mutex<Option<Task>>>,
    /// Its own threads; a simulation has none.
    pub(crate) runtime: Option<Threads>,
    /// Held for the life of the process; a simulation has none.
    pub(crate) _directory: Option<Directory>,
}

/// The threads of Raft and heartbeats, apart from those that carry payload.
pub(crate) struct Threads(Option<Runtime>);

impl Threads {
    pub(crate) const fn new(runtime: Runtime) -> Self {
        Self(Some(runtime))
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // A runtime must not be dropped with a wait inside of another.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Consensus {
    /// This node.
    pub const fn node(&self) -> NodeId {
        self.config.node
    }

    /// This process.
    pub const fn boot(&self) -> BootId {
        self.config.boot
    }

    /// Lets this process join, now that it can serve the shards that it is given then. Until this is
    /// called it takes part in Raft and follows the views, and nothing waits for it.
    pub fn join(&self) {
        self.is_warm.send_replace(true);
    }

    /// The cluster's id, once the first leader made it.
    pub fn cluster_id(&self) -> Option<ClusterId> {
        self.views.cluster_id()
    }

    /// Up to which index this voter's log was compacted: what is before is in the snapshot only.
    pub fn compacted(&self) -> Option<u64> {
        let lead = self.lead.as_ref()?;
        let purged = lead.raft().metrics().borrow_watched().purged;
        purged.map(|purged| purged.index)
    }

    /// Waits until the cluster's id is known here.
    pub async fn wait_for_cluster_id(&self) -> ClusterId {
        let mut changes = self.views.subscribe();
        loop {
            if let Some(cluster) = self.views.cluster_id() {
                return cluster;
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until this node can take no further part and says why: its log failed, or this process
    /// may not join again. The process has to be started anew.
    pub async fn failed(&self) -> String {
        let (mut failure, mut standing) = (self.failure.clone(), self.standing.clone());
        // A closed channel says nothing more: its task has ended, which is no failure.
        let failure = async {
            let reason = failure.wait_for(Option::is_some).await.map(|reason| reason.clone());
            match reason {
                Ok(reason) => reason.unwrap_or_default(),
                Err(_) => std::future::pending().await,
            }
        };
        let ended = async {
            let ends = |standing: &Standing| matches!(standing, Standing::Ended { .. });
            let reason = standing.wait_for(ends).await.map(|standing| standing.reason());
            match reason {
                Ok(reason) => reason,
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            reason = failure => reason,
            reason = ended => reason,
        }
    }

    /// Ends the lease's renewal, hands the lead over where this node leads, and stops. The lease is
    /// not given back: [`Coordinator::goodbye`] does that, before this.
    pub async fn shutdown(&self) {
        stop_renewing(&self.keeper, &self.guard).await;
        let (lead, stop) = (self.lead.clone(), self.stop_serving.clone());
        self.inside(async move {
            if let Some(lead) = lead {
                hand_over(&lead).await;
                drop(lead.raft().shutdown().await);
            }
            stop.send_replace(true);
        })
        .await;
    }

    /// Runs `work` on the coordinator's own threads, or here where it has none; nothing where they are
    /// gone.
    async fn inside<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        match &self.runtime {
            None => Some(work.await),
            Some(Threads(runtime)) => runtime.as_ref()?.handle().clone().spawn(work).await.ok(),
        }
    }

    async fn propose(&self, command: Command) -> Result<u64, CoordinatorError> {
        let asker = Arc::clone(&self.asker);
        let answer = self.inside(async move { asker.propose(&command, REQUEST_LIMIT).await }).await;
        match answer.ok_or_else(stopped)?? {
            (index, Response::Applied(_) | Response::Ignored(_)) => Ok(index),
            (_, Response::Refused(refused)) => {
                let reason = refused.to_string();
                Err(if refused.is_for_now() {
                    CoordinatorError::NotYet { reason }
                } else {
                    CoordinatorError::Refused { reason }
                })
            }
        }
    }
}

fn stopped() -> CoordinatorError {
    CoordinatorError::Unavailable { reason: "the coordinator of this node has stopped".to_owned() }
}

/// Ends the lease here for good: returns when nothing can renew it any more.
pub(crate) async fn stop_renewing(keeper: &Mutex<Option<Task>>, guard: &LeaseGuard) {
    let keeper = keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
    guard.end();
    if let Some(keeper) = keeper {
        keeper.abort();
        keeper.ended().await;
        // It may have renewed once more before it ended.
        guard.end();
    }
}

/// Lets another voter lead, and waits until one does, where this one leads.
async fn hand_over(lead: &Lead) {
    let mut metrics = lead.raft().metrics();
    if !metrics.borrow_watched().state.is_leader() {
        return;
    }
    let Some(successor) = lead.successor() else { return };
    if lead.raft().trigger().transfer_leader(successor.0).await.is_err() {
        return;
    }
    let handed = async {
        while metrics.borrow_watched().current_leader != Some(successor.0) {
            if WatchReceiver::changed(&mut metrics).await.is_err() {
                return;
            }
        }
    };
    if tokio::time::timeout(TRANSFER_LIMIT, handed).await.is_err() {
        tracing::warn!(%successor, "the lead was not taken over in time");
    }
}

#[async_trait]
impl Coordinator for Consensus {
    fn view(&self) -> quarry_ports::watch::Receiver<Arc<ClusterView>> {
        self.views.subscribe()
    }

    fn lease(&self) -> LeaseGuard {
        self.guard.clone()
    }

    fn report(&self, mut loads: BTreeMap<ShardId, u32>) {
        if loads.len() > REPORTED {
            let mut heaviest: Vec<(ShardId, u32)> = loads.into_iter().collect();
            heaviest.sort_unstable_by_key(|(shard, load)| (Reverse(*load), *shard));
            loads = heaviest.into_iter().take(REPORTED).collect();
        }
        self.loads.send_if_modified(|reported| {
            let is_news = *reported != loads;
            *reported = loads;
            is_news
        });
    }

    async fn release(&self, shards: Vec<(ShardId, Epoch)>) -> Result<(), CoordinatorError> {
        let (node, boot) = (self.config.node, self.config.boot);
        self.propose(Command::Release { node, boot, shards }).await.map(|_| ())
    }

    async fn fences_refused(&self, spent: Vec<(ShardId, Epoch)>) -> Result<(), CoordinatorError> {
        // One that nothing can follow is refused with all that it is told with.
        let (refused, beyond): (Vec<_>, Vec<_>) =
            spent.into_iter().partition(|(_, epoch)| *epoch <= MAX_RECORDED);
        if !refused.is_empty() {
            self.propose(Command::RaiseBase { refused }).await?;
        }
        beyond.first().map_or(Ok(()), |(shard, epoch)| {
            let reason = format!("the store has epoch {epoch} of shard {shard}, which is no epoch");
            Err(CoordinatorError::Refused { reason })
        })
    }

    async fn administer(&self, what: Administration) -> Result<u64, CoordinatorError> {
        match what {
            Administration::Drain(nodes) => self.propose(Command::DrainSome { nodes }).await,
            Administration::Withdraw(node) => {
                self.propose(Command::Drain { nodes: [node].into() }).await
            }
            Administration::Undrain(nodes) => self.propose(Command::Undrain { nodes }).await,
            Administration::Split(shard) => self.propose(Command::Split { shard }).await,
            Administration::Bind { entity_type, group } => {
                self.propose(Command::Bind { entity_type, group }).await
            }
            Administration::Use(entity_type) => self.propose(Command::Use { entity_type }).await,
            Administration::ReplaceVoter { old, new } => {
                let asker = Arc::clone(&self.asker);
                let request = ReplaceRequest { old, new };
                let replaced = self
                    .inside(async move { asker.replace_voter(request, REPLACE_LIMIT).await })
                    .await;
                replaced.ok_or_else(stopped)?
            }
        }
    }

    async fn goodbye(&self) -> Result<(), CoordinatorError> {
        // Ended here first: nothing is committed any more when others get the shards (L2).
        stop_renewing(&self.keeper, &self.guard).await;
        let (node, boot) = (self.config.node, self.config.boot);
        let command = Command::EndLease { node, boot, cause: LeaseEnd::Goodbye };
        let ended = self.propose(command).await.map(|_| ());
        if let Some(lead) = self.lead.clone() {
            self.inside(async move { hand_over(&lead).await }).await;
        }
        ended
    }

    fn status(&self) -> CoordinatorStatus {
        let view = self.views.newest();
        let raft = self.lead.as_ref().map(|lead| lead.raft().metrics().borrow_watched().clone());
        let voters = raft
            .as_ref()
            .map(|raft| raft.membership_config.voter_ids().map(NodeId).collect::<Vec<_>>())
            .filter(|voters| !voters.is_empty())
            .or_else(|| Some(self.views.voters()?.keys().copied().collect()))
            .unwrap_or_else(|| self.config.voters.keys().copied().collect());
        let heard = *self.heard.borrow();
        let has_quorum =
            heard.is_some_and(|sent| self.host.now().since(sent) < self.config.times.lease_ttl);
        CoordinatorStatus {
            leader: self.views.leader(),
            term: raft.map_or(0, |raft| raft.current_term),
            applied: view.applied,
            behind: self.views.behind(),
            voters,
            has_quorum,
        }
    }
}

impl Drop for Consensus {
    fn drop(&mut self) {
        self.guard.end();
    }
}

impl std::fmt::Debug for Consensus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consensus").field("node", &self.config.node).finish_non_exhaustive()
    }
}
