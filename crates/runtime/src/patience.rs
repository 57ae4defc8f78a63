//! How long a call waits for an owner.
//!
//! As a rule until its deadline: a failover takes seconds, and then there is one. A node that is cut
//! off from the coordinator knows better: its own lease is over, its routing table is as old as
//! that, and nobody tells it of another owner. It refuses at once what it has not sent, as its
//! readiness says, and its callers can go elsewhere.

use std::{fmt::Display, time::Duration};

use quarry_types::{Monotonic, Refusal, RefusalCode};

use crate::node::Inner;

/// A process that has just started is not cut off: it has not heard of a leader yet.
const STARTS_WITHIN: Duration = Duration::from_secs(5);
/// A process that wakes up from a freeze has no lease until its next heartbeats are answered.
const COMES_BACK_WITHIN: Duration = Duration::from_millis(500);
/// How often a node that may be cut off looks again.
const LOOK: Duration = Duration::from_millis(100);
/// When a call that was refused for this may be tried again here.
const AGAIN: u32 = 1_000;

impl Inner {
    /// Whether this node's lease is over and it has not heard of a working leader for as long.
    pub(crate) fn is_cut_off(&self) -> bool {
        let coordinator = &self.ports.coordinator;
        let age = self.ports.host.now().since(self.begun);
        let lease = coordinator.lease();
        let is_starting = age < STARTS_WITHIN && !lease.was_held();
        !lease.is_held() && !is_starting && !coordinator.status().has_quorum
    }

    /// Whether a call waits no longer, since nobody can be found from here.
    pub(crate) fn gives_up(&self, patience: &mut Patience) -> bool {
        let now = self.ports.host.now();
        patience.see(self.ports.coordinator.lease().is_held(), now);
        patience.is_over(now) && self.is_cut_off()
    }

    /// Waits until a call waits no longer.
    pub(crate) async fn stays_cut_off(&self) {
        let mut patience = Patience::default();
        loop {
            self.ports.host.sleep_until(self.ports.coordinator.lease().deadline()).await;
            if self.gives_up(&mut patience) {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// What a call remembers of its waiting.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    without_lease_since: Option<Monotonic>,
}

impl Patience {
    fn see(&mut self, is_lease_held: bool, now: Monotonic) {
        let since = self.without_lease_since.unwrap_or(now);
        self.without_lease_since = (!is_lease_held).then_some(since);
    }

    fn is_over(&self, now: Monotonic) -> bool {
        self.without_lease_since.is_some_and(|since| now.since(since) >= COMES_BACK_WITHIN)
    }
}

/// The answer of a node that is cut off.
pub(crate) fn cut_off(what: &dyn Display) -> Refusal {
    Refusal {
        code: RefusalCode::NoOwner,
        message: format!(
            "this node holds no lease and hears of no coordinator leader with a quorum: it cannot \
             serve {what} and knows of nobody who can; ask another node"
        ),
        retry_after_ms: Some(AGAIN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_is_over_when_the_lease_does_not_come_back() {
        let mut patience = Patience::default();
        let at = |ms| Monotonic(0).after(Duration::from_millis(ms));
        for (ms, is_lease_held, is_over) in [
            (0, true, false),
            (9_000, false, false),
            (9_400, false, false),
            (9_450, true, false),
            (9_500, false, false),
            (9_999, false, false),
            (10_000, false, true),
            (10_001, true, false),
        ] {
            patience.see(is_lease_held, at(ms));
            assert_eq!(patience.is_over(at(ms)), is_over, "after {ms} ms");
        }
    }
}
