//! Whether this node still leads: asks a majority of the voters.
//!
//! openraft has such a round too. It gives each follower one heartbeat interval for an answer and drops
//! later ones, so that a leader whose round trips are longer never hears of its own quorum, and nobody
//! else is elected, since its heartbeats arrive. Here an answer has a good part of a lease.
//!
//! A round is the read index of Raft (Ongaro, section 6.4): the leader takes down what is committed, a
//! majority of each configuration in force says that it has seen no later vote, and what was taken down
//! is applied here, the leadership's first entry included. What is sent is an append of nothing after
//! nothing: a follower takes it as a sign of life and leaves its log as it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use openraft::{
    Raft, ServerState,
    async_runtime::watch::WatchReceiver,
    raft::{AppendEntriesRequest, AppendEntriesResponse},
};
use quarry_ports::Host;
use quarry_types::{Monotonic, NodeId};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::{
    control::{CallError, Links, Method, Purpose},
    group::{Group, LeaderId, RaftState, Vote},
    storage::Machine,
};

/// How many wait for a round at most.
const ASKS: usize = 4_096;
/// How long who asks waits for the round before; with a far majority the next one begins beside it.
const PACE: Duration = Duration::from_millis(50);
/// How many rounds are under way at most.
const ROUNDS: usize = 16;

/// What a quorum round found out.
#[derive(Clone, Debug)]
pub(crate) enum Round {
    /// A quorum confirmed this leadership after the round began, and what was committed before is
    /// applied, the first entry of the leadership included.
    Confirmed { leadership: LeaderId, began: Monotonic },
    /// This node does not lead.
    NotLeader { leader: Option<NodeId> },
    /// No quorum answered in time.
    NoQuorum { reason: String },
}

type Ask = oneshot::Sender<Round>;

/// Makes quorum rounds.
#[derive(Clone)]
pub(crate) struct Quorum {
    asks: mpsc::Sender<Ask>,
}

impl Quorum {
    /// Rounds of the voters of `raft`, each of which takes `within` at most; starts the task that makes
    /// them.
    pub(crate) fn start(
        raft: Raft<Group, Machine>,
        links: Arc<Links>,
        host: &Host,
        within: Duration,
    ) -> Self {
        let (asks, queue) = mpsc::channel(ASKS);
        let rounds = Rounds { raft, links, host: host.clone(), within };
        drop(host.spawn("coordinator rounds", rounds.run(queue)));
        Self { asks }
    }

    /// A round that begins after this call; calls made meanwhile share one.
    pub(crate) async fn round(&self) -> Round {
        let (ask, told) = oneshot::channel();
        if self.asks.send(ask).await.is_err() {
            return stopping();
        }
        told.await.unwrap_or_else(|_| stopping())
    }
}

fn stopping() -> Round {
    Round::NoQuorum { reason: "this node is stopping".to_owned() }
}

#[derive(Clone)]
struct Rounds {
    raft: Raft<Group, Machine>,
    links: Arc<Links>,
    host: Host,
    within: Duration,
}

/// What a leader is when a round begins.
struct Standing {
    vote: Vote,
    leadership: LeaderId,
    committed: u64,
    /// The sets of voters in force: one, or two while one takes the place of the other.
    configurations: Vec<BTreeSet<u64>>,
    /// Where the voters are.
    addresses: BTreeMap<u64, String>,
}

impl Standing {
    /// `Err` holds who leads instead, as far as it is known.
    fn of(state: &RaftState, node: u64) -> Result<Self, Option<NodeId>> {
        let vote = *state.vote_ref();
        let leader = vote.leader_id;
        if state.server_state != ServerState::Leader || leader.node_id != node {
            let other = vote.committed && leader.node_id != node;
            return Err(other.then_some(NodeId(leader.node_id)));
        }
        let membership = state.membership_state.effective().membership();
        let addresses = membership.nodes().map(|(id, node)| (*id, node.addr.clone())).collect();
        Ok(Self {
            vote,
            leadership: leader,
            committed: state.local_committed().map_or(0, |committed| committed.index),
            configurations: membership.get_joint_config().clone(),
            addresses,
        })
    }

    fn others(&self, node: u64) -> BTreeSet<u64> {
        self.configurations.iter().flatten().copied().filter(|voter| *voter != node).collect()
    }
}

/// Whether `voters` has a majority of each configuration; of none there is none.
fn is_quorum(configurations: &[BTreeSet<u64>], voters: &BTreeSet<u64>) -> bool {
    let is_majority =
        |all: &BTreeSet<u64>| all.intersection(voters).count().saturating_mul(2) > all.len();
    !configurations.is_empty() && configurations.iter().all(is_majority)
}

/// Whether who answers has seen no later vote than that under which it was asked.
fn knows_no_later(answer: &AppendEntriesResponse<Group>) -> Result<(), String> {
    match answer {
        AppendEntriesResponse::HigherVote(vote) => Err(format!("it voted for {vote}")),
        AppendEntriesResponse::Success
        | AppendEntriesResponse::PartialSuccess(_)
        | AppendEntriesResponse::Conflict => Ok(()),
    }
}

/// Has rounds made by `round`, each for all that asked before it began: many heartbeats share one.
async fn share<F>(host: &Host, mut queue: mpsc::Receiver<Ask>, round: impl Fn() -> F)
where
    F: Future<Output = Round> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(ROUNDS));
    let mut waiting = Vec::new();
    while queue.recv_many(&mut waiting, ASKS).await > 0 {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (round, asks) = (round(), std::mem::take(&mut waiting));
        let round = host.spawn("quorum round", async move {
            let found = round.await;
            for ask in asks {
                // Who asked may be gone.
                drop(ask.send(found.clone()));
            }
            drop(place);
        });
        drop(tokio::time::timeout(PACE, round.ended()).await);
    }
}

impl Rounds {
    async fn run(self, queue: mpsc::Receiver<Ask>) {
        let host = self.host.clone();
        let round = || {
            let rounds = self.clone();
            async move { rounds.round().await }
        };
        share(&host, queue, round).await;
    }

    async fn round(&self) -> Round {
        let began = self.host.now();
        match tokio::time::timeout(self.within, self.confirm(began)).await {
            Ok(found) => found,
            Err(_) => Round::NoQuorum { reason: format!("no quorum within {:?}", self.within) },
        }
    }

    async fn confirm(&self, began: Monotonic) -> Round {
        let node = *self.raft.node_id();
        let standing = match self.raft.with_raft_state(move |state| Standing::of(state, node)).await
        {
            Ok(Ok(standing)) => standing,
            Ok(Err(leader)) => return Round::NotLeader { leader },
            Err(error) => return Round::NoQuorum { reason: error.to_string() },
        };
        if let Err(reason) = self.hear_quorum(node, &standing).await {
            return Round::NoQuorum { reason };
        }
        if !self.applied(&standing).await {
            return stopping();
        }
        Round::Confirmed { leadership: standing.leadership, began }
    }

    /// Waits until a quorum has confirmed the vote of `standing`. `Err` says why none will.
    async fn hear_quorum(&self, node: u64, standing: &Standing) -> Result<(), String> {
        let others = standing.others(node);
        let (answers, mut answered) = mpsc::channel(others.len().max(1));
        for voter in others {
            let answers = answers.clone();
            let call = self.clone().call(voter, standing);
            // A call goes on when the round is over: a connection bears few calls that are given up.
            drop(self.host.spawn("quorum call", async move {
                drop(answers.send((voter, call.await)).await);
            }));
        }
        drop(answers);
        let (mut voters, mut reasons) = (BTreeSet::from([node]), Vec::new());
        while !is_quorum(&standing.configurations, &voters) {
            match answered.recv().await {
                Some((voter, Ok(()))) => drop(voters.insert(voter)),
                Some((voter, Err(reason))) => reasons.push(format!("voter {voter}: {reason}")),
                None => return Err(format!("no quorum: {}", reasons.join("; "))),
            }
        }
        Ok(())
    }

    /// Asks one voter; `Ok` where it has seen no later vote than that of `standing`.
    fn call(
        self,
        voter: u64,
        standing: &Standing,
    ) -> impl Future<Output = Result<(), String>> + Send + 'static {
        let request = AppendEntriesRequest::<Group> {
            vote: standing.vote,
            prev_log_id: None,
            leader_commit: None,
            entries: Vec::new(),
        };
        let address = standing.addresses.get(&voter).cloned();
        async move {
            let (to, at, purpose) = (NodeId(voter), address.as_deref(), Purpose::Heartbeats);
            let answer: Result<AppendEntriesResponse<Group>, CallError> =
                self.links.call_at(to, at, purpose, Method::Append, &request, self.within).await;
            knows_no_later(&answer.map_err(|error| error.to_string())?)
        }
    }

    /// Waits until what was committed when the round began is applied, the leadership's first entry
    /// included; not where Raft has stopped.
    async fn applied(&self, standing: &Standing) -> bool {
        let mut progress = self.raft.data_metrics();
        loop {
            let applied = progress.borrow_and_update().last_applied;
            if applied.is_some_and(|applied| {
                applied.leader_id >= standing.leadership && applied.index >= standing.committed
            }) {
                return true;
            }
            if WatchReceiver::changed(&mut progress).await.is_err() {
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Rounds that take `time` each; a round tells the millisecond in which it began.
    fn rounds(time: Duration) -> (Quorum, Host, Arc<AtomicU64>) {
        let (host, made) = (quarry_sim::host::host(1), Arc::new(AtomicU64::new(0)));
        let (asks, queue) = mpsc::channel(ASKS);
        let (clock, counter) = (host.clone(), Arc::clone(&made));
        let round = move || {
            counter.fetch_add(1, Ordering::Relaxed);
            let began = clock.now().0 / 1_000_000;
            async move {
                tokio::time::sleep(time).await;
                Round::NotLeader { leader: Some(NodeId(began)) }
            }
        };
        let maker = host.clone();
        drop(host.spawn("rounds", async move { share(&maker, queue, round).await }));
        (Quorum { asks }, host, made)
    }

    /// Asks `count` times, each `pause` after the one before, and checks that the round that answers
    /// began later than that, and the longest wait.
    async fn ask(quorum: &Quorum, host: &Host, count: u32, pause: Duration) -> Duration {
        let asked = (0..count).map(|turn| async move {
            tokio::time::sleep(pause * turn).await;
            let asked = host.now();
            let Round::NotLeader { leader: Some(NodeId(began)) } = quorum.round().await else {
                panic!("no round");
            };
            assert!(began >= asked.0 / 1_000_000, "a round counts for those who asked before it");
            host.now().since(asked)
        });
        futures_util::future::join_all(asked).await.into_iter().max().unwrap_or_default()
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_ask_meanwhile_share_a_round() {
        let (quorum, host, made) = rounds(Duration::from_millis(20));
        let longest = ask(&quorum, &host, 1_000, Duration::ZERO).await;
        assert!(made.load(Ordering::Relaxed) <= 2, "{made:?}");
        assert!(longest <= Duration::from_millis(40), "{longest:?}");
        made.store(0, Ordering::Relaxed);
        // In one second; a round may begin every 20 ms.
        let longest = ask(&quorum, &host, 1_000, Duration::from_millis(1)).await;
        assert!(made.load(Ordering::Relaxed) <= 52, "{made:?}");
        assert!(longest <= Duration::from_millis(45), "{longest:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn far_rounds_overlap_up_to_a_bound() {
        let (quorum, host, made) = rounds(Duration::from_millis(600));
        let longest = ask(&quorum, &host, 100, Duration::from_millis(20)).await;
        assert!(longest <= Duration::from_millis(655), "{longest:?}");
        assert!(made.load(Ordering::Relaxed) <= 42, "one in 50 ms: {made:?}");
        let (quorum, host, made) = rounds(Duration::from_secs(2));
        let longest = ask(&quorum, &host, 100, Duration::from_millis(50)).await;
        assert!(longest <= Duration::from_secs(4), "{longest:?}");
        assert!(made.load(Ordering::Relaxed) <= 60, "16 in two seconds: {made:?}");
    }

    #[test]
    fn who_voted_for_another_confirms_nothing() {
        let later = AppendEntriesResponse::HigherVote(Vote::new(7, 2));
        assert!(knows_no_later(&later).is_err());
        assert_eq!(knows_no_later(&AppendEntriesResponse::Success), Ok(()));
    }

    fn set(voters: &[u64]) -> BTreeSet<u64> {
        voters.iter().copied().collect()
    }

    #[test]
    fn a_quorum_is_a_majority_of_each_configuration() {
        let three = [set(&[1, 2, 3])];
        assert!(!is_quorum(&three, &set(&[1])));
        assert!(is_quorum(&three, &set(&[1, 3])));
        assert!(!is_quorum(&three, &set(&[1, 4, 5])), "others do not count");
        assert!(is_quorum(&[set(&[1])], &set(&[1])), "a sole voter is one");
        assert!(!is_quorum(&[set(&[1, 2, 3, 4])], &set(&[1, 2])), "half is none");
        assert!(!is_quorum(&[], &set(&[1, 2])), "there is none where nobody votes");
        let changing = [set(&[1, 2, 3]), set(&[1, 2, 4])];
        assert!(is_quorum(&changing, &set(&[1, 2])));
        assert!(!is_quorum(&changing, &set(&[1, 3])), "of one of the two only");
        assert!(is_quorum(&changing, &set(&[1, 3, 4])));
    }
}
