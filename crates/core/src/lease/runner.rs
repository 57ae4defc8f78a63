//! The runner's side of its lease.

use alloc::collections::BTreeMap;
use quarry_types::Monotonic;

use super::LeaseTimes;

/// The number of a heartbeat among those that one runner sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeartbeatId(pub u64);

/// How many unanswered heartbeats are remembered; the oldest are forgotten first. As many fit into
/// the longest time to live at the default heartbeat, and an older one would extend nothing.
const MAX_UNANSWERED: usize = 1_024;

/// Counts from the moment the last acknowledged heartbeat was *sent*, on this runner's clock.
#[derive(Clone, Debug)]
pub struct RunnerLease {
    times: LeaseTimes,
    next: u64,
    sent: BTreeMap<HeartbeatId, Monotonic>,
    deadline: Option<Monotonic>,
    has_ended: bool,
}

impl RunnerLease {
    /// A lease that is not held yet.
    #[must_use]
    pub const fn new(times: LeaseTimes) -> Self {
        Self { times, next: 0, sent: BTreeMap::new(), deadline: None, has_ended: false }
    }

    /// A heartbeat is about to be sent; `at` is read before it leaves.
    pub fn sent(&mut self, at: Monotonic) -> HeartbeatId {
        let id = HeartbeatId(self.next);
        self.next += 1;
        self.sent.insert(id, at);
        if self.sent.len() > MAX_UNANSWERED {
            self.sent.pop_first();
        }
        id
    }

    /// A heartbeat was acknowledged: returns the new deadline if that extends the lease. Late and
    /// doubled answers extend nothing.
    pub fn acknowledged(&mut self, id: HeartbeatId) -> Option<Monotonic> {
        let at = self.sent.remove(&id)?;
        // Answers to earlier ones would give earlier deadlines.
        self.sent = self.sent.split_off(&id);
        let deadline = at.after(self.times.runner_span());
        if self.has_ended || self.deadline.is_some_and(|present| present >= deadline) {
            return None;
        }
        self.deadline = Some(deadline);
        Some(deadline)
    }

    /// Whether an answer to this heartbeat would still say something: neither it nor a later one was
    /// acknowledged.
    #[must_use]
    pub fn awaits(&self, id: HeartbeatId) -> bool {
        self.sent.contains_key(&id)
    }

    /// Gives the lease up for good: answers that are still under way do not bring it back.
    pub fn end(&mut self) {
        self.has_ended = true;
        self.deadline = None;
        self.sent.clear();
    }

    /// Whether this runner may admit and commit at `now` (L2).
    #[must_use]
    pub fn is_held(&self, now: Monotonic) -> bool {
        self.deadline.is_some_and(|deadline| now < deadline)
    }

    /// When the lease ends unless it is renewed; none where it never was, or was given up.
    #[must_use]
    pub const fn deadline(&self) -> Option<Monotonic> {
        self.deadline
    }
}
