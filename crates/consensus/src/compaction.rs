//! Keeps the log of a voter small.

use std::sync::Arc;

use openraft::async_runtime::watch::WatchReceiver;
use quarry_ports::{Host, Metrics};
use quarry_types::Monotonic;

use crate::{leader::Lead, storage::Log, times::Times};

/// Takes a snapshot when what is behind the last one is large, or old and not nothing. openraft then
/// drops what the snapshot covers.
pub(crate) async fn compact(
    lead: Arc<Lead>,
    log: Log,
    (host, metrics): (Host, Metrics),
    times: Times,
) {
    let mut tail = Tail::default();
    let covered =
        || lead.raft().metrics().borrow_watched().snapshot.as_ref().map(|snapshot| snapshot.index);
    let mut counted = covered();
    loop {
        tokio::time::sleep(times.compaction).await;
        let covered = covered();
        if covered != counted {
            metrics.raft_snapshots.inc();
            counted = covered;
        }
        let (entries, bytes) = log.behind(covered);
        metrics.raft_log_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        if tail.is_due(host.now(), covered, (entries, bytes), &times) {
            tracing::debug!(entries, bytes, "compacting the coordinator's log");
            if lead.raft().trigger().snapshot().await.is_err() {
                return;
            }
        }
    }
}

/// What is behind the last snapshot.
#[derive(Debug, Default)]
struct Tail {
    /// Since when there is something, and behind which index.
    since: Option<(Option<u64>, Monotonic)>,
}

impl Tail {
    /// Whether `entries` of `bytes` behind `covered` are too much or too old by now.
    fn is_due(
        &mut self,
        now: Monotonic,
        covered: Option<u64>,
        (entries, bytes): (usize, u64),
        times: &Times,
    ) -> bool {
        if entries == 0 {
            self.since = None;
            return false;
        }
        let start = match self.since {
            Some((index, start)) if index == covered => start,
            _ => now,
        };
        self.since = Some((covered, start));
        bytes > times.log_bytes || now.since(start) > times.log_age
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TIMES: Times = Times {
        heartbeat: Duration::from_millis(500),
        lease_ttl: Duration::from_secs(3),
        rebalance: Duration::from_secs(5),
        raft_heartbeat: Duration::from_millis(100),
        election_min: Duration::from_millis(300),
        election_max: Duration::from_millis(600),
        log_bytes: 1_000,
        compaction: Duration::from_secs(5),
        log_age: Duration::from_hours(1),
    };

    fn minute(minutes: u64) -> Monotonic {
        Monotonic(0).after(Duration::from_mins(minutes))
    }

    #[test]
    fn a_log_is_compacted_by_bytes_at_once_and_by_age_when_it_is_old() {
        let mut tail = Tail::default();
        for (at, covered, behind, due) in [
            (0, None, (0, 0), false),
            (10, None, (1, 1_000), false),
            (69, None, (2, 1_000), false),
            (70, None, (2, 1_000), false),
            (71, None, (2, 1_000), true),
            // A snapshot was taken, and something came since.
            (72, Some(5), (1, 10), false),
            (132, Some(5), (1, 10), false),
            (133, Some(5), (1, 10), true),
            // Nothing is behind it: age counts from what comes next.
            (134, Some(6), (0, 0), false),
            (300, Some(6), (1, 10), false),
            (360, Some(6), (9, 90), false),
            (361, Some(6), (9, 90), true),
            (362, Some(7), (1, 1_001), true),
        ] {
            assert_eq!(tail.is_due(minute(at), covered, behind, &TIMES), due, "minute {at}");
        }
    }
}
