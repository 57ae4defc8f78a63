//! What a leader does of its own accord: make the cluster, end leases, balance.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use openraft::async_runtime::watch::WatchReceiver;
use quarry_core::coordinator::{Command, Founding, LeaseEnd, Response};
use quarry_ports::{Host, Metrics};
use quarry_types::{BootId, ClusterId, ClusterView, Monotonic, NodeId, NodeState};
use tokio::sync::mpsc;

use crate::{
    attend::Attendance, control::Links, group::LeaderId, leader::Lead, quorum::Round, times::Times,
    view::Views,
};

/// How many processes that are gone wait to be looked at; then their watchers wait.
const REFUSALS: usize = 64;
/// How soon after a change of the view a leader looks for more shards to move.
const BALANCE_PAUSE: Duration = Duration::from_millis(20);
/// How long a leader waits before it asks for a quorum again.
const ROUND_PAUSE: Duration = Duration::from_millis(50);
/// How long a leader that can propose nothing is one.
const FUTILE: Duration = Duration::from_secs(2);

/// What the first leader makes the cluster of.
#[derive(Clone, Debug)]
pub(crate) struct Foundation {
    pub(crate) cluster: ClusterId,
    pub(crate) shards: u32,
    pub(crate) max_moves: u32,
    pub(crate) founding: Founding,
}

impl Foundation {
    /// The entry that makes the cluster: without bindings one that all versions know.
    fn command(self) -> Command {
        let Self { cluster, shards, max_moves, founding } = self;
        if founding == Founding::default() {
            Command::Initialize { cluster, shards, max_moves }
        } else {
            Command::Found { cluster, shards, max_moves, founding }
        }
    }
}

/// The duties of a voter while it leads.
pub(crate) struct Duty {
    pub(crate) lead: Arc<Lead>,
    pub(crate) links: Arc<Links>,
    pub(crate) views: Arc<Views>,
    pub(crate) host: Host,
    pub(crate) times: Times,
    pub(crate) node: NodeId,
    pub(crate) metrics: Metrics,
    pub(crate) foundation: Foundation,
}

impl Duty {
    /// Works while this node leads, for as long as the node runs.
    pub(crate) async fn run(self) {
        let mut metrics = self.lead.raft().metrics();
        let mut futile = None;
        loop {
            let leads = metrics.borrow_watched().state.is_leader();
            if leads {
                match self.lead.round().await {
                    Round::Confirmed { leadership, .. } => {
                        let began = self.host.now();
                        tokio::select! {
                            () = self.reign(leadership) => {}
                            () = self.pulse() => {}
                        }
                        self.step_down_if_futile(began, &mut futile).await;
                    }
                    Round::NotLeader { .. } | Round::NoQuorum { .. } => {}
                }
                // Where it hands the lead over it may still be told to lead, and do nothing.
                tokio::time::sleep(ROUND_PAUSE).await;
            } else if WatchReceiver::changed(&mut metrics).await.is_err() {
                return;
            }
        }
    }

    /// Leads no more where it could do nothing for a while, since `futile`: it offered the lead to a
    /// voter that did not take it, and openraft lets it propose nothing any more. `began` is when the
    /// reign began that is over.
    async fn step_down_if_futile(&self, began: Monotonic, futile: &mut Option<Monotonic>) {
        let now = self.host.now();
        if !self.leads() || now.since(began) >= FUTILE {
            *futile = None;
            return;
        }
        let since = *futile.get_or_insert(began);
        if now.since(since) >= FUTILE {
            tracing::warn!(node = %self.node, "the lead was offered and not taken; stepping down");
            *futile = None;
            // It stands under a new term, and so do the others, since they hear no leader any more.
            drop(self.lead.raft().trigger().elect(false).await);
        }
    }

    /// Tells the followers again and again that this node leads, until Raft ends.
    async fn pulse(&self) {
        while self.lead.raft().trigger().heartbeat().await.is_ok() {
            tokio::time::sleep(self.times.raft_heartbeat).await;
        }
    }

    fn leads(&self) -> bool {
        self.lead.raft().metrics().borrow_watched().state.is_leader()
    }

    /// Works until another leadership begins.
    async fn reign(&self, leadership: LeaderId) {
        tracing::info!(node = %self.node, term = leadership.term, "leading the coordinator");
        if self.views.cluster_id().is_none() {
            let Foundation { cluster, shards, .. } = self.foundation;
            let command = self.foundation.clone().command();
            match self.lead.propose_as(leadership, command).await {
                Some(Response::Refused(reason)) => {
                    tracing::error!(%reason, "the cluster cannot be made");
                }
                Some(_) => tracing::info!(%cluster, shards, "made the cluster"),
                None => return,
            }
        }
        let mut changes = self.views.subscribe();
        changes.mark_changed();
        let mut balance = Balance::new(self.host.now());
        let (mut counted, mut early) = (changes.borrow().applied, BTreeSet::new());
        let (gone, mut refusals) = mpsc::channel(REFUSALS);
        let mut attendance =
            Attendance::new(Arc::clone(&self.links), self.host.clone(), self.node, gone);
        while self.leads() {
            let Some(next) = self.end_leases(leadership, &mut early).await else { return };
            let view = changes.borrow_and_update().clone();
            self.count_moves(&view, counted);
            counted = counted.max(view.applied);
            early.retain(|(node, boot): &(NodeId, BootId)| {
                let known = view.nodes.get(node).filter(|known| known.boot == *boot);
                known.is_some_and(|known| known.state != NodeState::Down)
            });
            attendance.attend(&view);
            balance.see(&view, self.host.now());
            if balance.due(self.host.now()) {
                balance.next = self.host.now().after(self.times.rebalance);
                let moved = self.rebalance(leadership).await;
                let moving = view.shards.iter().any(|shard| shard.moving_to.is_some());
                balance.settled = !moved && !moving;
            }
            self.hand_over(&view).await;
            let wake = next.map_or(balance.next, |next| next.min(balance.next));
            tokio::select! {
                biased;
                Some((node, boot)) = refusals.recv() => {
                    tracing::warn!(%node, "nobody listens at the node's address any more");
                    early.insert((node, boot));
                    let ended = self.lead.with_leases(leadership, |leases| {
                        leases.end_early(node, boot);
                    });
                    if ended.is_none() { return }
                }
                () = self.host.sleep_until(wake) => {}
                news = changes.changed() => if news.is_err() { return },
            }
        }
    }

    /// Ends the leases that ran out, and says when the next one would; nothing where a later
    /// leadership has begun. One proposal per process at a time, and its fate is awaited: a late
    /// copy could end the lease of a process that has joined again.
    async fn end_leases(
        &self,
        leadership: LeaderId,
        early: &mut BTreeSet<(NodeId, BootId)>,
    ) -> Option<Option<Monotonic>> {
        let now = self.host.now();
        let (_, ended) = self.lead.with_leases(leadership, |leases| leases.expired(now))?;
        for (node, boot) in ended {
            let cause = if early.remove(&(node, boot)) { "gone" } else { "expired" };
            self.end_lease(leadership, (node, boot), cause).await?;
        }
        self.lead.with_leases(leadership, |leases| leases.next_deadline()).map(|(_, next)| next)
    }

    async fn end_lease(
        &self,
        leadership: LeaderId,
        (node, boot): (NodeId, BootId),
        cause: &str,
    ) -> Option<()> {
        let asked = self.host.now();
        let silence =
            self.lead.with_leases(leadership, |leases| leases.silence(node, boot, asked))?.1;
        let command = Command::EndLease { node, boot, cause: LeaseEnd::Expired };
        let response = self.lead.propose_as(leadership, command).await?;
        self.lead.lease_ended(leadership, node, boot);
        match response {
            Response::Applied(changes) => {
                let silence = silence.unwrap_or_default() + self.host.now().since(asked);
                self.metrics.leases_ended.with_label_values(&[cause]).inc();
                if changes.granted > 0 {
                    self.metrics.failover_seconds.observe(silence.as_secs_f64());
                }
                tracing::warn!(%node, cause, granted = changes.granted, ?silence, "ended a lease");
            }
            Response::Ignored(reason) => tracing::debug!(%node, %reason, "no lease to end"),
            Response::Refused(reason) => tracing::error!(%node, %reason, "a lease cannot be ended"),
        }
        Some(())
    }

    /// Counts what changed hands behind `counted`.
    fn count_moves(&self, view: &ClusterView, counted: u64) {
        for news in view.moves.iter().filter(|news| news.index > counted) {
            let moves = self.metrics.shard_moves.with_label_values(&[news.reason.label()]);
            moves.inc_by(u64::from(news.count));
        }
    }

    /// Marks shards that should move for balance, as many as may move at a time; whether any did.
    async fn rebalance(&self, leadership: LeaderId) -> bool {
        let reports = self.lead.reports(leadership);
        let needed = self
            .lead
            .raft()
            .with_state_machine(move |machine| {
                let loads = machine.state().reported(&reports);
                let needed = machine.state().needs_rebalance(&loads).then_some(loads);
                Box::pin(async move { needed })
            })
            .await;
        if let Ok(Some(loads)) = needed
            && let Some(Response::Applied(changes)) =
                self.lead.propose_as(leadership, Command::Rebalance { loads }).await
        {
            tracing::info!(moving = changes.moving, granted = changes.granted, "balancing shards");
            return changes.moving > 0 || changes.granted > 0;
        }
        false
    }

    /// A leader that is being drained lets another voter lead, where one is up.
    async fn hand_over(&self, view: &ClusterView) {
        let draining =
            view.nodes.get(&self.node).is_some_and(|node| node.state == NodeState::Draining);
        if draining && let Some(successor) = self.lead.successor() {
            tracing::info!(%successor, "handing the lead over, since this node is drained");
            drop(self.lead.raft().trigger().transfer_leader(successor.0).await);
        }
    }
}

/// When to look for shards to move: from when nodes come, go or are drained until nothing needs to
/// move any more; else now and then.
struct Balance {
    nodes: Vec<(NodeId, NodeState, u32)>,
    /// The index of the view that was looked at last.
    seen: Option<u64>,
    settled: bool,
    next: Monotonic,
}

impl Balance {
    const fn new(now: Monotonic) -> Self {
        Self { nodes: Vec::new(), seen: None, settled: false, next: now }
    }

    fn see(&mut self, view: &ClusterView, now: Monotonic) {
        let nodes: Vec<_> =
            view.nodes.values().map(|node| (node.id, node.state, node.weight)).collect();
        self.settled &= nodes == self.nodes;
        if !self.settled && self.seen != Some(view.applied) {
            self.next = self.next.min(now.after(BALANCE_PAUSE));
        }
        self.seen = Some(view.applied);
        self.nodes = nodes;
    }

    fn due(&self, now: Monotonic) -> bool {
        self.next <= now
    }
}

/// Tells metrics and views what openraft says of itself, until it stops.
pub(crate) async fn watch(lead: Arc<Lead>, views: Arc<Views>, metrics: Metrics) -> String {
    let mut raft = lead.raft().metrics();
    loop {
        let now = raft.borrow_watched().clone();
        if views.lead_by(now.current_leader.map(NodeId)) {
            metrics.raft_leader_changes.inc();
        }
        metrics.raft_term.set(i64::try_from(now.current_term).unwrap_or(i64::MAX));
        let applied = now.last_applied.map_or(0, |applied| applied.index);
        metrics.raft_applied.set(i64::try_from(applied).unwrap_or(i64::MAX));
        if let Err(fatal) = now.running_state {
            return fatal.to_string();
        }
        if WatchReceiver::changed(&mut raft).await.is_err() {
            return "the Raft core is gone".to_owned();
        }
    }
}
