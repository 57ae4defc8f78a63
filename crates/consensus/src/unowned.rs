//! How long shards stand without an owner.

use std::{sync::Arc, time::Duration};

use quarry_ports::{Host, Metrics};
use quarry_types::{ClusterView, Monotonic};

use crate::view::Views;

/// How often time is counted in which nothing changes.
const COUNTED_EVERY: Duration = Duration::from_secs(1);

/// Shards without an owner since a time.
struct Unowned {
    shards: u32,
    since: Monotonic,
}

impl Unowned {
    /// What `view` says `now`; returns how long shards had no owner since the last time, summed over
    /// them.
    fn see(&mut self, view: &ClusterView, now: Monotonic) -> Duration {
        let stood = now.since(self.since).saturating_mul(self.shards);
        let unowned = view.shards.iter().filter(|shard| shard.owner.is_none()).count();
        *self = Self { shards: u32::try_from(unowned).unwrap_or(u32::MAX), since: now };
        stood
    }
}

/// Counts while the node runs; nothing wakes it while all shards have an owner and stay where they are.
pub(crate) fn follow(views: &Arc<Views>, metrics: &Metrics, host: &Host) {
    let counting = count(Arc::clone(views), metrics.clone(), host.clone());
    drop(host.spawn("coordinator unowned", counting));
}

async fn count(views: Arc<Views>, metrics: Metrics, host: Host) {
    let mut changes = views.subscribe();
    let mut unowned = Unowned { shards: 0, since: host.now() };
    loop {
        let view = changes.borrow_and_update().clone();
        metrics.unowned_seconds.inc_by(unowned.see(&view, host.now()).as_secs_f64());
        let news = if unowned.shards == 0 {
            changes.changed().await
        } else {
            tokio::select! {
                biased;
                news = changes.changed() => news,
                () = host.sleep_until(host.now().after(COUNTED_EVERY)) => Ok(()),
            }
        };
        if news.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use quarry_types::{Epoch, NodeId, ShardId, ShardView, SlotRange};

    use super::*;

    #[test]
    fn time_without_an_owner_counts_for_each_shard_that_has_none() {
        let at = |seconds: u64| Monotonic(seconds * 1_000_000_000);
        let shard = |owner: &Option<u64>| ShardView {
            id: ShardId(0),
            range: SlotRange::ALL,
            owner: owner.map(NodeId),
            epoch: Epoch(1),
            moving_to: None,
            load: 1,
        };
        let with = |owners: &[Option<u64>]| {
            let shards = owners.iter().map(shard).collect();
            ClusterView { shards, ..ClusterView::default() }
        };
        let mut unowned = Unowned { shards: 0, since: at(0) };
        let seen = [
            (with(&[Some(1), Some(2)]), 5, 0),
            (with(&[Some(1), None]), 10, 0),
            (with(&[None, None]), 13, 3),
            (with(&[Some(1), None]), 20, 14),
            (with(&[Some(1), Some(1)]), 21, 1),
            (with(&[Some(1), Some(1)]), 99, 0),
        ];
        for (view, now, stood) in seen {
            assert_eq!(unowned.see(&view, at(now)), Duration::from_secs(stood), "at {now}");
        }
    }
}
