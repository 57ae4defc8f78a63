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
        Purpose, StandingAnswer, StandingRequest,
    },
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
    /// Who said to lead, or was said to lead, when last asked.
    hint: Mutex<Option<NodeId>>,
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
    ) -> Self {
        let (hint, cursor) = (Mutex::default(), AtomicUsize::new(0));
        Self { node, lead, links, views, host, hint, cursor }
    }

    /// Whom to ask: a voter knows its leader itself, others go by what they heard last.
    pub(crate) fn target(&self) -> NodeId {
        let hint = *self.hint.lock().unwrap_or_else(PoisonError::into_inner);
        let known = if self.lead.is_some() {
            self.views.leader().or(hint)
        } else {
            hint.or_else(|| self.views.leader())
        };
        known
            .filter(|leader| self.links.voters().contains_key(leader))
            .unwrap_or_else(|| self.next())
    }

    /// The next voter in turn.
    pub(crate) fn next(&self) -> NodeId {
        let voters = self.links.voters();
        let turn = self.cursor.fetch_add(1, Ordering::Relaxed) % voters.len().max(1);
        voters.keys().nth(turn).copied().unwrap_or(self.node)
    }

    /// Remembers what was heard of the leader; nothing after a failure, so that the next one of the
    /// voters is asked.
    fn heard(&self, leader: Option<NodeId>) {
        *self.hint.lock().unwrap_or_else(PoisonError::into_inner) = leader;
    }

    /// Asks once for the lease to be renewed.
    pub(crate) async fn heartbeat(
        &self,
        request: HeartbeatRequest,
        timeout: Duration,
    ) -> Result<HeartbeatAnswer, CallError> {
        let target = self.target();
        let answer = match &self.lead {
            Some(lead) if target == self.node => {
                tokio::time::timeout(timeout, lead.heartbeat(request))
                    .await
                    .map_err(|_| CallError::TimedOut(timeout))
            }
            _ => {
                self.links
                    .call(target, Purpose::Heartbeats, Method::Heartbeat, &request, timeout)
                    .await
            }
        };
        self.heard(match &answer {
            Ok(HeartbeatAnswer::NotLeader { leader }) => *leader,
            Ok(_) => Some(target),
            Err(_) => None,
        });
        answer
    }

    async fn propose_once(&self, command: &Command) -> Result<ProposeAnswer, CallError> {
        let target = self.target();
        let answer = match &self.lead {
            Some(lead) if target == self.node => {
                tokio::time::timeout(TRY_TIMEOUT, lead.propose(command.clone()))
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
        self.heard(match &answer {
            Ok(ProposeAnswer::NotLeader { leader }) => *leader,
            Ok(_) => Some(target),
            Err(_) => None,
        });
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
        let mut pause = FIRST_PAUSE;
        loop {
            // Subscribed before asking, so that no news is missed between.
            let mut changes = self.views.subscribe();
            let reason = match self.propose_once(command).await {
                Ok(ProposeAnswer::Applied { index, response }) => return Ok((index, response)),
                Ok(ProposeAnswer::NotLeader { leader: Some(leader) }) => {
                    format!("node {leader} is to lead, and does not yet")
                }
                Ok(ProposeAnswer::NotLeader { leader: None }) => "nobody leads".to_owned(),
                Ok(ProposeAnswer::Unknown { reason }) => reason,
                Err(error) => error.to_string(),
            };
            let left = deadline.since(self.host.now());
            if left.is_zero() {
                return Err(CoordinatorError::Unavailable { reason });
            }
            tokio::select! {
                () = tokio::time::sleep(pause.min(left)) => {}
                // A change of the view, such as a new leader, is a reason to ask at once.
                _ = changes.changed() => {}
            }
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
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
