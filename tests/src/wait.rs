//! Waiting for a condition, with a deadline.

use std::{fmt, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use quarry_ports::{Clock, Host};
use quarry_types::Monotonic;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks at `condition` until it answers `Some`, for at most `within`. `what` names the condition
/// in the error.
pub async fn until<T>(
    what: &str,
    within: Duration,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> Result<T> {
    let mut looks = Looks::during(within);
    let looking = async {
        while looks.next().await {
            if let Some(seen) = condition().await {
                return Some(seen);
            }
        }
        None
    };
    let seen = timeout(within, looking).await.unwrap_or_default();
    seen.with_context(|| format!("{what}: not within {within:?}"))
}

/// Paces a loop that looks for something, and ends it.
#[derive(Debug)]
pub struct Looks {
    ticks: Interval,
    watch: Stopwatch,
    within: Duration,
}

impl Looks {
    /// Looks during `within` from now on.
    pub fn during(within: Duration) -> Self {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, watch: Stopwatch::start(), within }
    }

    /// Waits for the time of the next look; false when time is over. The first is at once.
    pub async fn next(&mut self) -> bool {
        self.ticks.tick().await;
        self.watch.elapsed() < self.within
    }
}

/// Measures real time, on the clock that goes on during suspend.
#[derive(Clone)]
pub struct Stopwatch {
    clock: Arc<dyn Clock>,
    started: Monotonic,
}

impl fmt::Debug for Stopwatch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Stopwatch").field(&self.elapsed()).finish()
    }
}

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        let clock = Host::system().clock;
        Self { started: clock.monotonic(), clock }
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.clock.monotonic().since(self.started)
    }

    /// Waits until `time` has passed since the start.
    pub async fn reaches(&self, time: Duration) -> Result<()> {
        let within = time.saturating_sub(self.elapsed()) + Duration::from_secs(1);
        until("time passes", within, async || (self.elapsed() >= time).then_some(())).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_condition_that_comes_true_is_answered() -> Result<()> {
        let mut looks = 0;
        let seen = until("third look", Duration::from_secs(1), async || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(seen.await?, 3);
        Ok(())
    }

    #[tokio::test]
    async fn a_condition_that_stays_false_ends_at_the_deadline() {
        let seen = until("never", Duration::from_millis(50), async || None::<()>).await;
        assert_eq!(seen.unwrap_err().to_string(), "never: not within 50ms");
    }
}
