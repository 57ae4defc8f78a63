//! How long leases last.

use core::time::Duration;

use quarry_types::planted::{Bug, is_planted};

/// The times of all leases of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTimes {
    heartbeat: Duration,
    ttl: Duration,
}

/// Why two times do not make a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTimes {
    /// The heartbeat is out of bounds.
    #[error("heartbeat of {heartbeat:?}: must be between 10ms and 10s")]
    Heartbeat {
        /// What was given.
        heartbeat: Duration,
    },
    /// The time to live is out of bounds for this heartbeat.
    #[error("time to live of {ttl:?}: must be between 4 heartbeats of {heartbeat:?} and 5min")]
    Ttl {
        /// What was given.
        ttl: Duration,
        /// The heartbeat.
        heartbeat: Duration,
    },
}

impl LeaseTimes {
    /// The shortest heartbeat: below it, scheduling noise would end leases.
    pub const MIN_HEARTBEAT: Duration = Duration::from_millis(10);
    /// The longest heartbeat.
    pub const MAX_HEARTBEAT: Duration = Duration::from_secs(10);
    /// The usual time to live.
    pub const USUAL_TTL: Duration = Duration::from_secs(3);
    /// The longest time to live.
    pub const MAX_TTL: Duration = Duration::from_mins(5);
    /// The longest time that an answer is waited for: no node is as far.
    pub const MAX_ANSWER: Duration = Duration::from_secs(10);
    /// How many heartbeats fit into the time to live at least: with four, two may be lost in a row
    /// before the runner stops.
    pub const MIN_HEARTBEATS: u32 = 4;

    /// Checks both together.
    ///
    /// # Errors
    /// [`InvalidTimes`] names the one that is out of bounds.
    pub fn new(heartbeat: Duration, ttl: Duration) -> Result<Self, InvalidTimes> {
        if !(Self::MIN_HEARTBEAT..=Self::MAX_HEARTBEAT).contains(&heartbeat) {
            return Err(InvalidTimes::Heartbeat { heartbeat });
        }
        if ttl > Self::MAX_TTL || ttl < heartbeat.saturating_mul(Self::MIN_HEARTBEATS) {
            return Err(InvalidTimes::Ttl { ttl, heartbeat });
        }
        Ok(Self { heartbeat, ttl })
    }

    /// How often a runner sends a heartbeat.
    #[must_use]
    pub const fn heartbeat(self) -> Duration {
        self.heartbeat
    }

    /// The nominal time to live.
    #[must_use]
    pub const fn ttl(self) -> Duration {
        self.ttl
    }

    /// How long a runner goes on after it sent its last acknowledged heartbeat: 85 %.
    #[must_use]
    pub fn runner_span(self) -> Duration {
        self.ttl.saturating_mul(85) / 100
    }

    /// How long a runner waits for the answer to a heartbeat: half of its span, so that it can ask
    /// somebody else before its lease ends, and at most [`LeaseTimes::MAX_ANSWER`].
    #[must_use]
    pub fn answer_limit(self) -> Duration {
        (self.runner_span() / 2).min(Self::MAX_ANSWER)
    }

    /// How long a leader waits for a quorum behind a heartbeat: so long that its answer is still waited
    /// for.
    #[must_use]
    pub fn round_limit(self) -> Duration {
        (self.runner_span() / 3).min(Self::MAX_ANSWER / 2)
    }

    /// How long a leader waits after it received the last heartbeat that it acknowledged of a process
    /// that counts with the time to live `ttl`: 115 %.
    #[must_use]
    pub fn leader_span(ttl: Duration) -> Duration {
        let per_cent = if is_planted(Bug::RegrantEarly) { 33 } else { 115 };
        ttl.min(Self::MAX_TTL).saturating_mul(per_cent) / 100
    }

    /// The same with no more than the usual time to live, and heartbeats as often as that takes.
    #[must_use]
    pub fn at_most_usual(self) -> Self {
        let ttl = self.ttl.min(Self::USUAL_TTL);
        Self { heartbeat: self.heartbeat.min(ttl / Self::MIN_HEARTBEATS), ttl }
    }

    /// The time to live to count with for a process that said `told` when it joined. Who says nothing
    /// has no more than the usual one, or is an older program, which has that of its leader.
    #[must_use]
    pub fn ttl_of(self, told: Option<Duration>) -> Duration {
        told.unwrap_or_else(|| self.ttl.max(Self::USUAL_TTL))
    }
}

/// Every 500 ms, for 3 s.
impl Default for LeaseTimes {
    fn default() -> Self {
        Self { heartbeat: Duration::from_millis(500), ttl: Self::USUAL_TTL }
    }
}
