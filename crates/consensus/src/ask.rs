//! Asks the leader, wherever it is.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use quarry_core::coordinator::{Command, Response};
use quarry_ports::{CoordinatorError, Host};
use quarry_types::NodeId;

use crate::{
    control::{
        CallError, HeartbeatAnswer, HeartbeatRequest, Links, Method, ProposeAnswer, ProposeRequest,
        Purpose, ReplaceAnswer, ReplaceRequest, StandingAnswer, StandingRequest,
    },
    heard::{Heard, Question},
    leader::Lead,
    view::Views,
};

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// How long one try may take. A commit on a slow disk of a slow peer fits in.
const TRY_TIMEOUT: Duration = Duration::from_secs(3);
/// Asks the leader, wherever it is.
pub(crate) struct Asker {
    node: NodeId,
    lead: Option<Arc<Lead>>,
    links: Arc<Links>,
    views: Arc<Views>,
    host: Host,
    heard: Mutex<Heard>,
    /// Where the round through the voters stands, for when nobody knows of a leader.
    cursor: AtomicUsize,
}

impl Asker {
    pub(crate) fn new(
        node: NodeId,
        lead: Option<Arc<Lead>>,
        links: Arc<Links>,
        views: Arc<Views>,
        host: Host,
    ) -> Arc<Self> {
        let (heard, cursor) = (Mutex::default(), AtomicUsize::new(0));
        Arc::new(Self { node, lead, links, views, host, heard, cursor })
    }

    /// Whom to ask: a voter knows its leader itself, others go by what they heard last. `doubted`, and
    /// who was silent, are not asked where there are others.
    fn target(&self, question: Question, doubted: Option<NodeId>) -> NodeId {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let ([own, other], word) = (heard.leaders(question), self.views.leader());
        let known = if self.lead.is_some() { [word, own, other] } else { [own, other, word] };
        let (voters, now) = (self.links.voters(), self.host.now());
        let asked = |voter: &NodeId| {
            let is_left_alone = doubted == Some(*voter) || heard.avoids(*voter, question, now);
            !is_left_alone && voters.contains_key(voter)
        };
        known
            .into_iter()
            .flatten()
            .find(asked)
            .or_else(|| voters.keys().map(|_| self.next()).find(asked))
            .unwrap_or_else(|| self.next())
    }

    /// The next voter in turn.
    pub(crate) fn next(&self) -> NodeId {
        let voters = self.links.voters();
        let turn = self.cursor.fetch_add(1, Ordering::Relaxed) % voters.len().max(1);
        voters.keys().nth(turn).copied().unwrap_or(self.node)
    }

    /// Remembers what `target` said of the leader, or that it was no help to `question`: it said
    /// nothing, or leads without a quorum.
    fn remember(&self, target: NodeId, question: Question, leader: Result<Option<NodeId>, ()>) {
        let now = self.host.now();
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        *heard = match leader {
            Ok(leader) => heard.tells(target, question, leader),
            Err(()) => heard.fails(target, question, now),
        };
    }

    /// Asks once for the lease to be renewed: until there is an answer, another node is known to lead,
    /// or `limit` is over.
    pub(crate) async fn heartbeat(
        &self,
        request: HeartbeatRequest,
        limit: Duration,
    ) -> Result<HeartbeatAnswer, CallError> {
        let target = self.target(Question::Heartbeat, None);
        let answer = tokio::select! {
            biased;
            answer = self.heartbeat_to(target, request, limit) => answer,
            leader = self.another_leads(target) => {
                Err(CallError::Unreachable(format!("node {leader} leads now")))
            }
        };
        let leader = match &answer {
            Ok(HeartbeatAnswer::NotLeader { leader }) => Ok(*leader),
            Ok(HeartbeatAnswer::NoQuorum { .. }) | Err(_) => Err(()),
            Ok(_) => Ok(Some(target)),
        };
        self.remember(target, Question::Heartbeat, leader);
        answer
    }

    async fn heartbeat_to(
        &self,
        target: NodeId,
        request: HeartbeatRequest,
        limit: Duration,
    ) -> Result<HeartbeatAnswer, CallError> {
        match &self.lead {
            Some(lead) if target == self.node => {
                tokio::time::timeout(limit, lead.heartbeat(request, lead.protocol()))
                    .await
                    .map_err(|_| CallError::TimedOut(limit))
            }
            _ => {
                let (purpose, method) = (Purpose::Heartbeats, Method::Heartbeat);
                self.links.call(target, purpose, method, &request, limit).await
            }
        }
    }

    /// Waits until it is news that another node than `target` leads.
    async fn another_leads(&self, target: NodeId) -> NodeId {
        let mut changes = self.views.subscribe();
        let before = self.views.leader();
        loop {
            let leader = self.views.leader().filter(|leader| *leader != target);
            if let Some(leader) = leader.filter(|leader| before != Some(*leader)) {
                return leader;
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    async fn propose_to(
        &self,
        target: NodeId,
        command: &Command,
    ) -> Result<ProposeAnswer, CallError> {
        let answer = match &self.lead {
            Some(lead) if target == self.node => {
                tokio::time::timeout(TRY_TIMEOUT, lead.propose(command.clone(), lead.protocol()))
                    .await
                    .map_err(|_| CallError::TimedOut(TRY_TIMEOUT))
            }
            _ => {
                let request = ProposeRequest { command: command.clone() };
                self.links
                    .call(target, Purpose::Requests, Method::Propose, &request, TRY_TIMEOUT)
                    .await
            }
        };
        match &answer {
            Ok(ProposeAnswer::NotLeader { leader }) => {
                self.remember(target, Question::Request, Ok(*leader));
            }
            // It may lead and wait for something, or lead no more: that says nothing.
            Ok(ProposeAnswer::Unknown { .. }) => {}
            Ok(ProposeAnswer::Applied { .. } | ProposeAnswer::Refused { .. }) => {
                self.remember(target, Question::Request, Ok(Some(target)));
            }
            Err(_) => self.remember(target, Question::Request, Err(())),
        }
        answer
    }

    /// Has `command` applied, and says at which index. Tries again, also after an unknown fate,
    /// until `limit` is over: commands may be repeated.
    pub(crate) async fn propose(
        &self,
        command: &Command,
        limit: Duration,
    ) -> Result<(u64, Response), CoordinatorError> {
        let deadline = self.host.now().after(limit);
        let (mut command, mut pause, mut doubted) = (command.clone(), FIRST_PAUSE, None);
        loop {
            // Subscribed before asking, so that no news is missed between.
            let mut changes = self.views.subscribe();
            let target = self.target(Question::Request, doubted.take());
            let reason = match self.propose_to(target, &command).await {
                Ok(ProposeAnswer::Applied { index, response }) => return Ok((index, response)),
                Ok(ProposeAnswer::NotLeader { leader: Some(leader) }) => {
                    format!("node {leader} is to lead, and does not yet")
                }
                Ok(ProposeAnswer::NotLeader { leader: None }) => "nobody leads".to_owned(),
                Ok(ProposeAnswer::Unknown { reason }) => {
                    // Another one knows whether it still leads.
                    doubted = Some(target);
                    reason
                }
                Ok(ProposeAnswer::Refused { reason }) => {
                    return Err(CoordinatorError::Refused { reason });
                }
                Err(error) => {
                    if matches!(error, CallError::Malformed(_))
                        && let Some(older) = self.for_older(&command)?
                    {
                        command = older;
                    }
                    error.to_string()
                }
            };
            let left = deadline.since(self.host.now());
            if left.is_zero() {
                return Err(CoordinatorError::Unavailable { reason });
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep(pause.min(left)) => {}
                // A change of the view, such as a new leader, is a reason to ask at once.
                _ = changes.changed() => {}
            }
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    /// What a leader knows in the place of `command` whose program is older than this one.
    fn for_older(&self, command: &Command) -> Result<Option<Command>, CoordinatorError> {
        let older = command.for_older(&self.views.newest());
        older.map_err(|refused| CoordinatorError::Refused { reason: refused.to_string() })
    }

    async fn replace_once(&self, request: ReplaceRequest) -> Result<ReplaceAnswer, CallError> {
        let target = self.target(Question::Request, None);
        let answer = match &self.lead {
            Some(lead) if target == self.node => {
                tokio::time::timeout(TRY_TIMEOUT, lead.replace_voter(request))
                    .await
                    .map_err(|_| CallError::TimedOut(TRY_TIMEOUT))
            }
            _ => {
                let (purpose, method) = (Purpose::Requests, Method::ReplaceVoter);
                self.links.call(target, purpose, method, &request, TRY_TIMEOUT).await
            }
        };
        let leader = answer.as_ref().map(|answer| match answer {
            ReplaceAnswer::NotLeader { leader } => *leader,
            _ => Some(target),
        });
        self.remember(target, Question::Request, leader.map_err(|_| ()));
        answer
    }

    /// Has one voter replaced by another, and says at which index that stands. Tries again, also after
    /// an unknown fate and under another leader, until `limit` is over.
    pub(crate) async fn replace_voter(
        &self,
        request: ReplaceRequest,
        limit: Duration,
    ) -> Result<u64, CoordinatorError> {
        let deadline = self.host.now().after(limit);
        loop {
            let reason = match self.replace_once(request).await {
                Ok(ReplaceAnswer::Replaced { index }) => return Ok(index),
                Ok(ReplaceAnswer::Refused { reason }) => {
                    return Err(CoordinatorError::Refused { reason });
                }
                Ok(ReplaceAnswer::NotLeader { .. }) => "nobody is known to lead".to_owned(),
                Ok(ReplaceAnswer::CatchingUp { reason } | ReplaceAnswer::Unknown { reason }) => {
                    reason
                }
                Err(error) => error.to_string(),
            };
            if deadline.since(self.host.now()).is_zero() {
                return Err(CoordinatorError::Unavailable { reason });
            }
            tokio::time::sleep(LONGEST_PAUSE).await;
        }
    }

    /// Asks the other voters whether this node was ever here; nothing where none can tell in time.
    pub(crate) async fn standing(&self, limit: Duration) -> Option<bool> {
        let deadline = self.host.now().after(limit);
        let request = StandingRequest { node: self.node };
        let others: Vec<NodeId> =
            self.links.voters().keys().copied().filter(|voter| *voter != self.node).collect();
        while !deadline.since(self.host.now()).is_zero() {
            for voter in &others {
                let answer = self
                    .links
                    .call(*voter, Purpose::Requests, Method::Standing, &request, TRY_TIMEOUT)
                    .await;
                match answer {
                    Ok(StandingAnswer::NeverSeen) => return Some(false),
                    Ok(StandingAnswer::SeenBefore) => return Some(true),
                    Ok(StandingAnswer::CannotTell { leader }) => {
                        tracing::debug!(%voter, ?leader, "a voter cannot tell of this node");
                    }
                    Err(error) => tracing::debug!(%voter, %error, "a voter did not answer"),
                }
            }
            tokio::time::sleep(LONGEST_PAUSE).await;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use quarry_core::coordinator::Loads;
    use quarry_ports::{Peer, Transport as _};
    use quarry_sim::{host::host, transport::Network};
    use quarry_types::BootId;

    use super::*;
    use crate::heard::AVOIDED;

    const LIMIT: Duration = Duration::from_millis(1_275);

    /// A runner, and nobody who would answer it.
    fn alone() -> (Arc<Asker>, Arc<Views>, Network) {
        let (host, node) = (host(1), NodeId(9));
        let network = Network::new(host.clone(), 1);
        let transport = network.node(node);
        let peer = |voter| Peer { node: NodeId(voter), mesh: String::new() };
        transport.set_peers((1..=3).map(peer).collect());
        for voter in (1..=3).map(NodeId) {
            network.cut(node, voter);
        }
        let voters = (1..=3).map(|voter| (NodeId(voter), String::new())).collect();
        let views = Arc::new(Views::new());
        let links = Arc::new(Links::over(transport, voters, Arc::clone(&views)));
        let asker = Asker::new(node, None, links, Arc::clone(&views), host);
        (asker, views, network)
    }

    fn request() -> HeartbeatRequest {
        HeartbeatRequest { node: NodeId(9), boot: BootId(1), loads: Loads::new() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_heartbeat_is_given_up_when_another_node_is_known_to_lead() {
        let (asker, views, network) = alone();
        let _silent = [network.node(NodeId(1)), network.node(NodeId(2)), network.node(NodeId(3))];
        views.lead_by(Some(NodeId(2)));
        let began = asker.host.now();
        let told = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            views.lead_by(Some(NodeId(2)));
            tokio::time::sleep(Duration::from_millis(100)).await;
            views.lead_by(None);
            tokio::time::sleep(Duration::from_millis(100)).await;
            views.lead_by(Some(NodeId(3)));
        };
        let (answer, ()) = tokio::join!(asker.heartbeat(request(), LIMIT), told);
        assert!(matches!(answer, Err(CallError::Unreachable(_))), "{answer:?}");
        assert_eq!(asker.host.now().since(began), Duration::from_millis(300));
        assert_eq!(asker.target(Question::Heartbeat, None), NodeId(3));
        let again = asker.heartbeat(request(), LIMIT).await;
        assert!(matches!(again, Err(CallError::TimedOut(_))), "{again:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_a_heartbeat_is_left_alone_for_a_while() {
        let (asker, views, _network) = alone();
        let target = || asker.target(Question::Heartbeat, None);
        views.lead_by(Some(NodeId(2)));
        assert_eq!(target(), NodeId(2));
        asker.remember(NodeId(2), Question::Heartbeat, Err(()));
        for _ in 0..10 {
            let other = target();
            assert_ne!(other, NodeId(2));
            asker.remember(other, Question::Heartbeat, Ok(Some(NodeId(2))));
        }
        tokio::time::sleep(AVOIDED).await;
        assert_eq!(target(), NodeId(2), "the others still name it");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_doubted_is_asked_again_when_another_one_names_it() {
        let (asker, views, _network) = alone();
        views.lead_by(Some(NodeId(2)));
        for _ in 0..10 {
            assert_ne!(asker.target(Question::Request, Some(NodeId(2))), NodeId(2));
            assert_eq!(asker.target(Question::Request, None), NodeId(2));
        }
    }
}
