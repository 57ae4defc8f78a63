//! A machine for simulations: time is tokio's (paused or not), randomness has a seed.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use quarry_ports::{Clock, Host, Random, host::TokioSpawn};
use quarry_types::{Monotonic, Timestamp};

/// The wall clock's reading when a simulation starts: 2026-01-01 00:00:00 UTC.
pub const START: Timestamp = Timestamp(1_767_225_600_000);

/// A host whose clock is tokio's and whose randomness comes from `seed`. On a current-thread
/// runtime with a paused clock everything that uses it is deterministic. Call it on a runtime.
pub fn host(seed: u64) -> Host {
    Host {
        clock: Arc::new(RuntimeClock::new()),
        random: Arc::new(SeededRandom::new(seed)),
        spawn: Arc::new(TokioSpawn),
    }
}

/// Reads tokio's clock, which a test may pause and advance.
pub struct RuntimeClock {
    start: tokio::time::Instant,
}

impl RuntimeClock {
    /// A clock that starts now.
    #[must_use]
    pub fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the clock of simulations")]
        Self { start: tokio::time::Instant::now() }
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

impl Default for RuntimeClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for RuntimeClock {
    fn monotonic(&self) -> Monotonic {
        // An hour of head start, so that subtracting from a first reading stays above zero.
        Monotonic(0).after(Duration::from_hours(1)).after(self.elapsed())
    }

    fn wall(&self) -> Timestamp {
        START.after(self.elapsed())
    }
}

impl fmt::Debug for RuntimeClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RuntimeClock")
    }
}

/// Random numbers that follow from a seed (splitmix64, Steele, Lea and Flood 2014).
#[derive(Debug)]
pub struct SeededRandom(Mutex<u64>);

impl SeededRandom {
    /// The sequence of `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    /// A number below `bound`; 0 where `bound` is 0.
    pub fn below(&self, bound: u64) -> u64 {
        self.next_u64().checked_rem(bound).unwrap_or(0)
    }
}

impl Random for SeededRandom {
    fn next_u64(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_clock_moves_only_with_the_runtime() {
        let host = host(1);
        let before = host.now();
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(host.now().since(before), Duration::from_secs(5));
    }

    #[test]
    fn equal_seeds_give_equal_numbers() {
        let (a, b) = (SeededRandom::new(7), SeededRandom::new(7));
        assert!((0..100).all(|_| a.next_u64() == b.next_u64()));
        assert_ne!(SeededRandom::new(8).next_u64(), SeededRandom::new(7).next_u64());
    }
}
