//! A node's number is one process's: another one, over another data directory, waits for its end.

mod support;

use std::time::Duration;

use quarry_consensus::{Config, Consensus};
use quarry_ports::{Coordinator as _, Host};
use quarry_types::{NodeId, NodeState};
use support::{Cluster, begin, serving, until, view_where};

const NODE: NodeId = NodeId(12);
/// Longer than a lease lives of which nothing is heard.
const WATCHED: Duration = Duration::from_millis(4_500);

fn is_in(voter: &Consensus, process: &Consensus) -> bool {
    let view = voter.view().borrow().clone();
    let known = view.nodes.get(&NODE).filter(|known| known.state == NodeState::Up);
    known.is_some_and(|known| known.boot == process.boot())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_with_a_nodes_number_waits_until_the_first_ones_lease_has_ended() {
    let cluster = Cluster::of(1);
    let voter = cluster.start(1).await;
    let first = cluster.start(NODE.0).await;
    serving(&first).await;
    until("the first one is in", || is_in(&voter, &first)).await;
    let config = Config { data_dir: cluster.directory(99), ..cluster.config(NODE.0) };
    let second = begin(config).await.unwrap();
    assert_ne!(second.boot().directory(), first.boot().directory());
    let (host, mut ticks) = (Host::system(), tokio::time::interval(Duration::from_millis(20)));
    let began = host.now();
    while host.now().since(began) < WATCHED {
        ticks.tick().await;
        assert!(first.lease().is_held() && is_in(&voter, &first), "the first one lives");
        assert!(!second.lease().is_held() && !is_in(&voter, &second), "nobody ended the first one");
    }
    let (joined, directory) = (first.boot(), first.boot().directory());
    cluster.kill(first).await;
    until("the second one is in", || is_in(&voter, &second)).await;
    until("it holds the lease", || second.lease().is_held()).await;
    // Who comes back over the first directory has the number no more.
    let third = cluster.start(NODE.0).await;
    assert_eq!(third.boot().directory(), directory);
    assert_ne!(third.boot(), joined);
    view_where(&third, "it hears of the second one", |view| {
        view.nodes.get(&NODE).is_some_and(|known| known.boot == second.boot())
    })
    .await;
    assert!(!third.lease().is_held() && is_in(&voter, &second), "the second one lives");
}
