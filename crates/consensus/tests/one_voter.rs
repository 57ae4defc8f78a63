//! A sole voter: starts fast, keeps its state, refuses what it must.

mod support;

use std::{
    sync::{Arc, Barrier},
    time::Duration,
};

use quarry_consensus::{Recovery, StartError, start};
use quarry_ports::{Administration, Coordinator, CoordinatorError, Host, Metrics};
use quarry_types::{ClusterId, Epoch, NodeId, NodeState};
use support::{Cluster, begin, serving, view_where};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sole_voter_holds_its_lease_soon_after_its_start() {
    let host = Host::system();
    let cluster = Cluster::of(1);
    let began = host.now();
    let node = cluster.start(1).await;
    let started = host.now().since(began);
    let view = serving(&node).await;
    println!("started in {started:?}, lease held after {:?}", host.now().since(began));
    assert!(view.shards.iter().all(|shard| shard.owner == Some(NodeId(1)) && shard.epoch.0 > 0));
    assert_eq!(view.shards.len(), 16);
    let status = node.status();
    assert_eq!((status.leader, status.has_quorum), (Some(NodeId(1)), true));
    assert_eq!(status.voters, [NodeId(1)]);
    assert_eq!(view.nodes[&NodeId(1)].state, NodeState::Up);
    assert!(node.cluster_id().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_voter_keeps_the_cluster_and_grants_anew() {
    let cluster = Cluster::of(1);
    let node = cluster.start(1).await;
    let before = serving(&node).await;
    let id = node.cluster_id();
    // Dropped, not shut down: as a crash.
    cluster.kill(node).await;
    let host = Host::system();
    let began = host.now();
    let node = cluster.start(1).await;
    view_where(&node, "the new process has joined", |view| {
        view.nodes.get(&NodeId(1)).is_some_and(|node| node.boot != before.nodes[&NodeId(1)].boot)
    })
    .await;
    let after = serving(&node).await;
    println!("a restarted voter holds its lease after {:?}", host.now().since(began));
    assert_eq!(node.cluster_id(), id);
    for (old, new) in before.shards.iter().zip(&after.shards) {
        assert_eq!((old.id, old.range, new.owner), (new.id, new.range, Some(NodeId(1))));
        assert!(new.epoch > old.epoch, "a restarted process needs new grants (L5)");
    }
    node.shutdown().await;
    assert!(!node.lease().is_held());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drains_epochs_and_refusals_go_through_the_log() {
    let (cluster, metrics) = (Cluster::of(1), Metrics::new().unwrap());
    let node = start(cluster.config(1), Host::system(), metrics.clone()).await.unwrap();
    node.join();
    let view = serving(&node).await;
    let refused = node.administer(Administration::drain([NodeId(1)])).await;
    let told = matches!(&refused, Err(CoordinatorError::Refused { reason })
        if reason.contains("no runner would be left"));
    assert!(told, "an operator cannot drain the last one: {refused:?}");
    let index = node.administer(Administration::Withdraw(NodeId(1))).await.unwrap();
    assert!(index > view.applied);
    let view = node.view().borrow().clone();
    assert_eq!(view.nodes[&NodeId(1)].state, NodeState::Draining);
    node.administer(Administration::undrain([NodeId(1)])).await.unwrap();
    let refused = node.administer(Administration::drain([NodeId(9)])).await;
    assert!(matches!(refused, Err(CoordinatorError::Refused { .. })), "{refused:?}");
    let shard = view.shards[3].id;
    assert_eq!(metrics.epochs_raised.get(), 0);
    for _ in 0..2 {
        node.fences_refused(vec![(shard, Epoch(1_000_000))]).await.unwrap();
        assert_eq!(metrics.epochs_raised.get(), 1, "the second time they are above it already");
    }
    let view = node.view().borrow().clone();
    assert!(view.shards.iter().find(|other| other.id == shard).unwrap().epoch > Epoch(1_000_000));
    node.goodbye().await.unwrap();
    assert!(!node.lease().is_held());
    let view = node.view().borrow().clone();
    assert_eq!(view.nodes[&NodeId(1)].state, NodeState::Down);
    assert!(view.shards.iter().all(|shard| shard.owner.is_none()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_goes_on_far_beyond_its_time_to_live() {
    let mut cluster = Cluster::of(1);
    cluster.times.heartbeat = Duration::from_millis(50);
    cluster.times.lease_ttl = Duration::from_millis(600);
    cluster.times.election_min = Duration::from_millis(100);
    cluster.times.election_max = Duration::from_millis(200);
    cluster.times.raft_heartbeat = Duration::from_millis(50);
    let node = cluster.start(1).await;
    let view = serving(&node).await;
    let lease = node.lease();
    let first = lease.deadline();
    support::until("the lease was renewed for three lifetimes", || {
        assert!(lease.is_held());
        lease.deadline().since(first) > Duration::from_millis(1_800)
    })
    .await;
    // Heartbeats are not in the log.
    assert_eq!(node.view().borrow().applied, view.applied);
}

/// As a handler that computes, or waits without awaiting, keeps a thread to itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_is_renewed_while_every_thread_of_the_node_itself_stands_still() {
    let host = Host::system();
    let cluster = Cluster::of(1);
    let node = cluster.start(1).await;
    serving(&node).await;
    let lease = node.lease();
    // Both workers and this thread, on which no task of the runtime runs.
    let (all_stand, all_go_on) = (Arc::new(Barrier::new(3)), Arc::new(Barrier::new(3)));
    for _ in 0..2 {
        let (all_stand, all_go_on) = (Arc::clone(&all_stand), Arc::clone(&all_go_on));
        drop(host.spawn("stands still", async move {
            all_stand.wait();
            all_go_on.wait();
        }));
    }
    all_stand.wait();
    let (began, deadline) = (host.now(), lease.deadline());
    std::thread::sleep(cluster.times.lease_ttl + cluster.times.heartbeat);
    let (now, renewed, is_held) = (host.now(), lease.deadline(), lease.is_held());
    // Before anything is asserted, or the runtime would wait for its workers for ever.
    all_go_on.wait();
    assert!(now > deadline, "the lease of before is over");
    assert!(is_held && renewed > now, "{:?} after", now.since(began));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_and_an_address_have_one_user() {
    let cluster = Cluster::of(1);
    let _node = cluster.start(1).await;
    let second = begin(cluster.config(1)).await;
    assert!(matches!(second, Err(StartError::DirectoryInUse { .. })), "{second:?}");
    let mut config = cluster.config(1);
    config.data_dir = cluster.directory(2);
    let error = begin(config).await.unwrap_err().to_string();
    assert!(error.contains("--cluster") && error.contains("127.0.0.1:"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_directory_is_refused_until_the_operator_says_so() {
    let cluster = Cluster::of(1);
    let mut config = cluster.config(1);
    config.existing_identity = Some(ClusterId(42));
    let error = begin(config.clone()).await.unwrap_err().to_string();
    assert!(error.contains("quarry cluster replace-voter"), "{error}");
    assert!(error.contains("--recover-coordinator"), "{error}");
    config.recovery = Recovery::AllVotersLost;
    let node = begin(config).await.unwrap();
    serving(&node).await;
    assert_eq!(node.cluster_id(), Some(ClusterId(42)));
}
