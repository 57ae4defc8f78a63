//! Coordinators on a network in memory, in virtual time: far ones, and ones that do not hear each other.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test's surroundings")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use quarry_consensus::{Config, Consensus, MemoryDisk, Recovery, Times, start_in_memory};
use quarry_core::coordinator::Founding;
use quarry_plane::{Cookie, Protocol, Security};
use quarry_ports::{Administration, Coordinator, Host, Metrics, Peer, Transport};
use quarry_sim::{
    host::host,
    transport::{FaultPlan, Network},
};
use quarry_types::{BootId, EntityType, NodeId, NodeState, Role};

const VOTERS: u64 = 3;
/// The node that does not vote.
const RUNNER: NodeId = NodeId(4);
const SEEDS: std::ops::Range<u64> = 0..8;
/// Of runs with an election.
const ELECTIONS: std::ops::Range<u64> = 0..4;
/// How often leases are looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Three voters, and one more runner.
struct Far {
    host: Host,
    network: Network,
    nodes: BTreeMap<NodeId, Arc<Consensus>>,
}

fn config(node: NodeId, times: Times) -> Config {
    let address = |node: NodeId| format!("control-{node}");
    Config {
        node,
        protocol: Protocol::CURRENT,
        boot: BootId(node.0),
        voters: (1..=VOTERS).map(|voter| (NodeId(voter), address(NodeId(voter)))).collect(),
        listen: address(node),
        advertise: address(node),
        data_dir: PathBuf::new(),
        cookie: Cookie::new(&"9".repeat(32)).expect("long enough"),
        security: Security::open(),
        cluster_name: "far".to_owned(),
        times,
        roles: BTreeSet::from([Role::Runner]),
        weight: 100,
        groups: BTreeSet::new(),
        http: String::new(),
        mesh: address(node),
        shards: 16,
        max_moves: 8,
        founding: Founding::default(),
        existing_identity: None,
        recovery: Recovery::Refuse,
    }
}

impl Far {
    /// All of them, each with its lease.
    async fn start(seed: u64) -> Self {
        Self::start_with(seed, |_| Times::default()).await
    }

    /// As [`Far::start`], each with these times.
    async fn start_with(seed: u64, times: impl Fn(NodeId) -> Times) -> Self {
        let host = host(seed);
        let network = Network::new(host.clone(), seed);
        let mut nodes = BTreeMap::new();
        for node in (1..=RUNNER.0).map(NodeId) {
            let transport = network.node(node);
            let peers = (1..=RUNNER.0).map(NodeId).filter(|peer| *peer != node);
            transport.set_peers(
                peers.map(|node| Peer { node, mesh: format!("control-{node}") }).collect(),
            );
            let (metrics, disk) = (Metrics::new().expect("metrics"), MemoryDisk::default());
            let started =
                start_in_memory(config(node, times(node)), host.clone(), metrics, transport, disk);
            let consensus = started.await.expect("it starts");
            consensus.join();
            nodes.insert(node, consensus);
        }
        let far = Self { host, network, nodes };
        for node in far.nodes.values() {
            far.until("every node has a lease, and knows the leader", || {
                node.lease().is_held() && node.status().leader.is_some()
            })
            .await;
        }
        far
    }

    fn node(&self, node: NodeId) -> &Arc<Consensus> {
        self.nodes.get(&node).unwrap()
    }

    fn leader(&self) -> NodeId {
        self.node(NodeId(1)).status().leader.unwrap()
    }

    fn followers(&self) -> Vec<NodeId> {
        let leader = self.leader();
        (1..=VOTERS).map(NodeId).filter(|voter| *voter != leader).collect()
    }

    /// Whether the runner has a lease that nobody ended, as `node` knows it.
    fn runner_is_in(&self, node: NodeId) -> bool {
        let view = self.node(node).view();
        view.borrow().nodes.get(&RUNNER).is_some_and(|known| known.state == NodeState::Up)
    }

    async fn until(&self, what: &str, is_so: impl FnMut() -> bool) {
        self.until_within(Duration::from_secs(5), what, is_so).await;
    }

    /// Waits in virtual time until it is so, for at most so long.
    async fn until_within(&self, limit: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
        let deadline = self.host.now().after(limit);
        while !is_so() {
            assert!(self.host.now() < deadline, "{what}: not within {limit:?}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// How little was left of a lease of `nodes` at any time in `time`.
    async fn least_left(&self, nodes: &[NodeId], time: Duration) -> Duration {
        let (deadline, mut least) = (self.host.now().after(time), Duration::MAX);
        while self.host.now() < deadline {
            tokio::time::sleep(LOOK).await;
            for node in nodes {
                least = least.min(self.node(*node).lease().deadline().since(self.host.now()));
            }
        }
        least
    }
}

#[tokio::test(start_paused = true)]
async fn leases_are_renewed_well_before_they_end_where_all_nodes_are_far_from_the_leader() {
    for seed in SEEDS {
        let far = Far::start(seed).await;
        let late = Duration::from_millis(300);
        let plan = FaultPlan { delay_min: late, delay_max: late, ..FaultPlan::default() };
        far.network.set_plan(plan);
        let nodes: Vec<NodeId> = far.nodes.keys().copied().collect();
        let (leader, term) = (far.leader(), far.node(NodeId(1)).status().term);
        let least = far.least_left(&nodes, Duration::from_secs(20)).await;
        assert!(least > Duration::from_millis(600), "{least:?} were left of a lease");
        assert_eq!((far.leader(), far.node(NodeId(1)).status().term), (leader, term));
    }
}

/// The leader is cut off where all nodes are so `late`; the others have its shards in the end. Says how
/// little was left of a lease of theirs.
async fn over_an_election(seed: u64, late: Duration) -> (Far, Duration) {
    let far = Far::start(seed).await;
    let plan = FaultPlan { delay_min: late, delay_max: late, ..FaultPlan::default() };
    far.network.set_plan(plan);
    let leader = far.leader();
    let others: Vec<NodeId> = far.nodes.keys().copied().filter(|node| *node != leader).collect();
    far.least_left(&others, Duration::from_secs(3)).await;
    assert_eq!(far.leader(), leader);
    for other in &others {
        far.network.cut(leader, *other);
    }
    let least = far.least_left(&others, Duration::from_secs(10)).await;
    for other in others {
        let view = far.node(other).view().borrow().clone();
        assert!(view.leader.is_some_and(|leads| leads != leader), "{:?}", view.leader);
        let is_taken = |owner: Option<NodeId>| owner.is_some_and(|owner| owner != leader);
        assert!(view.shards.iter().all(|shard| is_taken(shard.owner)), "{:?}", view.shards);
        assert!(far.node(other).lease().is_held());
    }
    (far, least)
}

#[tokio::test(start_paused = true)]
async fn leases_outlive_an_election_where_all_nodes_are_rather_far() {
    for seed in ELECTIONS {
        let (_, least) = over_an_election(seed, Duration::from_millis(40)).await;
        assert!(least > Duration::ZERO, "seed {seed}: a lease ended");
    }
}

/// Farther than openraft's heartbeats are apart.
#[tokio::test(start_paused = true)]
async fn voters_commit_and_take_over_where_all_nodes_are_far() {
    for seed in ELECTIONS {
        let (far, _) = over_an_election(seed, Duration::from_millis(120)).await;
        let began = far.host.now();
        let news = Administration::Use(EntityType::new("News").unwrap());
        let leader = far.node(RUNNER).view().borrow().leader.unwrap();
        far.node(leader).administer(news).await.unwrap();
        let took = far.host.now().since(began);
        assert!(took < Duration::from_secs(1), "seed {seed}: committed after {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_hears_no_other_voter_renews_no_lease() {
    for seed in SEEDS {
        let far = Far::start(seed).await;
        let leader = far.leader();
        for voter in far.followers() {
            far.network.cut(leader, voter);
        }
        let cut = far.host.now();
        let lease = far.node(leader).lease();
        // An answer that was under way may still come.
        tokio::time::sleep(LOOK).await;
        let deadline = lease.deadline();
        far.until("its lease ends", || !lease.is_held()).await;
        assert_eq!(lease.deadline(), deadline, "it was renewed without a quorum");
        assert!(far.host.now().since(cut) <= Duration::from_millis(2_600));
        far.network.heal();
        far.until("it has a lease again", || lease.is_held()).await;
    }
}

/// The runner hears the leader on, which hears no other voter.
#[tokio::test(start_paused = true)]
async fn a_runner_leaves_a_leader_that_has_no_quorum_before_its_lease_ends() {
    for seed in SEEDS {
        let far = Far::start(seed).await;
        let leader = far.leader();
        for voter in far.followers() {
            far.network.cut(leader, voter);
        }
        let least = far.least_left(&[RUNNER], Duration::from_secs(10)).await;
        assert!(least > Duration::ZERO, "the runner's lease ended");
    }
}

/// The voter from which the runner gets its views does not hear the leader any more.
#[tokio::test(start_paused = true)]
async fn a_runner_leaves_a_voter_whose_views_are_behind_what_the_leader_has_applied() {
    for seed in SEEDS {
        let far = Far::start(seed).await;
        let leader = far.leader();
        let [followed, other] = far.followers()[..] else { panic!("two followers") };
        for voter in [leader, other] {
            far.network.cut(RUNNER, voter);
        }
        // Each of the two is asked in vain, and the third is not.
        tokio::time::sleep(Duration::from_secs(5)).await;
        far.network.heal();
        far.until("the runner is back", || far.node(RUNNER).lease().is_held()).await;
        far.network.cut(leader, followed);
        let news = Administration::Use(EntityType::new("News").unwrap());
        let told = far.node(leader).administer(news).await.unwrap();
        let view = far.node(RUNNER).view();
        far.until("the runner hears of it", || view.borrow().applied >= told).await;
        assert!(far.node(RUNNER).lease().is_held());
    }
}

/// The runner counts its lease with another time to live than the voters.
async fn with_a_lease_of(seed: u64, runner: Duration, voters: Duration) -> Far {
    let of = |node| if node == RUNNER { runner } else { voters };
    let far = Far::start_with(seed, |node| Times { lease_ttl: of(node), ..Times::default() }).await;
    assert!(far.runner_is_in(far.leader()));
    for voter in (1..=VOTERS).map(NodeId) {
        far.network.cut(RUNNER, voter);
    }
    far
}

#[tokio::test(start_paused = true)]
async fn no_leader_ends_a_lease_that_lives_longer_than_its_own() {
    for seed in ELECTIONS {
        let far = with_a_lease_of(seed, Duration::from_secs(10), Duration::from_secs(3)).await;
        let leader = far.leader();
        let [heir, other] = far.followers()[..] else { panic!("two followers") };
        for voter in [heir, other] {
            far.network.cut(leader, voter);
        }
        let lease = far.node(RUNNER).lease();
        far.until_within(Duration::from_secs(10), "the lease is over", || {
            let is_held = lease.is_held();
            assert!(!is_held || far.runner_is_in(heir), "seed {seed}: it was ended before");
            !is_held
        })
        .await;
        let limit = Duration::from_secs(6);
        far.until_within(limit, "the lease is ended", || !far.runner_is_in(heir)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn no_leader_waits_longer_than_a_lease_lives() {
    for seed in ELECTIONS {
        let far = with_a_lease_of(seed, Duration::from_secs(4), Duration::from_secs(20)).await;
        let leader = far.leader();
        far.until("the lease is ended", || !far.runner_is_in(leader)).await;
        assert!(!far.node(RUNNER).lease().is_held());
    }
}
