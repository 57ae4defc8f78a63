//! Removes what is past its retention, of the shards that this node serves.

use std::{sync::Arc, time::Duration};

use quarry_core::delivery::Limits;
use quarry_ports::{Host, LeaseGuard, Metrics, Retiring, Store, crash};
use quarry_types::Monotonic;

use crate::shard::{Clocks, Shared};

/// Messages removed in one transaction at most; a store may remove fewer.
const AT_ONCE: u32 = 2_048;
/// Between two looks, and between two records of the ages: a part of the shortest retention, within
/// these. An owner that dies without a word makes its shards younger by what was not recorded.
const LOOK: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
const RECORD: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// The task of a node.
pub(crate) struct Retirer {
    store: Arc<dyn Store>,
    lease: LeaseGuard,
    host: Host,
    metrics: Metrics,
    clocks: Clocks,
    limits: Limits,
}

impl Retirer {
    /// The task of the shards of `shared`.
    pub(crate) fn of(shared: &Shared) -> Self {
        Self {
            store: Arc::clone(&shared.store),
            lease: shared.lease.clone(),
            host: shared.host.clone(),
            metrics: shared.metrics.clone(),
            clocks: shared.clocks.clone(),
            limits: shared.limits.clone(),
        }
    }

    /// Runs as long as the process.
    pub(crate) async fn run(self) {
        let types = self.limits.types.values().map(|limits| limits.retention);
        let shortest = types.chain([self.limits.default_type.retention]).min().unwrap_or_default();
        let look = (shortest / 20).clamp(LOOK.0, LOOK.1);
        let record = (shortest / 100).clamp(RECORD.0, RECORD.1);
        let mut recorded = self.host.now();
        loop {
            tokio::time::sleep(look).await;
            let is_due = self.host.now().since(recorded) >= record;
            if is_due {
                recorded = self.host.now();
            }
            self.look(is_due).await;
        }
    }

    /// Removes all that is due now, in small steps with as long a pause after each as it took.
    async fn look(&self, mut record: bool) {
        while self.lease.is_held() {
            let began = self.host.now();
            let shards = self.shards(record);
            if shards.is_empty() {
                return;
            }
            match self.store.retire(shards, AT_ONCE, &self.lease).await {
                Ok(retired) => {
                    crash::point("retired");
                    self.metrics.retired.inc_by(retired.messages);
                    if !retired.more {
                        return;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "what is past its retention could not be removed yet");
                    return;
                }
            }
            record = false;
            self.rest(began).await;
        }
    }

    async fn rest(&self, began: Monotonic) {
        tokio::time::sleep(self.host.now().since(began).max(Duration::from_millis(1))).await;
    }

    fn shards(&self, record: bool) -> Vec<Retiring> {
        let all = self.clocks.all().into_iter();
        all.map(|(shard, epoch, clock)| Retiring {
            shard,
            epoch,
            age: clock.age(&self.host),
            record,
        })
        .collect()
    }
}
