//! What a runner tells the coordinator of its shards, until the view shows that it was heard.

use std::{collections::BTreeMap, time::Duration};

use quarry_ports::{Administration, Coordinator, Host, Metrics, crash};
use quarry_types::{Epoch, Monotonic, ShardId};

/// Reports of one kind that take longer are tried again: the runner looks after its lease meanwhile.
const REPORT: Duration = Duration::from_millis(250);
/// Between two reports of the same: each is an entry of the log, which is a change of the view.
const AGAIN: Duration = Duration::from_millis(50);

/// Why the store refused a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Epochs up to this one are spent.
    Spent(Epoch),
    /// It holds the shard in parts.
    Split,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Reports {
    /// What is released, until it is granted to another; and since when it admits nothing.
    released: BTreeMap<ShardId, (Epoch, Option<Monotonic>)>,
    /// Loads that the store refused: the epoch granted, and why.
    refused: BTreeMap<ShardId, (Epoch, Refused)>,
    /// When the same is told again; `None`: there is news.
    again_at: Option<Monotonic>,
}

impl Reports {
    /// The shard was closed, or lost, under this epoch.
    pub(crate) fn release(
        &mut self,
        shard: ShardId,
        epoch: Epoch,
        silent_since: Option<Monotonic>,
    ) {
        let before = self.released.insert(shard, (epoch, silent_since));
        if before.is_none_or(|(told, _)| told != epoch) {
            self.again_at = None;
        }
    }

    /// The store refused to load the shard under this epoch.
    pub(crate) fn refuse(&mut self, shard: ShardId, epoch: Epoch, why: Refused) {
        self.refused.insert(shard, (epoch, why));
        self.again_at = None;
    }

    /// Whether the store is known to hold the shard in parts.
    pub(crate) fn is_in_parts(&self, shard: ShardId) -> bool {
        matches!(self.refused.get(&shard), Some((_, Refused::Split)))
    }

    /// Forgets what is not granted to this node under that epoch any more.
    pub(crate) fn forget_past(
        &mut self,
        now: Monotonic,
        metrics: &Metrics,
        is_mine: impl Fn(ShardId, Epoch) -> bool,
    ) {
        self.refused.retain(|shard, (epoch, _)| is_mine(*shard, *epoch));
        self.released.retain(|shard, (epoch, silent_since)| {
            let is_mine = is_mine(*shard, *epoch);
            if let Some(since) = silent_since.filter(|_| !is_mine) {
                metrics.handoff_seconds.observe(now.since(since).as_secs_f64());
            }
            is_mine
        });
    }

    /// How long until something is to be told; `None` where nothing is.
    pub(crate) fn wait(&self, now: Monotonic) -> Option<Duration> {
        let has_some = !self.released.is_empty() || !self.refused.is_empty();
        has_some.then(|| self.again_at.map_or(Duration::ZERO, |at| at.since(now)))
    }

    /// Tells what is due, in as few entries as there can be.
    pub(crate) async fn tell(&mut self, coordinator: &dyn Coordinator, host: &Host) {
        if self.wait(host.now()).is_none_or(|wait| !wait.is_zero()) {
            return;
        }
        self.again_at = Some(host.now().after(AGAIN));
        let released: Vec<(ShardId, Epoch)> =
            self.released.iter().map(|(shard, (epoch, _))| (*shard, *epoch)).collect();
        if !released.is_empty() {
            crash::point("release-wanted");
            match tokio::time::timeout(REPORT, coordinator.release(released)).await {
                Ok(Ok(())) => crash::point("released"),
                Ok(Err(error)) => tracing::debug!(%error, "shards could not be released yet"),
                Err(_) => tracing::debug!("shards could not be released in time"),
            }
        }
        let spent: Vec<(ShardId, Epoch)> = self.refused.iter().filter_map(spent).collect();
        if !spent.is_empty() {
            match tokio::time::timeout(REPORT, coordinator.fences_refused(spent)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "refused fences could not be told yet"),
                Err(_) => tracing::debug!("refused fences could not be told in time"),
            }
        }
        if tokio::time::timeout(REPORT, self.split_again(coordinator)).await.is_err() {
            tracing::debug!("shards were not all split again in time");
        }
    }

    async fn split_again(&self, coordinator: &dyn Coordinator) {
        let in_parts = self.refused.iter().filter(|(_, (_, why))| *why == Refused::Split);
        for (shard, _) in in_parts {
            if let Err(error) = coordinator.administer(Administration::Split(*shard)).await {
                tracing::debug!(%shard, %error, "it is not split again yet");
            }
        }
    }
}

fn spent((shard, (_, why)): (&ShardId, &(Epoch, Refused))) -> Option<(ShardId, Epoch)> {
    match why {
        Refused::Spent(epoch) => Some((*shard, *epoch)),
        Refused::Split => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARD: ShardId = ShardId(3);

    #[test]
    fn news_is_told_at_once_and_the_same_after_a_pause() {
        let (mut reports, now) = (Reports::default(), Monotonic(0));
        assert_eq!(reports.wait(now), None);
        reports.release(SHARD, Epoch(4), None);
        assert_eq!(reports.wait(now), Some(Duration::ZERO));
        reports.again_at = Some(now.after(AGAIN));
        reports.release(SHARD, Epoch(4), None);
        assert_eq!(reports.wait(now), Some(AGAIN), "that is no news");
        reports.refuse(ShardId(4), Epoch(4), Refused::Spent(Epoch(9)));
        assert_eq!(reports.wait(now), Some(Duration::ZERO));
        let metrics = Metrics::new().unwrap();
        reports.forget_past(now, &metrics, |shard, _| shard == SHARD);
        assert!(reports.refused.is_empty() && reports.released.len() == 1);
        reports.forget_past(now, &metrics, |_, epoch| epoch != Epoch(4));
        assert_eq!(reports.wait(now), None);
    }
}
