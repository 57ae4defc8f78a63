//! The in-memory coordinator: the real replicated state and lease rules, without Raft beneath.
//!
//! All nodes of a test share one [`Coordination`]. Each gets a [`MemoryCoordinator`] that joins,
//! sends heartbeats and follows the applied state. A node can be cut off from it, and a process can
//! be ended, so that leases end by time.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use quarry_core::{
    coordinator::{At, Command, LeaseEnd, Loads, Member, Response, State, audit},
    lease::{LeaderLeases, LeaseTimes, RunnerLease},
};
use quarry_ports::{
    Administration, Coordinator, CoordinatorError, CoordinatorStatus, Host, LeaseGuard, Task, watch,
};
use quarry_types::{BootId, ClusterId, ClusterView, Epoch, NodeId, ShardId};

/// How often the leader looks for ended leases and imbalance.
const LOOK: Duration = Duration::from_millis(20);

/// The coordinator that the nodes of a test share. Clones are the same one.
#[derive(Clone)]
pub struct Coordination(Arc<Shared>);

struct Shared {
    host: Host,
    times: LeaseTimes,
    log: Mutex<Log>,
    view: watch::Sender<Arc<ClusterView>>,
}

struct Log {
    index: u64,
    state: State,
    leases: LeaderLeases,
    reports: BTreeMap<NodeId, Loads>,
    /// How often an entry broke an invariant.
    breaches: usize,
}

impl Coordination {
    /// A cluster of `shards` shards without nodes. Call it on a runtime.
    pub fn new(host: Host, times: LeaseTimes, shards: u32) -> Self {
        let mut leases = LeaderLeases::elected(host.now(), []);
        leases.applied_own_term();
        let (state, reports) = (State::default(), BTreeMap::new());
        let log = Mutex::new(Log { index: 0, state, leases, reports, breaches: 0 });
        let shared = Shared { host, times, log, view: watch::Sender::new(Arc::default()) };
        let all = Self(Arc::new(shared));
        all.apply(Command::Initialize { cluster: ClusterId(1), shards, max_moves: 64 });
        let leader = all.clone();
        all.0.host.spawn("memory-leader", async move { leader.lead().await });
        all
    }

    /// Lets a process join, and keeps its lease alive until [`MemoryCoordinator::cut`] or
    /// [`MemoryCoordinator::end`].
    pub fn join(&self, member: Member) -> Arc<MemoryCoordinator> {
        let (cut, is_cut) = watch::channel(false);
        let lease = LeaseGuard::new(Arc::clone(&self.0.host.clock));
        let (node, boot, silent) = (member.id, member.boot, watch::Sender::new(false));
        let beating = self.clone().beat(member, lease.clone(), is_cut);
        let task = self.0.host.spawn("memory-heartbeats", beating);
        Arc::new(MemoryCoordinator { all: self.clone(), node, boot, lease, cut, silent, task })
    }

    /// The applied state.
    pub fn view(&self) -> Arc<ClusterView> {
        Arc::clone(&self.0.view.borrow())
    }

    /// How often an applied command broke an invariant.
    pub fn violations(&self) -> usize {
        self.log().breaches
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, command: Command) -> (u64, Response) {
        let mut log = self.log();
        log.index += 1;
        let index = log.index;
        let now = self.0.host.now();
        match &command {
            Command::Join { node } => {
                log.leases.joined(node.id, node.boot, self.0.times.ttl(), now);
            }
            Command::EndLease { node, boot, .. } => log.leases.ended(*node, *boot),
            _ => {}
        }
        let (before, asked) = (log.state.ownership(), command.clone());
        let response = log.state.apply(At { index, time: self.0.host.clock.wall() }, command);
        log.breaches += audit(&before, &asked, &response, &log.state).len();
        let view = log.state.view(index, Some(NodeId(0)));
        drop(log);
        self.0.view.send_replace(Arc::new(view));
        (index, response)
    }

    /// What the shards cost, where that makes something move or is news.
    fn unbalanced(&self) -> Option<Loads> {
        let log = self.log();
        let loads = log.state.reported(&log.reports);
        log.state.needs_rebalance(&loads).then_some(loads)
    }

    async fn lead(self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let over = self.log().leases.expired(self.0.host.now());
            for (node, boot) in over {
                self.apply(Command::EndLease { node, boot, cause: LeaseEnd::Expired });
            }
            if let Some(loads) = self.unbalanced() {
                self.apply(Command::Rebalance { loads });
            }
        }
    }

    async fn beat(self, member: Member, guard: LeaseGuard, is_cut: watch::Receiver<bool>) {
        let mut runner = RunnerLease::new(self.0.times);
        loop {
            if !*is_cut.borrow() {
                let now = self.0.host.now();
                let id = runner.sent(now);
                let received = self.log().leases.heartbeat(member.id, member.boot, now);
                let Ok(received) = received else {
                    let (_, joined) = self.apply(Command::Join { node: member.clone() });
                    if matches!(joined, Response::Refused(_)) {
                        return;
                    }
                    continue;
                };
                let acknowledged = self.log().leases.acknowledge(received, now);
                if let Some(deadline) = acknowledged.ok().and_then(|_| runner.acknowledged(id)) {
                    guard.renew(deadline);
                }
            }
            tokio::time::sleep(self.0.times.heartbeat()).await;
        }
    }
}

/// One process's way to a [`Coordination`].
pub struct MemoryCoordinator {
    all: Coordination,
    node: NodeId,
    boot: BootId,
    lease: LeaseGuard,
    cut: watch::Sender<bool>,
    silent: watch::Sender<bool>,
    task: Task,
}

impl MemoryCoordinator {
    /// From now on nothing from this process reaches the coordinator, or everything does again.
    pub fn cut(&self, is_cut: bool) {
        self.cut.send_replace(is_cut);
    }

    /// From now on what this process asks gets no answer, or does again. Its lease is renewed as before.
    pub fn fall_silent(&self, is_silent: bool) {
        self.silent.send_replace(is_silent);
    }

    /// The process ends without a word.
    pub fn end(&self) {
        self.task.abort();
        self.lease.end();
        self.cut.send_replace(true);
    }

    async fn ask(&self) -> Result<(), CoordinatorError> {
        let answers = |is_silent: &bool| !is_silent;
        if self.silent.subscribe().wait_for(answers).await.is_err() {
            return Err(CoordinatorError::Unavailable { reason: "it ended".to_owned() });
        }
        self.reach()
    }

    fn reach(&self) -> Result<(), CoordinatorError> {
        if *self.cut.borrow() {
            return Err(CoordinatorError::Unavailable { reason: "cut off".to_owned() });
        }
        Ok(())
    }
}

impl fmt::Debug for MemoryCoordinator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCoordinator").field("node", &self.node).finish_non_exhaustive()
    }
}

#[async_trait]
impl Coordinator for MemoryCoordinator {
    fn view(&self) -> watch::Receiver<Arc<ClusterView>> {
        self.all.0.view.subscribe()
    }

    fn lease(&self) -> LeaseGuard {
        self.lease.clone()
    }

    fn report(&self, loads: BTreeMap<ShardId, u32>) {
        if self.reach().is_ok() {
            self.all.log().reports.insert(self.node, loads);
        }
    }

    async fn release(&self, shards: Vec<(ShardId, Epoch)>) -> Result<(), CoordinatorError> {
        self.ask().await?;
        self.all.apply(Command::Release { node: self.node, boot: self.boot, shards });
        Ok(())
    }

    async fn fences_refused(&self, spent: Vec<(ShardId, Epoch)>) -> Result<(), CoordinatorError> {
        self.ask().await?;
        self.all.apply(Command::RaiseBase { refused: spent });
        Ok(())
    }

    async fn administer(&self, what: Administration) -> Result<u64, CoordinatorError> {
        self.ask().await?;
        let (index, response) = self.all.apply(match what {
            Administration::Drain(nodes) => Command::DrainSome { nodes },
            Administration::Withdraw(node) => Command::Drain { nodes: [node].into() },
            Administration::Undrain(nodes) => Command::Undrain { nodes },
            Administration::Split(shard) => Command::Split { shard },
            Administration::Bind { entity_type, group } => Command::Bind { entity_type, group },
            Administration::Use(entity_type) => Command::Use { entity_type },
            Administration::ReplaceVoter { .. } => {
                let reason = "there are no voters without Raft".to_owned();
                return Err(CoordinatorError::Refused { reason });
            }
        });
        match response {
            Response::Refused(why) if why.is_for_now() => {
                Err(CoordinatorError::NotYet { reason: why.to_string() })
            }
            Response::Refused(why) => Err(CoordinatorError::Refused { reason: why.to_string() }),
            Response::Applied(_) | Response::Ignored(_) => Ok(index),
        }
    }

    async fn goodbye(&self) -> Result<(), CoordinatorError> {
        self.reach()?;
        self.task.abort();
        self.lease.end();
        let (node, boot) = (self.node, self.boot);
        self.all.apply(Command::EndLease { node, boot, cause: LeaseEnd::Goodbye });
        Ok(())
    }

    fn status(&self) -> CoordinatorStatus {
        CoordinatorStatus {
            leader: Some(NodeId(0)),
            term: 1,
            applied: self.all.view().applied,
            behind: 0,
            voters: vec![NodeId(0)],
            has_quorum: !*self.cut.borrow(),
        }
    }
}
