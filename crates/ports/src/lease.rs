//! The runner's view of its lease, shared by all that must stop when it ends.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use quarry_types::Monotonic;

use crate::Clock;

/// Tells whether this process may still admit and commit (L2). One renewer moves the deadline;
/// everyone else only asks. Cheap to clone.
#[derive(Clone)]
pub struct LeaseGuard {
    deadline: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
}

impl LeaseGuard {
    /// A lease that is not held yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { deadline: Arc::new(AtomicU64::new(0)), clock }
    }

    /// Whether the lease is held now.
    pub fn is_held(&self) -> bool {
        self.clock.monotonic() < self.deadline()
    }

    /// When the lease ends unless it is renewed; [`Monotonic`]'s zero where it is not held.
    pub fn deadline(&self) -> Monotonic {
        Monotonic(self.deadline.load(Ordering::Acquire))
    }

    /// Moves the deadline forward; an earlier one than the present is passed over.
    pub fn renew(&self, deadline: Monotonic) {
        self.deadline.fetch_max(deadline.0, Ordering::AcqRel);
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
