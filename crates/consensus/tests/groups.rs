//! Entity types that are bound to groups: known to every node, after every restart, and to none that
//! could not follow them.
#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use quarry_consensus::{Config, Consensus};
use quarry_core::coordinator::Founding;
use quarry_plane::Protocol;
use quarry_ports::{Administration, Coordinator, CoordinatorError};
use quarry_types::{ClusterView, EntityType, NodeId, Space};
use support::{Cluster, begin, serving, until, view_where};

fn named(entity_type: &str) -> EntityType {
    EntityType::new(entity_type).unwrap()
}

/// A voter that makes a cluster in which `Heavy` is bound to `gpu`.
fn founding(cluster: &Cluster) -> Config {
    let bindings = BTreeMap::from([(named("Heavy"), "gpu".to_owned())]);
    Config { founding: Founding { bindings, ..Founding::default() }, ..cluster.config(1) }
}

fn of_group(cluster: &Cluster, node: u64) -> Config {
    Config { groups: BTreeSet::from(["gpu".to_owned()]), ..cluster.config(node) }
}

/// Whether `Heavy` is bound, and all shards of its space are the node's.
fn is_served_by(view: &ClusterView, node: u64) -> bool {
    let mut own = view.shards.iter().filter(|shard| shard.id.space() == Space(1)).peekable();
    view.bindings.bound_to(&named("Heavy")) == Space(1)
        && own.peek().is_some()
        && own.all(|shard| shard.owner == Some(NodeId(node)))
}

/// Waits until the node has its lease, and whatever any runner may own has an owner.
async fn standing(node: &Consensus) {
    let lease = node.lease();
    until("the lease is held", || lease.is_held()).await;
    view_where(node, "what is bound to no group is owned", |view| {
        let mut free = view.shards.iter().filter(|shard| shard.id.space() == Space::DEFAULT);
        !view.shards.is_empty() && free.all(|shard| shard.owner.is_some())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bindings_are_known_to_runners_and_outlive_a_restart() {
    let cluster = Cluster::of(1);
    let voter = begin(founding(&cluster)).await.unwrap();
    standing(&voter).await;
    let runner = begin(of_group(&cluster, 11)).await.unwrap();
    standing(&runner).await;
    view_where(&runner, "the runner of the group has its shards", |view| is_served_by(view, 11))
        .await;
    voter.administer(Administration::Use(named("Plain"))).await.unwrap();
    let plain = Administration::Bind { entity_type: named("Plain"), group: "gpu".to_owned() };
    let refused = runner.administer(plain.clone()).await;
    let is_told = |reason: &str| reason.contains("used already");
    assert!(matches!(&refused, Err(CoordinatorError::Refused { reason }) if is_told(reason)));
    let other = Administration::Bind { entity_type: named("Other"), group: "big".to_owned() };
    runner.administer(other).await.unwrap();
    cluster.kill(voter).await;
    // What its configuration says matters no more.
    let voter = cluster.start(1).await;
    standing(&voter).await;
    view_where(&voter, "the log has the bindings", |view| {
        view.bindings.bound_to(&named("Other")) == Space(2)
            && view.bindings.used.contains(&named("Plain"))
            && is_served_by(view, 11)
    })
    .await;
    assert!(voter.administer(plain).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_knows_no_bindings_does_not_join_a_cluster_that_has_some() {
    let cluster = Cluster::of(1);
    let voter = begin(founding(&cluster)).await.unwrap();
    standing(&voter).await;
    let older = Protocol { newest: 3, oldest: 1 };
    let late = begin(Config { protocol: older, ..of_group(&cluster, 12) }).await.unwrap();
    view_where(&late, "it follows", |view| view.nodes.contains_key(&NodeId(1))).await;
    let runner = begin(of_group(&cluster, 11)).await.unwrap();
    standing(&runner).await;
    assert!(!late.lease().is_held() && !voter.view().borrow().nodes.contains_key(&NodeId(12)));
    cluster.kill(late).await;
    let late = begin(of_group(&cluster, 12)).await.unwrap();
    standing(&late).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_without_bound_types_takes_older_nodes_and_binds_none() {
    let cluster = Cluster::of(1);
    let voter = cluster.start(1).await;
    serving(&voter).await;
    let older = Protocol { newest: 3, oldest: 1 };
    let runner = begin(Config { protocol: older, ..of_group(&cluster, 11) }).await.unwrap();
    serving(&runner).await;
    cluster.kill(runner).await;
    let heavy = Administration::Bind { entity_type: named("Heavy"), group: "gpu".to_owned() };
    let refused = voter.administer(heavy).await;
    assert!(matches!(refused, Err(CoordinatorError::Refused { .. })), "{refused:?}");
}
