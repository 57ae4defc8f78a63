//! The leader's side: heartbeats and proposals.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use openraft::{
    Instant as _, Raft,
    async_runtime::watch::WatchReceiver,
    errors::{ClientWriteError, RaftError},
    impls::ProgressResponder,
    raft::ClientWriteResponse,
    type_config::TypeConfigExt as _,
};
use quarry_core::{
    coordinator::{Changes, Command, LeaseEnd, Loads, Member, Response, Unfit, Versions, fit},
    lease::{LeaderLeases, LeaseTimes, NotAcknowledged},
};
use quarry_plane::Protocol;
use quarry_ports::{Host, Metrics};
use quarry_types::{BootId, ClusterView, Monotonic, NodeId, NodeState};
use tokio::sync::oneshot;

use crate::{
    control::{HeartbeatAnswer, HeartbeatRequest, Links, ProposeAnswer, StandingAnswer},
    group::{Group, LeaderId, Proposal},
    joining::{Joining, Turn},
    quorum::{Quorum, Round},
    storage::Machine,
    view::Views,
};

/// A voter that answered within this time lives, it is thought: some of Raft's heartbeats.
const HEARD_LATELY: Duration = Duration::from_millis(500);
/// From this version of the planes' protocol on nodes know [`ProposeAnswer::Refused`].
const REFUSALS: u16 = 3;

/// A voter's part in leading the cluster. Every voter has one; it works while the voter leads.
pub(crate) struct Lead {
    raft: Raft<Group, Machine>,
    views: Arc<Views>,
    host: Host,
    metrics: Metrics,
    times: LeaseTimes,
    /// What this node speaks.
    protocol: Protocol,
    reign: Mutex<Option<Reign>>,
    quorum: Quorum,
}

/// The leases of one leadership. A later leadership, of this node too, counts anew.
struct Reign {
    leadership: LeaderId,
    /// The view that `leases` knows, by its index and the times to live in it.
    synced: Option<(u64, BTreeMap<NodeId, Duration>)>,
    leases: LeaderLeases,
    /// What each runner said last of its shards.
    reports: BTreeMap<NodeId, Loads>,
    /// What each node said last that it speaks.
    spoken: Versions,
    /// The joins under way: whether another process of a node may join is seen behind each.
    joining: Joining,
}

impl Reign {
    /// Takes over who has a lease in `view`. `times` are those of this leader.
    fn learn(&mut self, view: &ClusterView, times: LeaseTimes, now: Monotonic) {
        // The view of an index may be another voter's first, which lacks the times to live.
        let is_known = |(index, ttls): &(u64, BTreeMap<NodeId, Duration>)| {
            *index == view.applied && *ttls == view.lease_ttls
        };
        if self.synced.as_ref().is_some_and(is_known) {
            return;
        }
        for node in view.nodes.values() {
            match node.state {
                NodeState::Up | NodeState::Draining => {
                    let ttl = times.ttl_of(view.lease_ttls.get(&node.id).copied());
                    self.leases.joined(node.id, node.boot, ttl, now);
                }
                NodeState::Down => self.leases.ended(node.id, node.boot),
            }
        }
        self.synced = Some((view.applied, view.lease_ttls.clone()));
    }
}

impl Lead {
    /// The leader's side of `raft`, whose quorum is asked over `links`.
    pub(crate) fn start(
        (raft, links): (Raft<Group, Machine>, Arc<Links>),
        views: Arc<Views>,
        (host, metrics): (Host, Metrics),
        times: LeaseTimes,
        protocol: Protocol,
    ) -> Arc<Self> {
        let quorum = Quorum::start(raft.clone(), links, &host, times.round_limit());
        let reign = Mutex::default();
        Arc::new(Self { raft, views, host, metrics, times, protocol, reign, quorum })
    }

    pub(crate) const fn raft(&self) -> &Raft<Group, Machine> {
        &self.raft
    }

    /// What this node speaks.
    pub(crate) const fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub(crate) fn views(&self) -> &Views {
        &self.views
    }

    fn reign(&self) -> MutexGuard<'_, Option<Reign>> {
        self.reign.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A quorum round that begins after this call; calls made meanwhile share one.
    pub(crate) async fn round(&self) -> Round {
        self.quorum.round().await
    }

    /// Answers a heartbeat of a process that speaks `caller`: renews the lease if it has one, counted
    /// from now (L2).
    pub(crate) async fn heartbeat(
        &self,
        request: HeartbeatRequest,
        caller: Protocol,
    ) -> HeartbeatAnswer {
        let HeartbeatRequest { node, boot, loads } = request;
        let received = self.host.now();
        let (leadership, began) = match self.round().await {
            Round::Confirmed { leadership, began } => (leadership, began),
            Round::NotLeader { leader } => return HeartbeatAnswer::NotLeader { leader },
            Round::NoQuorum { reason } => return HeartbeatAnswer::NoQuorum { reason },
        };
        let acknowledged = self.with_leases(leadership, |leases| {
            leases
                .heartbeat(node, boot, received)
                .and_then(|heartbeat| leases.acknowledge(heartbeat, began))
        });
        match acknowledged {
            Some((applied, Ok(_))) => {
                self.hear(leadership, (node, boot), caller, loads);
                HeartbeatAnswer::Renewed { applied }
            }
            Some((_, Err(NotAcknowledged::NoLease { .. }))) => HeartbeatAnswer::NotKnown,
            Some((_, Err(NotAcknowledged::Ending { .. }))) => HeartbeatAnswer::Ending,
            Some((_, Err(reason))) => HeartbeatAnswer::NoQuorum { reason: reason.to_string() },
            None => HeartbeatAnswer::NotLeader { leader: self.views.leader() },
        }
    }

    /// Runs `act` on the leases of `leadership`, brought up to the newest view, and says that view's
    /// index; nothing where a later leadership has begun. The leadership must be confirmed: its
    /// first entry is applied, so an end of a lease that an earlier leader proposed is in the view
    /// or will never be.
    pub(crate) fn with_leases<T>(
        &self,
        leadership: LeaderId,
        act: impl FnOnce(&mut LeaderLeases) -> T,
    ) -> Option<(u64, T)> {
        let now = self.host.now();
        let mut reign = self.reign();
        // Read under the lock, so that the index of what `leases` knows only grows.
        let view = self.views.newest();
        if reign.as_ref().is_none_or(|reign| reign.leadership < leadership) {
            let mut leases = LeaderLeases::elected(now, []);
            leases.applied_own_term();
            let (synced, reports, spoken) = (None, BTreeMap::new(), Versions::new());
            let joining = Joining::default();
            *reign = Some(Reign { leadership, synced, leases, reports, spoken, joining });
        }
        let reign = reign.as_mut().filter(|reign| reign.leadership == leadership)?;
        reign.learn(&view, self.times, now);
        Some((view.applied, act(&mut reign.leases)))
    }

    /// Takes down what a process speaks, and says of its shards.
    fn hear(
        &self,
        leadership: LeaderId,
        (node, boot): (NodeId, BootId),
        speaks: Protocol,
        loads: Loads,
    ) {
        let mut reign = self.reign();
        if let Some(reign) = reign.as_mut().filter(|reign| reign.leadership == leadership) {
            reign.reports.insert(node, loads);
            reign.spoken.insert(node, (boot, speaks.newest));
        }
    }

    /// What the runners said of their shards under `leadership`.
    pub(crate) fn reports(&self, leadership: LeaderId) -> BTreeMap<NodeId, Loads> {
        let reign = self.reign();
        let reign = reign.as_ref().filter(|reign| reign.leadership == leadership);
        reign.map(|reign| reign.reports.clone()).unwrap_or_default()
    }

    /// What the nodes said under `leadership` that they speak.
    fn spoken(&self, leadership: LeaderId) -> Versions {
        let reign = self.reign();
        let reign = reign.as_ref().filter(|reign| reign.leadership == leadership);
        reign.map(|reign| reign.spoken.clone()).unwrap_or_default()
    }

    /// The end of a lease that this node proposed is applied.
    pub(crate) fn lease_ended(&self, leadership: LeaderId, node: NodeId, boot: BootId) {
        let mut reign = self.reign();
        if let Some(reign) = reign.as_mut().filter(|reign| reign.leadership == leadership) {
            reign.leases.ended(node, boot);
            // The process may have joined again since: look at the view once more.
            reign.synced = None;
        }
    }

    fn entry(&self, command: Command) -> Proposal {
        Proposal { at: self.host.clock.wall(), command }
    }

    /// Takes `command`, of a node that speaks `caller`, into the log if this node leads and all nodes
    /// can apply it, and waits until it is applied.
    pub(crate) async fn propose(&self, command: Command, caller: Protocol) -> ProposeAnswer {
        if command.since() > 1 || command.joining().is_some() {
            return self.propose_fit(command, caller).await;
        }
        if let Command::EndLease { node, boot, cause: LeaseEnd::Goodbye } = &command
            && let Some(reign) = self.reign().as_mut()
        {
            reign.leases.end_early(*node, *boot);
        }
        let says_goodbye = matches!(command, Command::EndLease { .. });
        let raises = matches!(command, Command::RaiseBase { .. });
        match self.raft.client_write(self.entry(command)).await {
            Ok(written) => {
                if says_goodbye && matches!(written.data, Some(Response::Applied(_))) {
                    self.metrics.leases_ended.with_label_values(&["goodbye"]).inc();
                }
                if raises && let Some(Response::Applied(Changes { granted, .. })) = &written.data {
                    self.metrics.epochs_raised.inc();
                    tracing::error!(
                        granted,
                        "the store knew newer epochs than the coordinator, whose data were lost: \
                         epochs go on above those of the store"
                    );
                }
                applied(written.log_id.index, written.data)
            }
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => {
                ProposeAnswer::NotLeader { leader: forward.leader_id.map(NodeId) }
            }
            Err(error) => ProposeAnswer::Unknown { reason: error.to_string() },
        }
    }

    /// As [`Lead::propose`], for what not all programs know, or not all nodes may say.
    async fn propose_fit(&self, command: Command, caller: Protocol) -> ProposeAnswer {
        let leadership = match self.round().await {
            Round::Confirmed { leadership, .. } => leadership,
            Round::NotLeader { leader } => return ProposeAnswer::NotLeader { leader },
            Round::NoQuorum { reason } => return ProposeAnswer::Unknown { reason },
        };
        // Before the view is read: whoever joined until then is in it.
        let turn = match command.joining() {
            None => None,
            Some(Member { id, boot, .. }) => {
                let Some(turn) = self.turn(leadership, (*id, *boot)) else {
                    let reason =
                        format!("the leadership ended, or another process of node {id} joins");
                    return ProposeAnswer::Unknown { reason };
                };
                Some(turn)
            }
        };
        let view = self.views.newest();
        let command = match fit(command, caller.newest, &view, &self.spoken(leadership)) {
            Ok(command) => command,
            Err(unfit) => return unfit_for(caller, &unfit),
        };
        let write = write_as(self.raft.clone(), leadership, self.entry(command));
        let written = match turn {
            None => write.await,
            Some(turn) => self.to_the_end(turn, write).await,
        };
        match written {
            Some(written) => applied(written.log_id.index, written.data),
            None => ProposeAnswer::Unknown { reason: "the leadership ended".to_owned() },
        }
    }

    /// The turn of a process to join under `leadership`: of two of one node that ask at once the
    /// second is seen beside the first.
    fn turn(&self, leadership: LeaderId, process: (NodeId, BootId)) -> Option<Turn> {
        self.with_leases(leadership, |_| ())?;
        let reign = self.reign();
        let reign = reign.as_ref().filter(|reign| reign.leadership == leadership)?;
        reign.joining.turn(process)
    }

    /// Awaits `write` in a task of its own: its turn lasts until its fate is known, also where who
    /// asked for it has gone.
    async fn to_the_end<T: Send + 'static>(
        &self,
        turn: Turn,
        write: impl Future<Output = Option<T>> + Send + 'static,
    ) -> Option<T> {
        let (told, fate) = oneshot::channel();
        drop(self.host.spawn("join", async move {
            let written = write.await;
            drop(turn);
            drop(told.send(written));
        }));
        fate.await.ok().flatten()
    }

    /// Takes `command` into the log only under `leadership`, and waits, without a limit, until its
    /// fate is known: applied, or not under this leadership.
    pub(crate) async fn propose_as(
        &self,
        leadership: LeaderId,
        command: Command,
    ) -> Option<Response> {
        write_as(self.raft.clone(), leadership, self.entry(command)).await?.data
    }

    /// What the cluster knows of `node` as a voter, confirmed by a quorum. Who does not vote has
    /// forgotten nothing.
    pub(crate) async fn standing(&self, node: NodeId) -> StandingAnswer {
        match self.round().await {
            Round::Confirmed { .. } if self.was_here(node) => StandingAnswer::SeenBefore,
            Round::Confirmed { .. } => StandingAnswer::NeverSeen,
            Round::NotLeader { leader } => StandingAnswer::CannotTell { leader },
            Round::NoQuorum { .. } => StandingAnswer::CannotTell { leader: None },
        }
    }

    /// Whether `node` votes, and was here: it joined once, or has acknowledged entries of this leader,
    /// as voters do before they join.
    fn was_here(&self, node: NodeId) -> bool {
        let raft = self.raft.metrics().borrow_watched().clone();
        let votes = raft.membership_config.voter_ids().any(|voter| voter == node.0);
        let matched = raft.replication.and_then(|all| all.get(&node.0).copied().flatten());
        votes && (matched.is_some() || self.views.newest().nodes.contains_key(&node))
    }

    /// The voter that should lead instead of this one: up, heard of lately, and with the most of the
    /// log. Where the lead is offered to one that does not take it, openraft lets this node propose
    /// nothing more.
    pub(crate) fn successor(&self) -> Option<NodeId> {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let (view, now) = (self.views.newest(), Group::now());
        let voters: Vec<u64> = metrics.membership_config.voter_ids().collect();
        let heard = metrics.heartbeat.unwrap_or_default();
        let answers = |id: &u64| {
            let heard = heard.get(id).copied().flatten();
            heard.is_some_and(|at| now.saturating_duration_since(*at) < HEARD_LATELY)
        };
        metrics
            .replication?
            .into_iter()
            .filter(|(id, _)| *id != metrics.id && voters.contains(id) && answers(id))
            .filter(|(id, _)| {
                view.nodes.get(&NodeId(*id)).is_some_and(|node| node.state == NodeState::Up)
            })
            .max_by_key(|(_, matched)| matched.map(|matched| matched.index))
            .map(|(id, _)| NodeId(id))
    }
}

async fn write_as(
    raft: Raft<Group, Machine>,
    leadership: LeaderId,
    entry: Proposal,
) -> Option<ClientWriteResponse<Group>> {
    let (responder, fate) = ProgressResponder::complete_only();
    let write = raft.write(entry).with_leader(leadership).responder(responder);
    write.await.ok()?;
    fate.await.ok()?.ok()
}

/// What `caller` is told of a command that is not taken into the log. Programs that do not know
/// [`ProposeAnswer::Refused`] ask again until their time is over.
fn unfit_for(caller: Protocol, unfit: &Unfit) -> ProposeAnswer {
    let reason = unfit.to_string();
    match unfit {
        Unfit::TooOld { .. } | Unfit::Forbidden(_) | Unfit::Held { .. }
            if caller.newest >= REFUSALS =>
        {
            ProposeAnswer::Refused { reason }
        }
        Unfit::TooOld { .. }
        | Unfit::Forbidden(_)
        | Unfit::Held { .. }
        | Unfit::NotHeard { .. } => ProposeAnswer::Unknown { reason },
    }
}

fn applied(index: u64, response: Option<Response>) -> ProposeAnswer {
    match response {
        Some(response) => ProposeAnswer::Applied { index, response },
        None => ProposeAnswer::Unknown { reason: "the entry held no command".to_owned() },
    }
}
