//! Compaction, snapshots and the loss of the quorum.
#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod support;

use std::{collections::BTreeMap, time::Duration};

use quarry_ports::{Administration, Coordinator, Host};
use quarry_types::NodeId;
use support::{Ahead, Cluster, begin_on, serving, until, view_where};

/// Compacts as soon as there is anything to compact.
fn compacting(voters: u64) -> Cluster {
    let mut cluster = Cluster::of(voters);
    cluster.times.log_bytes = 1;
    cluster.times.compaction = Duration::from_millis(50);
    cluster
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compacted_voter_starts_again_from_its_snapshot() {
    let cluster = compacting(1);
    let node = cluster.start(1).await;
    serving(&node).await;
    for _ in 0..100 {
        node.administer(Administration::Withdraw(NodeId(1))).await.unwrap();
        node.administer(Administration::undrain([NodeId(1)])).await.unwrap();
    }
    until("the log is compacted", || node.compacted() > Some(100)).await;
    let before = node.view().borrow().clone();
    cluster.kill(node).await;
    let node = cluster.start(1).await;
    let first = node.view().borrow().clone();
    assert!(first.applied > 100, "the snapshot was there from the start: {}", first.applied);
    let after = serving(&node).await;
    assert!(after.applied > before.applied);
    let ranges = |view: &quarry_types::ClusterView| -> Vec<_> {
        view.shards.iter().map(|shard| (shard.id, shard.range)).collect()
    };
    assert_eq!(ranges(&after), ranges(&before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_log_is_compacted_when_it_is_old() {
    let mut cluster = Cluster::of(1);
    cluster.times.compaction = Duration::from_millis(5);
    let (clock, host) = Ahead::host();
    let node = begin_on(host, cluster.config(1)).await.unwrap();
    serving(&node).await;
    let churn = async || {
        for _ in 0..50 {
            node.administer(Administration::Withdraw(NodeId(1))).await.unwrap();
            node.administer(Administration::undrain([NodeId(1)])).await.unwrap();
        }
    };
    churn().await;
    clock.put_forward(cluster.times.log_age / 2);
    serving(&node).await;
    churn().await;
    assert_eq!(node.compacted(), None, "neither large nor old");
    clock.put_forward(cluster.times.log_age / 2);
    until("the log is compacted", || node.compacted() > Some(100)).await;
    serving(&node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_that_was_away_for_long_gets_a_snapshot() {
    let cluster = compacting(3);
    let mut nodes = cluster.start_all().await;
    for node in &nodes {
        serving(node).await;
    }
    let third = nodes.pop().unwrap();
    let seen = third.view().borrow().applied;
    cluster.kill(third).await;
    for _ in 0..100 {
        nodes[0].administer(Administration::drain([NodeId(1)])).await.unwrap();
        nodes[0].administer(Administration::undrain([NodeId(1)])).await.unwrap();
    }
    until("what the third has not seen is gone from the logs", || {
        nodes.iter().all(|node| node.compacted() > Some(seen + 10))
    })
    .await;
    let target = nodes[0].view().borrow().applied;
    let third = cluster.start(3).await;
    let view = view_where(&third, "the third caught up", |view| view.applied >= target).await;
    assert_eq!(view.shards.len(), 16);
    let lease = third.lease();
    until("it holds its lease again", || lease.is_held()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_the_lease_ends_and_comes_back_by_itself() {
    let cluster = Cluster::of(3);
    let mut nodes = cluster.start_all().await;
    for node in &nodes {
        serving(node).await;
    }
    let (third, second) = (nodes.pop().unwrap(), nodes.pop().unwrap());
    let host = Host::system();
    let lost = host.now();
    tokio::join!(cluster.kill(third), cluster.kill(second));
    let first = &nodes[0];
    let lease = first.lease();
    assert!(lease.is_held(), "it goes on until its lease ends");
    until("the lease has ended", || !lease.is_held()).await;
    let took = host.now().since(lost);
    println!("the lease ended {took:?} after the quorum was lost");
    assert!(took <= cluster.times.lease_ttl.mul_f64(0.86), "{took:?}");
    until("it says so", || !first.status().has_quorum).await;
    let refused = first.administer(Administration::drain([NodeId(1)]));
    assert!(tokio::time::timeout(Duration::from_millis(300), refused).await.is_err());
    let back = host.now();
    let _second = cluster.start(2).await;
    until("the lease is back", || lease.is_held()).await;
    println!("the lease is back {:?} after the quorum", host.now().since(back));
    assert!(first.status().has_quorum);
}

/// The files of a node's coordinator, with their sizes in bytes.
fn files(cluster: &Cluster, node: u64) -> BTreeMap<String, u64> {
    let files = std::fs::read_dir(cluster.directory(node)).unwrap().map(Result::unwrap);
    files
        .map(|file| (file.file_name().into_string().unwrap(), file.metadata().unwrap().len()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disks_of_voters_stay_small_while_nodes_change_thousands_of_times() {
    let mut cluster = Cluster::of(3);
    cluster.times.log_bytes = 32 * 1024;
    cluster.times.compaction = Duration::from_millis(100);
    let nodes = cluster.start_all().await;
    for node in &nodes {
        serving(node).await;
    }
    for _ in 0..200 {
        // Many at a time, so that they share what is made durable.
        let changes = (0..32_u32).map(|change| {
            let what =
                if change % 2 == 0 { Administration::drain } else { Administration::undrain };
            nodes[0].administer(what([NodeId(3)]))
        });
        for changed in futures_util::future::join_all(changes).await {
            changed.unwrap();
        }
    }
    let what = "each change is an entry";
    let applied = view_where(&nodes[0], what, |view| view.applied >= 6_400).await.applied;
    for (node, number) in nodes.into_iter().zip(1..) {
        // Before it is folded into the file, SQLite's own log has up to 1,000 pages.
        let most = files(&cluster, number).values().sum::<u64>();
        cluster.kill(node).await;
        let name = "coordinator.db-wal";
        until("SQLite has folded its log", || {
            files(&cluster, number).get(name).is_none_or(|bytes| *bytes == 0)
        })
        .await;
        let left = files(&cluster, number).values().sum::<u64>();
        println!("voter {number}: {applied} entries, {most} bytes on disk, {left} when it ended");
        assert!(most < 5 << 20, "{most} bytes while it ran");
        // The entries alone would take 60 bytes each.
        assert!(left < 256 << 10, "{left} bytes");
    }
}
