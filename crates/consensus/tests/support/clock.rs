//! A clock that a test puts forward.
#![expect(clippy::expect_used, reason = "a test's surroundings")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use quarry_ports::{Clock, Host};
use quarry_types::{Monotonic, Timestamp};

/// The system's clock, ahead of itself by what a test says: as after a suspend of the machine.
pub(crate) struct Ahead {
    system: Arc<dyn Clock>,
    by_ms: AtomicU64,
}

impl Ahead {
    /// A machine with such a clock, which is not ahead yet.
    pub(crate) fn host() -> (Arc<Self>, Host) {
        let host = Host::system();
        let ahead = Arc::new(Self { system: Arc::clone(&host.clock), by_ms: AtomicU64::new(0) });
        (Arc::clone(&ahead), Host { clock: ahead, ..host })
    }

    /// Puts it forward.
    pub(crate) fn put_forward(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).expect("a time that a test may ask for");
        self.by_ms.fetch_add(by, Ordering::SeqCst);
    }

    fn by(&self) -> Duration {
        Duration::from_millis(self.by_ms.load(Ordering::SeqCst))
    }
}

impl Clock for Ahead {
    fn monotonic(&self) -> Monotonic {
        self.system.monotonic().after(self.by())
    }

    fn wall(&self) -> Timestamp {
        self.system.wall().after(self.by())
    }
}
