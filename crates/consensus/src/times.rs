//! Intervals and limits of the coordinator, which are checked together.

use std::time::Duration;

use quarry_core::lease::{InvalidTimes, LeaseTimes};

/// How many times the longest election timeout an election may take: a leader's hold on its followers
/// ends after one, and one of them stands for election within another.
const ELECTION: u32 = 2;

/// Why times do not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimesError {
    /// They do not make a lease.
    #[error(transparent)]
    Lease(#[from] InvalidTimes),
    /// Runners would stop whenever a leader is lost.
    #[error(
        "time to live of {ttl:?}: leases have to outlive an election, so the {span:?} of it that a \
         runner counts must be over {election:?}"
    )]
    Election {
        /// How long a lease lives.
        ttl: Duration,
        /// How long a runner goes on with it.
        span: Duration,
        /// How long an election may take.
        election: Duration,
    },
    /// Raft's leader would speak without a pause.
    #[error("the Raft heartbeat cannot be zero")]
    NoRaftHeartbeat,
    /// One lost heartbeat would cause an election.
    #[error("the election timeout has to be at least two Raft heartbeats")]
    HastyElection,
    /// Voters would stand for election at the same time, again and again.
    #[error("the longest election timeout has to be above the shortest")]
    SplitVotes,
}

/// Intervals and limits of the coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// How often a runner asks for its lease to be renewed.
    pub heartbeat: Duration,
    /// How long a lease lives.
    pub lease_ttl: Duration,
    /// How often the leader looks whether shards should move for balance.
    pub rebalance: Duration,
    /// How often Raft's leader tells its followers that it is there.
    pub raft_heartbeat: Duration,
    /// The shortest time after which a voter stands for election. It is counted from when the
    /// leader's hold on its followers has ended, `election_max` after they last heard of it: so a
    /// new leader is there between the sum of both and twice `election_max` after the old one died.
    pub election_min: Duration,
    /// The longest.
    pub election_max: Duration,
    /// How large the log may become before it is compacted, in bytes.
    pub log_bytes: u64,
    /// How often a voter looks whether to compact.
    pub compaction: Duration,
    /// How old the oldest entry outside of the snapshot may become.
    pub log_age: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(500),
            lease_ttl: Duration::from_secs(3),
            rebalance: Duration::from_secs(5),
            raft_heartbeat: Duration::from_millis(100),
            election_min: Duration::from_millis(300),
            election_max: Duration::from_millis(600),
            log_bytes: 1024 * 1024,
            compaction: Duration::from_secs(5),
            log_age: Duration::from_hours(1),
        }
    }
}

impl Times {
    /// How long the answer to one of Raft's heartbeats is awaited. openraft waits for as long as its
    /// interval, which it wants to be below `election_min`: so this is its interval, and who leads
    /// triggers heartbeats between them. A leader without answers may propose nothing.
    pub(crate) fn raft_patience(&self) -> Duration {
        self.election_min * 9 / 10
    }

    /// The times of leases, where all of these times go together.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn leases(&self) -> Result<LeaseTimes, Vec<TimesError>> {
        let mut errors = Vec::new();
        if self.raft_heartbeat.is_zero() {
            errors.push(TimesError::NoRaftHeartbeat);
        }
        if self.election_min < self.raft_heartbeat.saturating_mul(2) {
            errors.push(TimesError::HastyElection);
        }
        if self.election_max <= self.election_min {
            errors.push(TimesError::SplitVotes);
        }
        match self.outliving_leases() {
            Ok(leases) if errors.is_empty() => Ok(leases),
            Ok(_) => Err(errors),
            Err(error) => {
                errors.push(error);
                Err(errors)
            }
        }
    }

    /// The times of leases, where these outlive an election.
    fn outliving_leases(&self) -> Result<LeaseTimes, TimesError> {
        let leases = LeaseTimes::new(self.heartbeat, self.lease_ttl)?;
        let (span, election) = (leases.runner_span(), self.election_max.saturating_mul(ELECTION));
        if span > election {
            return Ok(leases);
        }
        Err(TimesError::Election { ttl: self.lease_ttl, span, election })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn the_default_times_go_together() {
        let times = Times::default();
        assert_eq!(times.leases(), Ok(LeaseTimes::new(times.heartbeat, times.lease_ttl).unwrap()));
    }

    #[test]
    fn all_times_that_do_not_go_together_are_named() {
        let usual = Times::default();
        let (heartbeat, ttl) = (ms(200), ms(700));
        let short = InvalidTimes::Ttl { ttl, heartbeat };
        let long = InvalidTimes::Heartbeat { heartbeat: ms(60_000) };
        for (times, expected) in [
            (Times { heartbeat, lease_ttl: ttl, ..usual }, vec![TimesError::Lease(short)]),
            (Times { heartbeat: ms(60_000), ..usual }, vec![TimesError::Lease(long)]),
            (Times { raft_heartbeat: ms(151), ..usual }, vec![TimesError::HastyElection]),
            (Times { election_min: ms(600), ..usual }, vec![TimesError::SplitVotes]),
            (
                Times { raft_heartbeat: ms(0), election_max: ms(1), ..usual },
                vec![TimesError::NoRaftHeartbeat, TimesError::SplitVotes],
            ),
        ] {
            assert_eq!(times.leases(), Err(expected), "{times:?}");
        }
    }

    #[test]
    fn a_lease_outlives_the_longest_election() {
        let of = |ttl| Times { heartbeat: ms(200), lease_ttl: ms(ttl), ..Times::default() };
        // 85 % of 1,412 ms are 1,200.2 ms, and an election takes 1,200 ms at most.
        assert!(of(1_412).leases().is_ok());
        let told = of(1_000).leases().unwrap_err();
        let expected = TimesError::Election { ttl: ms(1_000), span: ms(850), election: ms(1_200) };
        assert_eq!(told, [expected]);
        assert_eq!(
            expected.to_string(),
            "time to live of 1s: leases have to outlive an election, so the 850ms of it that a runner \
             counts must be over 1.2s"
        );
        assert!(of(1_411).leases().is_err());
    }
}
