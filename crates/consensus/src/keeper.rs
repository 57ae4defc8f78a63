//! The runner's side: joins, and keeps the lease by heartbeats.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use quarry_core::{
    coordinator::{Command, Loads, Member, Refused, Response},
    lease::{HeartbeatId, LeaseTimes, RunnerLease},
};
use quarry_ports::{CoordinatorError, Host, LeaseGuard, Metrics, crash};
use quarry_types::{Monotonic, NodeView};
use tokio::sync::watch;

use crate::{
    ask::Asker,
    control::{HeartbeatAnswer, HeartbeatRequest},
    view::Views,
};

/// How long one proposal of a join is tried before that is said.
const JOIN_LIMIT: Duration = Duration::from_secs(10);
/// How long a process waits that may not join now; a lease that it waits for ends within some of these.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);
/// How long a runner waits after a heartbeat that was not answered well; it doubles up to
/// [`LONGEST_PAUSE`], which is short beside an election.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// How many heartbeats are under way at most.
const UNDER_WAY: usize = 8;

/// What the keeper told of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It joins, or waits for a leader to join with.
    #[default]
    Joining,
    /// It joined at this index.
    Joined { index: u64 },
    /// This process can never join again.
    Ended { reason: String },
}

impl Standing {
    /// Why the process can never join again; empty where it can.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Joining | Self::Joined { .. } => String::new(),
            Self::Ended { reason } => reason.clone(),
        }
    }
}

/// Keeps this process in the cluster.
pub(crate) struct Keeper {
    pub(crate) member: Member,
    pub(crate) leases: LeaseTimes,
    pub(crate) asker: Arc<Asker>,
    pub(crate) views: Arc<Views>,
    pub(crate) host: Host,
    pub(crate) metrics: Metrics,
    pub(crate) guard: LeaseGuard,
    pub(crate) standing: watch::Sender<Standing>,
    /// What the runner said last of its shards.
    pub(crate) loads: watch::Receiver<Loads>,
    /// When the last acknowledged heartbeat was sent.
    pub(crate) heard: watch::Sender<Option<Monotonic>>,
    /// Whether this process can serve what it would be given.
    pub(crate) is_warm: watch::Receiver<bool>,
}

impl Keeper {
    /// Joins when this process is warm, and again whenever the lease was lost, until it may not.
    pub(crate) async fn run(mut self) {
        if self.is_warm.wait_for(|is_warm| *is_warm).await.is_err() {
            return;
        }
        let mut joined = None;
        loop {
            self.standing.send_replace(Standing::Joining);
            match self.join(joined).await {
                Ok((index, leases)) => {
                    joined = Some(index);
                    crash::point("joined");
                    self.standing.send_replace(Standing::Joined { index });
                    self.renew_from(index, leases).await;
                }
                Err(reason) => {
                    tracing::error!(node = %self.member.id, %reason, "this process cannot join");
                    self.standing.send_replace(Standing::Ended { reason });
                    self.guard.end();
                    return;
                }
            }
            // What this process owned may be another's by now.
            self.guard.end();
        }
    }

    /// Joins; the index, and the times by which the lease is counted. Where older programs are in the
    /// cluster that do not know what it is to tell a time to live, the process joins as they do and counts
    /// with no more than the usual one, which every leader waits for. Should both entries be applied, in
    /// whatever order, leaders wait for no less.
    ///
    /// A process that had joined before, at the index `before`, joins again unless another one took its
    /// place since.
    async fn join(&self, before: Option<u64>) -> Result<(u64, LeaseTimes), String> {
        let told = Command::join(self.member.clone(), self.leases.ttl());
        let untold = Command::Join { node: self.member.clone() };
        let mut wishes = [(told, self.leases), (untold, self.leases.at_most_usual())];
        let mut refusals = Refusals::default();
        loop {
            if let Some(reason) = self.replaced_since(before) {
                return Err(reason);
            }
            let [(command, leases), (other, _)] = &wishes;
            match self.asker.propose(command, JOIN_LIMIT).await {
                Ok((_, Response::Refused(reason @ Refused::BootEnded { .. }))) => {
                    return Err(reason.to_string());
                }
                Ok((_, Response::Refused(reason))) => refusals.wait(&reason.to_string()).await,
                Ok((index, Response::Applied(_) | Response::Ignored(_))) => {
                    let (node, ttl) = (self.member.id, leases.ttl());
                    tracing::info!(%node, index, lease_ttl = ?ttl, "joined the cluster");
                    return Ok((index, *leases));
                }
                Err(error @ CoordinatorError::Refused { .. })
                    if other.since() < command.since() =>
                {
                    refusals.say(&error.to_string(), "joining with the usual time to live");
                }
                Err(CoordinatorError::Refused { reason }) => refusals.wait(&reason).await,
                Err(error) => tracing::warn!(%error, "not joined yet"),
            }
            wishes.reverse();
        }
    }

    /// How another process took the place of this one, which had joined at the index `before`, as far as
    /// this node knows.
    fn replaced_since(&self, before: Option<u64>) -> Option<String> {
        let view = self.views.newest();
        let known = view.nodes.get(&self.member.id)?;
        let is_other =
            known.boot != self.member.boot && before.is_some_and(|at| view.applied >= at);
        is_other.then(|| {
            let NodeView { id, http, .. } = known;
            format!("another process is node {id} now, with HTTP at {http}")
        })
    }

    /// Renews the lease until the leader does not know it any more. The lease is held only while
    /// the view has reached `joined`, the index of the join. Heartbeats go out in their time, also
    /// where answers to earlier ones are still under way.
    async fn renew_from(&self, joined: u64, leases: LeaseTimes) {
        let mut lease = RunnerLease::new(leases);
        let mut changes = self.views.subscribe();
        let mut next = self.host.now();
        let mut trouble = Trouble::default();
        let mut under_way = FuturesUnordered::new();
        loop {
            let current = changes.borrow_and_update().applied >= joined;
            if current && let Some(deadline) = lease.deadline() {
                self.guard.renew(deadline);
                crash::point("lease-renewed");
            }
            self.show();
            let answered = tokio::select! {
                biased;
                Some(answered) = under_way.next() => answered,
                () = self.host.sleep_until(next), if under_way.len() < UNDER_WAY => {
                    let sent = self.host.now();
                    under_way.push(self.heartbeat(lease.sent(sent), sent, leases.answer_limit()));
                    next = sent.after(leases.heartbeat());
                    continue;
                }
                news = changes.changed(), if !current => {
                    if news.is_err() { return }
                    continue;
                }
            };
            let Answered { id, sent, outcome } = answered;
            match outcome {
                Outcome::Renewed => {
                    trouble.ends();
                    lease.acknowledged(id);
                    self.heard.send_modify(|heard| *heard = (*heard).max(Some(sent)));
                }
                Outcome::NotKnown => return,
                Outcome::Ending => {
                    self.guard.end();
                    // What is under way would renew the lease that ended.
                    under_way.clear();
                    lease = RunnerLease::new(leases);
                    next = self.host.now().after(RETRY_PAUSE);
                }
                // A later one was acknowledged: this says nothing new.
                _ if !lease.awaits(id) => {}
                Outcome::NotLeader | Outcome::NoQuorum(_) | Outcome::Failed(_) => {
                    next = next.min(self.host.now().after(trouble.goes_on(&outcome)));
                }
            }
        }
    }

    /// Sends a heartbeat, and says what became of it; an answer is waited for up to `limit`.
    async fn heartbeat(&self, id: HeartbeatId, sent: Monotonic, limit: Duration) -> Answered {
        let outcome = self.ask(limit).await;
        if matches!(outcome, Outcome::Renewed) {
            self.metrics.heartbeat_seconds.observe(self.host.now().since(sent).as_secs_f64());
        }
        self.metrics.heartbeats.with_label_values(&[outcome.label()]).inc();
        Answered { id, sent, outcome }
    }

    async fn ask(&self, limit: Duration) -> Outcome {
        let (node, boot, loads) = (self.member.id, self.member.boot, self.loads.borrow().clone());
        let request = HeartbeatRequest { node, boot, loads };
        match self.asker.heartbeat(request, limit).await {
            Ok(HeartbeatAnswer::Renewed { applied }) => {
                tracing::trace!(applied, "the lease is renewed");
                self.views.promise(applied);
                Outcome::Renewed
            }
            Ok(HeartbeatAnswer::NotKnown) => {
                tracing::warn!(node = %self.member.id, "the leader knows no lease of this process");
                Outcome::NotKnown
            }
            Ok(HeartbeatAnswer::Ending) => {
                tracing::warn!(node = %self.member.id, "the lease of this process ran out");
                Outcome::Ending
            }
            Ok(HeartbeatAnswer::NotLeader { leader }) => {
                tracing::debug!(?leader, "a heartbeat went to a node that does not lead");
                Outcome::NotLeader
            }
            Ok(HeartbeatAnswer::NoQuorum { reason }) => Outcome::NoQuorum(reason),
            Err(error) => Outcome::Failed(error.to_string()),
        }
    }

    fn show(&self) {
        let left = self.guard.deadline().since(self.host.now());
        self.metrics.lease_seconds.set(left.as_secs_f64());
    }
}

/// Joins in a row that were refused.
#[derive(Debug, Default)]
struct Refusals {
    told: String,
}

impl Refusals {
    /// One more: says why and `what_now`, once in a row of the same.
    fn say(&mut self, reason: &str, what_now: &str) {
        if self.told != reason {
            tracing::warn!(reason, "the join was refused; {what_now}");
            reason.clone_into(&mut self.told);
        }
    }

    /// One more that is waited after.
    async fn wait(&mut self, reason: &str) {
        self.say(reason, "asking on");
        tokio::time::sleep(REFUSED_PAUSE).await;
    }
}

/// What became of a heartbeat.
struct Answered {
    id: HeartbeatId,
    sent: Monotonic,
    outcome: Outcome,
}

enum Outcome {
    Renewed,
    NotKnown,
    Ending,
    NotLeader,
    NoQuorum(String),
    Failed(String),
}

impl Outcome {
    const fn label(&self) -> &'static str {
        match self {
            Self::Renewed => "renewed",
            Self::NotKnown => "not_known",
            Self::Ending => "ending",
            Self::NotLeader => "not_leader",
            Self::NoQuorum(_) => "no_quorum",
            Self::Failed(_) => "failed",
        }
    }
}

/// Heartbeats in a row that were not answered well.
#[derive(Debug, Default)]
struct Trouble {
    heartbeats: u32,
    is_told: bool,
}

impl Trouble {
    /// One more; says so the first time. How long to wait before the next.
    fn goes_on(&mut self, outcome: &Outcome) -> Duration {
        let pause = RETRY_PAUSE.saturating_mul(1 << self.heartbeats.min(8)).min(LONGEST_PAUSE);
        self.heartbeats = self.heartbeats.saturating_add(1);
        let reason = match outcome {
            Outcome::NoQuorum(reason) | Outcome::Failed(reason) => reason,
            Outcome::Renewed | Outcome::NotKnown | Outcome::Ending | Outcome::NotLeader => {
                return pause;
            }
        };
        if self.is_told {
            tracing::debug!(reason, heartbeats = self.heartbeats, "the lease is not renewed");
        } else {
            tracing::warn!(
                outcome = outcome.label(),
                reason,
                "the lease is not renewed; asking on"
            );
        }
        self.is_told = true;
        pause
    }

    /// A heartbeat was answered well.
    fn ends(&mut self) {
        if self.is_told {
            tracing::info!(heartbeats = self.heartbeats, "the lease is renewed again");
        }
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_while_nobody_answers_and_begin_anew_after_an_answer() {
        let mut trouble = Trouble::default();
        let failed = Outcome::Failed("no answer".to_owned());
        let mut pauses = || trouble.goes_on(&failed).as_millis();
        assert_eq!([pauses(), pauses(), pauses(), pauses()], [50, 100, 200, 200]);
        for _ in 0..100 {
            assert_eq!(trouble.goes_on(&Outcome::NotLeader), LONGEST_PAUSE);
        }
        assert!(trouble.is_told);
        trouble.ends();
        assert_eq!(trouble.goes_on(&Outcome::NotLeader), RETRY_PAUSE);
        assert!(!trouble.is_told, "that another node leads is no news for people");
    }
}
