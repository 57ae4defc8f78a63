//! The runner's view of its lease, shared by all that must stop when it ends.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use quarry_types::{
    Monotonic,
    planted::{Bug, is_planted},
};

use crate::Clock;

/// Tells whether this process may still admit and commit (L2). One renewer moves the deadline;
/// everyone else only asks. Cheap to clone.
#[derive(Clone)]
pub struct LeaseGuard {
    deadline: Arc<AtomicU64>,
    was_held: Arc<AtomicBool>,
    clock: Arc<dyn Clock>,
}

impl LeaseGuard {
    /// A lease that is not held yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { deadline: Arc::default(), was_held: Arc::default(), clock }
    }

    /// Whether this process has held it at some time: it has heard of a working leader.
    pub fn was_held(&self) -> bool {
        self.was_held.load(Ordering::Acquire)
    }

    /// Whether the lease is held now.
    pub fn is_held(&self) -> bool {
        let deadline = self.deadline();
        let is_ignored = is_planted(Bug::LeaseIgnored) && deadline > Monotonic(0);
        self.clock.monotonic() < deadline || is_ignored
    }

    /// When the lease ends unless it is renewed; [`Monotonic`]'s zero where it is not held.
    pub fn deadline(&self) -> Monotonic {
        Monotonic(self.deadline.load(Ordering::Acquire))
    }

    /// Moves the deadline forward; an earlier one than the present is passed over.
    pub fn renew(&self, deadline: Monotonic) {
        self.deadline.fetch_max(deadline.0, Ordering::AcqRel);
        self.was_held.store(true, Ordering::Release);
    }

    /// Ends the lease at once.
    pub fn end(&self) {
        self.deadline.store(0, Ordering::Release);
    }
}

impl fmt::Debug for LeaseGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseGuard").field("deadline", &self.deadline()).finish_non_exhaustive()
    }
}
