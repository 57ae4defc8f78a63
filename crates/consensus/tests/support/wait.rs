//! Waits for conditions, with a deadline.

use std::{sync::Arc, time::Duration};

use quarry_consensus::Consensus;
use quarry_ports::Coordinator;
use quarry_types::ClusterView;

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until the view of `node` is as asked.
pub(crate) async fn view_where(
    node: &Consensus,
    what: &str,
    holds: impl Fn(&ClusterView) -> bool,
) -> Arc<ClusterView> {
    let mut views = node.view();
    let found = tokio::time::timeout(PATIENCE, views.wait_for(|view| holds(view))).await;
    match found {
        Ok(Ok(view)) => Arc::clone(&view),
        _ => panic!("not within {PATIENCE:?}: {what}; the view is {:#?}", *node.view().borrow()),
    }
}

/// Waits until `holds` does. For what cannot be waited for otherwise: it looks every 5 ms.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let looking = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        while !holds() {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("not so: {what}"));
}

/// Waits until the node holds its lease and every shard has an owner.
pub(crate) async fn serving(node: &Consensus) -> Arc<ClusterView> {
    let lease = node.lease();
    until("the lease is held", || lease.is_held()).await;
    view_where(node, "every shard has an owner", |view| {
        !view.shards.is_empty() && view.shards.iter().all(|shard| shard.owner.is_some())
    })
    .await
}
