//! Outages are measured: how long shards had no owner, and how long it took to give them to others.

mod support;

use std::time::Duration;

use quarry_consensus::start;
use quarry_ports::{Coordinator as _, Host, Metrics};
use quarry_types::NodeId;
use support::{Cluster, serving, until, view_where};

const VOTER: NodeId = NodeId(1);
const RUNNER: NodeId = NodeId(12);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_runner_costs_is_counted_until_another_one_has_its_shards() {
    let (cluster, metrics, host) = (Cluster::of(1), Metrics::new().unwrap(), Host::system());
    let voter = start(cluster.config(VOTER.0), host.clone(), metrics.clone()).await.unwrap();
    let runner = cluster.start(RUNNER.0).await;
    serving(&runner).await;
    // It joins when all is granted to the other.
    voter.join();
    until("the voter holds a lease", || voter.lease().is_held()).await;
    assert_eq!(metrics.failover_seconds.get_sample_count(), 0);
    let killed = host.now();
    cluster.kill(runner).await;
    view_where(&voter, "the voter has all", |view| {
        view.shards.iter().all(|shard| shard.owner == Some(VOTER))
    })
    .await;
    let took = host.now().since(killed);
    until("the failover is counted", || metrics.failover_seconds.get_sample_count() == 1).await;
    let counted = Duration::from_secs_f64(metrics.failover_seconds.get_sample_sum());
    // From its last heartbeat, which it sent before it died.
    assert!(counted + cluster.times.heartbeat >= took, "{counted:?} of {took:?}");
    assert!(counted <= took + cluster.times.heartbeat * 2, "{counted:?} of {took:?}");
    assert_eq!(voter.status().behind, 0);

    let (shards, before) = (f64::from(cluster.shards), metrics.unowned_seconds.get());
    let gone = host.now();
    voter.goodbye().await.unwrap();
    until("time without an owner is counted while it lasts", || {
        metrics.unowned_seconds.get() > before + 1.5 * shards
    })
    .await;
    let (counted, stood) = (metrics.unowned_seconds.get() - before, host.now().since(gone));
    assert!(counted <= shards * stood.as_secs_f64(), "{counted} shard seconds in {stood:?}");
}
