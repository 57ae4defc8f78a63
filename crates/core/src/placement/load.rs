//! What a shard costs to serve, as the planner counts it.

use core::time::Duration;

/// The load of a shard with little to do.
pub const LIGHT: u32 = 1;
/// The most that one shard counts.
pub const HEAVIEST: u32 = 64;

/// What there is to do in a shard at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Burden {
    /// Handlers that run.
    pub running: u32,
    /// How long the message has waited for its turn that has waited longest; zero where none waits.
    pub oldest_wait: Duration,
}

impl Burden {
    /// The load: 1, 4, 16 or 64. Steps far apart, so that a shard whose work varies a little keeps
    /// its load, and a cluster with little to do has nothing but light shards. An old backlog counts
    /// whatever it costs to work off, and so do many handlers though nothing waits.
    #[must_use]
    pub fn load(self) -> u32 {
        let by_age = match self.oldest_wait.as_secs() {
            0..5 => LIGHT,
            5..30 => 4,
            30..120 => 16,
            _ => HEAVIEST,
        };
        let by_cost = match self.running {
            0..8 => LIGHT,
            8..32 => 4,
            32..128 => 16,
            _ => HEAVIEST,
        };
        by_age.max(by_cost)
    }
}

/// The load of one shard over time: the median of the last three, so that one moment that is unlike
/// the others moves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SteadyLoad([u32; 3]);

impl Default for SteadyLoad {
    fn default() -> Self {
        Self([LIGHT; 3])
    }
}

impl SteadyLoad {
    /// As of a shard that has cost so much for a while.
    #[must_use]
    pub const fn of(load: u32) -> Self {
        Self([load; 3])
    }

    /// Takes the newest and answers the median.
    pub fn see(&mut self, load: u32) -> u32 {
        let [_, second, third] = self.0;
        self.0 = [second, third, load];
        let mut sorted = self.0;
        sorted.sort_unstable();
        let [_, median, _] = sorted;
        median
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(running: u32, seconds: u64) -> u32 {
        Burden { running, oldest_wait: Duration::from_secs(seconds) }.load()
    }

    #[test]
    fn old_backlogs_and_many_handlers_weigh_whichever_is_more() {
        let table = [
            ((0, 0), 1),
            ((7, 4), 1),
            ((8, 0), 4),
            ((0, 5), 4),
            ((1, 30), 16),
            ((32, 5), 16),
            ((0, 120), 64),
            ((128, 0), 64),
            ((u32::MAX, u64::MAX), 64),
        ];
        for ((running, seconds), expected) in table {
            assert_eq!(load(running, seconds), expected, "{running} running, {seconds} s");
        }
    }

    #[test]
    fn one_moment_alone_changes_nothing() {
        let mut steady = SteadyLoad::default();
        let seen = [16, 1, 16, 16, 1, 16, 1, 1].map(|load| steady.see(load));
        assert_eq!(seen, [1, 1, 16, 16, 16, 16, 1, 1]);
    }
}
