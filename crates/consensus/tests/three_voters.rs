//! Three voters in one process: elections, forwarding, failover, restart, followers.

mod support;

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use quarry_consensus::{Config, Consensus, StartError, start};
use quarry_ports::{Administration, Coordinator, CoordinatorError, Host, Metrics, Task};
use quarry_types::{ClusterView, NodeId, NodeState};
use support::{Cluster, begin, serving, until, view_where};

async fn all_serving(nodes: &[Arc<Consensus>]) {
    for node in nodes {
        let count = nodes.len();
        let lease = node.lease();
        until("every node holds its lease", || lease.is_held()).await;
        view_where(node, "every node is up and owns its share", |view| {
            let owners = view.nodes.values().filter(|node| {
                let shards = view.owned_by(node.id).count();
                node.state == NodeState::Up
                    && (view.shards.len() / count..=view.shards.len().div_ceil(count))
                        .contains(&shards)
            });
            owners.count() == count
                && !view.shards.is_empty()
                && view
                    .shards
                    .iter()
                    .all(|shard| shard.owner.is_some() && shard.moving_to.is_none())
        })
        .await;
    }
}

/// Closes and releases shards that are to move, as a runner does, for as long as the node lives.
fn obedient(node: &Arc<Consensus>) -> Task {
    let node = Arc::downgrade(node);
    Host::system().spawn("obedient runner", async move {
        let Some(mut views) = node.upgrade().map(|node| node.view()) else { return };
        while views.changed().await.is_ok() {
            let Some(node) = node.upgrade() else { return };
            let moving: Vec<_> = views
                .borrow_and_update()
                .owned_by(node.node())
                .filter(|shard| shard.moving_to.is_some())
                .map(|shard| (shard.id, shard.epoch))
                .collect();
            if !moving.is_empty() {
                drop(node.release(moving).await);
            }
        }
    })
}

async fn started(cluster: &Cluster) -> Vec<Arc<Consensus>> {
    let nodes = cluster.start_all().await;
    for node in &nodes {
        drop(obedient(node));
    }
    all_serving(&nodes).await;
    nodes
}

#[expect(clippy::expect_used, reason = "a test's surroundings")]
/// Where the leader stands among `nodes`, and who it is.
fn leader_of(nodes: &[Arc<Consensus>]) -> (usize, NodeId) {
    let leads = |node: &Arc<Consensus>| node.status().leader == Some(node.node());
    let at = nodes.iter().position(leads).expect("one of them leads");
    (at, nodes.get(at).expect("it is there").node())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_voters_elect_one_and_share_the_shards() {
    let host = Host::system();
    let cluster = Cluster::of(3);
    let began = host.now();
    let nodes = started(&cluster).await;
    println!("three voters serve after {:?}", host.now().since(began));
    let leader = nodes[0].status().leader;
    for node in &nodes {
        let status = node.status();
        assert_eq!((status.leader, status.voters.len()), (leader, 3));
        assert!(status.has_quorum && status.term > 0);
        assert_eq!(node.cluster_id(), nodes[0].cluster_id());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proposal_of_a_follower_is_applied_by_the_leader() {
    let cluster = Cluster::of(3);
    let nodes = started(&cluster).await;
    let (leader, _) = leader_of(&nodes);
    let (follower, drained) = (&nodes[(leader + 1) % 3], nodes[(leader + 2) % 3].node());
    let index = follower.administer(Administration::drain([drained])).await.unwrap();
    for node in &nodes {
        let view = view_where(node, "the drain is applied", |view| view.applied >= index).await;
        assert_eq!(view.nodes[&drained].state, NodeState::Draining);
        view_where(node, "the drained node has given all away", |view| {
            view.owned_by(drained).next().is_none()
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_drains_asked_for_at_once_through_all_nodes_one_is_refused() {
    let cluster = Cluster::of(3);
    let nodes = started(&cluster).await;
    // Each asks while it sees two others that take shards.
    let drains = nodes.iter().map(|node| node.administer(Administration::drain([node.node()])));
    let answers = join_all(drains).await;
    let is_told = |answer: &&Result<u64, CoordinatorError>| {
        matches!(answer, Err(CoordinatorError::Refused { reason })
            if reason.contains("no runner would be left"))
    };
    assert_eq!(answers.iter().filter(is_told).count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 2, "{answers:?}");
    view_where(&nodes[0], "all shards are with the one that is left", |view| {
        let up = view.nodes.values().filter(|node| node.state == NodeState::Up);
        let [left] = up.map(|node| node.id).collect::<Vec<_>>()[..] else { return false };
        view.shards.iter().all(|shard| shard.owner == Some(left))
    })
    .await;
}

/// Waits until all shards of `dead` are with the others, whose leases must not end meanwhile, and
/// checks that nothing else moved.
async fn taken_over(nodes: &[Arc<Consensus>], dead: NodeId, before: &ClusterView) {
    for node in nodes {
        let lease = node.lease();
        view_where(node, "the dead node's shards have owners again", |view| {
            assert!(lease.is_held(), "a lease of another node ended");
            view.nodes.get(&dead).is_some_and(|node| node.state == NodeState::Down)
                && view.shards.iter().all(|shard| shard.owner.is_some_and(|owner| owner != dead))
        })
        .await;
    }
    let Some(after) = nodes.first().map(|node| node.view().borrow().clone()) else { return };
    for (old, new) in before.shards.iter().zip(&after.shards) {
        if old.owner == Some(dead) {
            assert!(new.epoch > old.epoch, "a new grant has a higher epoch (L1)");
        } else {
            assert_eq!((old.owner, old.epoch), (new.owner, new.epoch), "others stay (S2)");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_leader_is_replaced_and_only_its_shards_move() {
    let host = Host::system();
    let cluster = Cluster::of(3);
    let mut nodes = started(&cluster).await;
    let before = nodes[0].view().borrow().clone();
    let (at, dead) = leader_of(&nodes);
    let killed = host.now();
    cluster.kill(nodes.remove(at)).await;
    for node in &nodes {
        let lease = node.lease();
        view_where(node, "another node leads", |view| {
            assert!(lease.is_held(), "a lease of another node ended");
            view.leader.is_some_and(|leader| leader != dead)
        })
        .await;
    }
    println!("another node leads after {:?}", host.now().since(killed));
    taken_over(&nodes, dead, &before).await;
    let took = host.now().since(killed);
    println!("the dead leader's shards are owned again after {took:?}");
    assert!(took < cluster.times.lease_ttl, "its end was noticed before its time: {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shards_of_a_killed_follower_are_taken_over_at_once() {
    let host = Host::system();
    let cluster = Cluster::of(3);
    let mut nodes = started(&cluster).await;
    let before = nodes[0].view().borrow().clone();
    let (leader, _) = leader_of(&nodes);
    let node = nodes.remove((leader + 1) % 3);
    let (dead, killed) = (node.node(), host.now());
    cluster.kill(node).await;
    taken_over(&nodes, dead, &before).await;
    let took = host.now().since(killed);
    println!("a dead follower's shards are owned again after {took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_kernel_still_answers_the_lease_ends_by_time() {
    let host = Host::system();
    let cluster = Cluster::of(3);
    let mut nodes = started(&cluster).await;
    let before = nodes[0].view().borrow().clone();
    let (leader, _) = leader_of(&nodes);
    let node = nodes.remove((leader + 1) % 3);
    let (dead, address) = (node.node(), cluster.config(node.node().0).listen);
    let last = host.now();
    cluster.kill(node).await;
    // As a frozen process: connections are taken, and nothing is said.
    let _listener = std::net::TcpListener::bind(address).unwrap();
    taken_over(&nodes, dead, &before).await;
    let took = host.now().since(last);
    println!("a silent node's shards are owned again after {took:?}");
    let span = cluster.times.lease_ttl.mul_f64(1.15);
    // Its last heartbeat came at most one interval before.
    assert!(took + cluster.times.heartbeat >= span, "{took:?} is too soon");
    assert!(took <= span + Duration::from_secs(2), "{took:?} is too late");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_follower_comes_back_with_its_directory() {
    let cluster = Cluster::of(3);
    let mut nodes = started(&cluster).await;
    let (leader, _) = leader_of(&nodes);
    let at = (leader + 1) % 3;
    let node = nodes[at].node();
    let old = nodes[at].boot();
    cluster.kill(nodes.remove(at)).await;
    let back = cluster.start(node.0).await;
    drop(obedient(&back));
    nodes.push(back);
    view_where(&nodes[0], "the new process has joined", |view| view.nodes[&node].boot != old).await;
    all_serving(&nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_voters_come_back_after_all_were_killed() {
    let cluster = Cluster::of(3);
    let nodes = started(&cluster).await;
    let (id, before) = (nodes[0].cluster_id(), nodes[0].view().borrow().clone());
    join_all(nodes.into_iter().map(|node| cluster.kill(node))).await;
    let host = Host::system();
    let began = host.now();
    let nodes = cluster.start_all().await;
    for node in &nodes {
        drop(obedient(node));
        view_where(node, "all processes are new", |view| {
            view.nodes.len() == 3
                && view.nodes.values().all(|node| before.nodes[&node.id].boot != node.boot)
        })
        .await;
    }
    all_serving(&nodes).await;
    println!("three voters are back after {:?}", host.now().since(began));
    assert_eq!(nodes[2].cluster_id(), id);
    assert!(nodes[2].view().borrow().applied > before.applied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_get_through_while_the_leader_changes() {
    let cluster = Cluster::of(3);
    let mut nodes = started(&cluster).await;
    let (at, _) = leader_of(&nodes);
    // Runners that are not voters join while the leader goes away in order.
    let joining = join_all((11..15).map(|node| cluster.start(node)));
    let leaving = nodes.remove(at);
    let host = Host::system();
    let began = host.now();
    let shutdown = async {
        leaving.goodbye().await.unwrap();
        leaving.shutdown().await;
        println!("the leader was gone after {:?}", host.now().since(began));
    };
    let (runners, ()) = tokio::join!(joining, shutdown);
    drop(leaving);
    for runner in &runners {
        drop(obedient(runner));
    }
    nodes.extend(runners);
    all_serving_but(&nodes, 1).await;
}

async fn all_serving_but(nodes: &[Arc<Consensus>], gone: usize) {
    for node in nodes {
        let lease = node.lease();
        until("every node holds its lease", || lease.is_held()).await;
        view_where(node, "every node is up and owns shards", |view| {
            view.nodes.values().filter(|node| node.state == NodeState::Down).count() == gone
                && nodes.iter().all(|node| view.owned_by(node.node()).next().is_some())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_that_is_no_voter_follows_and_is_served() {
    let cluster = Cluster::of(3);
    let mut nodes = started(&cluster).await;
    let runner = cluster.start(11).await;
    drop(obedient(&runner));
    let status_of_new = runner.status();
    assert!(!status_of_new.has_quorum);
    nodes.push(runner);
    all_serving(&nodes).await;
    let runner = &nodes[3];
    assert_eq!(runner.cluster_id(), nodes[0].cluster_id());
    assert_eq!(runner.status().voters.len(), 3);
    let index = runner.administer(Administration::drain([NodeId(11)])).await.unwrap();
    view_where(runner, "its own drain is seen", |view| view.applied >= index).await;
    view_where(&nodes[0], "its shards are given away", |view| {
        view.owned_by(NodeId(11)).next().is_none()
    })
    .await;
    assert!(nodes[3].lease().is_held());
    let failed = tokio::time::timeout(Duration::from_millis(200), nodes[3].failed()).await;
    assert!(failed.is_err(), "a runner that is no voter has not failed: {failed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_votes_and_follows_before_it_joins_and_nothing_waits_for_it() {
    let cluster = Cluster::of(3);
    let mut nodes = started(&cluster).await;
    let third = nodes.pop().unwrap();
    let gone = third.node();
    cluster.kill(third).await;
    let is_taken_over =
        |view: &ClusterView| view.shards.iter().all(|shard| shard.owner != Some(gone));
    view_where(&nodes[0], "the others have its shards", is_taken_over).await;
    let cold =
        start(cluster.config(gone.0), Host::system(), Metrics::new().unwrap()).await.unwrap();
    // With one of the others gone as well, entries are committed by its vote.
    cluster.kill(nodes.pop().unwrap()).await;
    let left = &nodes[0];
    view_where(left, "the one that is left owns all", |view| {
        view.shards.iter().all(|shard| shard.owner == Some(left.node()))
    })
    .await;
    let applied = left.view().borrow().applied;
    view_where(&cold, "it follows", |view| view.applied >= applied).await;
    assert_eq!(cold.view().borrow().nodes[&gone].state, NodeState::Down, "it has not joined");
    assert!(!cold.lease().is_held());
    drop(obedient(&cold));
    cold.join();
    nodes.push(cold);
    view_where(&nodes[1], "it has its share", |view| view.owned_by(gone).count() == 8).await;
    let lease = nodes[1].lease();
    until("it holds its lease", || lease.is_held()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_that_lost_its_directory_is_refused_and_a_new_one_is_not() {
    let cluster = Cluster::of(3);
    // The third starts for the first time when the cluster exists already.
    let first = [cluster.start(1).await, cluster.start(2).await];
    let id = first[0].wait_for_cluster_id().await;
    let mut config = cluster.config(3);
    config.existing_identity = Some(id);
    let third = begin(config.clone()).await.unwrap();
    serving(&third).await;
    cluster.kill(third).await;
    std::fs::remove_dir_all(cluster.directory(3)).unwrap();
    let refused = begin(config).await;
    assert!(matches!(refused, Err(StartError::DirectoryLost { .. })), "{refused:?}");
}

/// A voter votes and acknowledges entries before it joins, which it does when it can serve. That is known to
/// the leader to whom it did: another one, elected meanwhile, proves nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_that_lost_its_directory_before_it_joined_is_refused_too() {
    for _ in 0..5 {
        let cluster = Cluster::of(3);
        let mut nodes = vec![cluster.start(1).await, cluster.start(2).await];
        let id = nodes[0].wait_for_cluster_id().await;
        let config = Config { existing_identity: Some(id), ..cluster.config(3) };
        let third = start(config.clone(), Host::system(), Metrics::new().unwrap()).await.unwrap();
        let (leads, leader) = leader_of(&nodes);
        let other = nodes.remove(1 - leads);
        let away = other.node();
        cluster.kill(other).await;
        // Without the third this is no quorum.
        nodes[0].administer(Administration::undrain([leader])).await.unwrap();
        let term = nodes[0].status().term;
        nodes.push(cluster.start(away.0).await);
        serving(&nodes[1]).await;
        assert!(!third.view().borrow().nodes.contains_key(&NodeId(3)));
        cluster.kill(third).await;
        std::fs::remove_dir_all(cluster.directory(3)).unwrap();
        let refused = begin(config).await;
        if nodes[0].status().term == term {
            assert!(matches!(refused, Err(StartError::DirectoryLost { .. })), "{refused:?}");
            return;
        }
    }
    panic!("no leader lasted");
}
