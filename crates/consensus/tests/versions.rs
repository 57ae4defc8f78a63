//! Versions of the protocol side by side: neighbours work together, others stay out.
#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod support;

use std::{sync::Arc, time::Duration};

use quarry_consensus::{Config, Consensus, Times};
use quarry_plane::Protocol;
use quarry_ports::{Administration, Coordinator, CoordinatorError, Host, Metrics};
use quarry_types::{NodeId, NodeState, ShardId};
use support::{Cluster, begin, serving, until, view_where};

fn speaking(cluster: &Cluster, node: u64, oldest: u16, newest: u16) -> Config {
    Config { protocol: Protocol { newest, oldest }, ..cluster.config(node) }
}

async fn serves(nodes: &[Arc<Consensus>]) {
    for node in nodes {
        serving(node).await;
        node.administer(Administration::undrain([node.node()])).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_goes_over_to_newer_versions_one_node_after_the_other() {
    let cluster = Cluster::of(3);
    let mut nodes = Vec::new();
    for node in 1..=3 {
        nodes.push(begin(speaking(&cluster, node, 1, 1)).await.unwrap());
    }
    serves(&nodes).await;
    for (oldest, newest) in [(1, 2), (2, 3)] {
        for node in 1..=3 {
            cluster.kill(nodes.remove(0)).await;
            nodes.push(begin(speaking(&cluster, node, oldest, newest)).await.unwrap());
            serves(&nodes).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_too_far_ahead_does_not_join_until_the_others_understand_it() {
    let cluster = Cluster::of(1);
    let voter = begin(speaking(&cluster, 1, 1, 1)).await.unwrap();
    serving(&voter).await;
    let metrics = Metrics::new().unwrap();
    let config = speaking(&cluster, 11, 2, 3);
    let ahead = quarry_consensus::start(config, Host::system(), metrics.clone()).await.unwrap();
    ahead.join();
    let refused = metrics.control_refused.with_label_values(&["version"]);
    until("it is refused", || refused.get() > 0).await;
    assert!(!ahead.lease().is_held());
    assert!(!voter.view().borrow().nodes.contains_key(&NodeId(11)));
    cluster.kill(voter).await;
    let voter = begin(speaking(&cluster, 1, 1, 2)).await.unwrap();
    serves(&[voter, ahead]).await;
    assert_eq!(refused.get(), 1, "it asked again and again, and that is said once");
}

fn is_refused(answer: &Result<u64, CoordinatorError>, because: &[&str]) -> bool {
    matches!(answer, Err(CoordinatorError::Refused { reason })
        if because.iter().all(|words| reason.contains(words)))
}

async fn drained_and_back(through: &Consensus, node: u64) {
    through.administer(Administration::drain([NodeId(node)])).await.unwrap();
    view_where(through, "the node is drained", |view| {
        view.nodes.get(&NodeId(node)).is_some_and(|known| known.state == NodeState::Draining)
    })
    .await;
    through.administer(Administration::undrain([NodeId(node)])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_shard_is_split_before_all_nodes_know_what_that_is() {
    let cluster = Cluster::of(1);
    let voter = cluster.start(1).await;
    // They take no shards: none moves.
    let runner = |node, newest| Config { weight: 0, ..speaking(&cluster, node, 1, newest) };
    let old = begin(runner(11, 1)).await.unwrap();
    serves(&[Arc::clone(&voter), Arc::clone(&old)]).await;
    let split = Administration::Split(ShardId(3));
    let refused = voter.administer(split.clone()).await;
    assert!(is_refused(&refused, &["node 11", "version 1", "upgrade"]), "{refused:?}");
    // What older programs know in its place is said to them.
    drained_and_back(&voter, 11).await;
    let all = voter.administer(Administration::drain([NodeId(1), NodeId(11)])).await;
    assert!(is_refused(&all, &["no runner would be left"]), "{all:?}");
    cluster.kill(old).await;
    let new = begin(runner(11, 2)).await.unwrap();
    view_where(&voter, "the newer process is there", |view| {
        view.nodes[&NodeId(11)].boot == new.boot()
    })
    .await;
    voter.administer(split).await.unwrap();
    // From then on a node that does not know such shards stays out.
    let late = begin(runner(12, 1)).await.unwrap();
    view_where(&late, "it follows", |view| view.nodes.contains_key(&NodeId(11))).await;
    for _ in 0..5 {
        drained_and_back(&late, 11).await;
    }
    assert!(!late.lease().is_held() && !voter.view().borrow().nodes.contains_key(&NodeId(12)));
    cluster.kill(late).await;
    let late = begin(runner(12, 2)).await.unwrap();
    serves(&[voter, new, late]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_of_an_older_version_is_asked_in_words_that_it_knows() {
    let cluster = Cluster::of(1);
    let voter = begin(speaking(&cluster, 1, 1, 2)).await.unwrap();
    let newer = begin(speaking(&cluster, 11, 1, 3)).await.unwrap();
    serves(&[Arc::clone(&voter), Arc::clone(&newer)]).await;
    drained_and_back(&newer, 1).await;
    let all = newer.administer(Administration::drain([NodeId(1), NodeId(11)])).await;
    assert!(is_refused(&all, &["no runner would be left"]), "{all:?}");
}

/// A runner whose leases live longer than usual, beside a voter that does not know how to say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_older_programs_a_lease_lives_no_longer_than_usual() {
    let cluster = Cluster::of(1);
    let voter = begin(speaking(&cluster, 1, 1, 4)).await.unwrap();
    serving(&voter).await;
    let longer = |newest| {
        let config = speaking(&cluster, 11, 1, newest);
        Config { times: Times { lease_ttl: Duration::from_mins(1), ..config.times }, ..config }
    };
    let runner = begin(longer(5)).await.unwrap();
    serving(&runner).await;
    let left = |node: &Consensus| node.lease().deadline().since(Host::system().now());
    assert!(left(&runner) < Duration::from_secs(3), "{:?}", left(&runner));
    cluster.kill(runner).await;
    cluster.kill(voter).await;
    let voter = begin(speaking(&cluster, 1, 1, 5)).await.unwrap();
    let runner = begin(longer(5)).await.unwrap();
    for node in [&voter, &runner] {
        serving(node).await;
    }
    assert!(left(&runner) > Duration::from_secs(40), "{:?}", left(&runner));
}
