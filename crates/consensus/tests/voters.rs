//! One voter in the place of another.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends where something is wrong"
)]

mod support;

use std::{sync::Arc, time::Duration};

use quarry_consensus::{Config, Consensus};
use quarry_ports::{Administration, Coordinator, CoordinatorError};
use quarry_types::{ClusterId, NodeId, NodeState};
use support::{Cluster, begin, serving, until, view_where};

const NEW: NodeId = NodeId(14);

const fn replacing(old: u64) -> Administration {
    Administration::ReplaceVoter { old: NodeId(old), new: NEW }
}

/// Node 4, which votes in the place of `old`, as it is to be started.
fn successor(cluster: &Cluster, old: u64, identity: ClusterId) -> Config {
    let mut config = cluster.config(NEW.0);
    config.voters.remove(&NodeId(old));
    config.voters.insert(NEW, config.advertise.clone());
    config.existing_identity = Some(identity);
    config
}

/// Three nodes of which `old` was killed for good, and its successor beside the others.
async fn bereft(cluster: &Cluster, old: usize) -> Vec<Arc<Consensus>> {
    let mut nodes = cluster.start_all().await;
    for node in &nodes {
        serving(node).await;
    }
    let lost = nodes.remove(old - 1);
    let (id, identity) = (lost.node(), nodes[0].wait_for_cluster_id().await);
    cluster.kill(lost).await;
    nodes.push(begin(successor(cluster, id.0, identity)).await.unwrap());
    for node in &nodes {
        view_where(node, "the lost voter is down and the new node up", |view| {
            let is = |node, state| view.nodes.get(&node).is_some_and(|node| node.state == state);
            is(id, NodeState::Down) && is(NEW, NodeState::Up)
        })
        .await;
    }
    nodes
}

async fn voters_are(nodes: &[Arc<Consensus>], expected: &[u64]) {
    let expected: Vec<NodeId> = expected.iter().copied().map(NodeId).collect();
    for node in nodes {
        until("all know who votes", || node.status().voters == expected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_is_replaced_once_however_often_and_by_whom_it_is_asked() {
    let cluster = Cluster::of(3);
    let nodes = bereft(&cluster, 2).await;
    // From all sides at once.
    let asked = nodes.iter().map(|node| node.administer(replacing(2)));
    let told: Vec<u64> =
        futures_util::future::join_all(asked).await.into_iter().map(Result::unwrap).collect();
    voters_are(&nodes, &[1, 3, 14]).await;
    let again = nodes[0].administer(replacing(2)).await.unwrap();
    assert!(told.iter().all(|index| *index <= again), "{told:?} and then {again}");
    assert_eq!(nodes[2].administer(replacing(2)).await.unwrap(), again);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_refused_with_the_reason() {
    let cluster = Cluster::of(3);
    let nodes = cluster.start_all().await;
    for node in &nodes {
        serving(node).await;
    }
    let of_one = |old, new| Administration::ReplaceVoter { old: NodeId(old), new: NodeId(new) };
    for (asked, reason) in [
        (replacing(2), "node 2 is up"),
        (replacing(7), "node 7 is not a voter"),
        (replacing(14), "new number"),
        (of_one(7, 1), "node 7 was never here"),
    ] {
        let refused = nodes[0].administer(asked).await;
        let told = matches!(&refused, Err(CoordinatorError::Refused { reason: said }) if said.contains(reason));
        assert!(told, "{refused:?}");
    }
    voters_are(&nodes, &[1, 2, 3]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_voter_gets_a_snapshot_and_its_vote_counts_when_another_is_lost() {
    let mut cluster = Cluster::of(3);
    cluster.times.log_bytes = 1;
    cluster.times.compaction = Duration::from_millis(50);
    let mut nodes = bereft(&cluster, 2).await;
    for _ in 0..100 {
        nodes[0].administer(Administration::drain([NodeId(1)])).await.unwrap();
        nodes[0].administer(Administration::undrain([NodeId(1)])).await.unwrap();
    }
    until("the beginning of the log is gone", || nodes[0].compacted() > Some(50)).await;
    nodes[0].administer(replacing(2)).await.unwrap();
    voters_are(&nodes, &[1, 3, 14]).await;
    let leader = nodes.iter().position(|node| node.status().leader == Some(node.node())).unwrap();
    let lost = nodes.remove(leader);
    let id = lost.node();
    cluster.kill(lost).await;
    for node in &nodes {
        view_where(node, "another leads, and the lost one is down", |view| {
            view.leader.is_some_and(|leader| leader != id)
                && view.nodes.get(&id).is_some_and(|node| node.state == NodeState::Down)
        })
        .await;
        node.administer(Administration::undrain([node.node()])).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replacement_that_its_leader_did_not_end_is_ended_by_the_next() {
    let cluster = Cluster::of(5);
    let mut nodes = bereft(&cluster, 2).await;
    let leader = nodes.iter().position(|node| node.status().leader == Some(node.node())).unwrap();
    let lost = nodes.remove(leader);
    // It is asked, and dies at some moment of it: whatever stands then is gone on from.
    let asked = lost.administer(replacing(2));
    drop(tokio::time::timeout(Duration::from_millis(15), asked).await);
    let id = lost.node();
    cluster.kill(lost).await;
    let asked = nodes.iter().find(|node| node.node() != NEW).unwrap();
    asked.administer(replacing(2)).await.unwrap();
    let voters: Vec<u64> = vec![1, 3, 4, 5, 14];
    assert!(voters.contains(&id.0));
    voters_are(&nodes, &voters).await;
}
