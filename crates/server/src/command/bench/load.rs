//! Callers in a closed loop: each calls again as soon as it is answered.

use std::{sync::Arc, time::Duration};

use quarry_ports::Host;
use tokio::sync::mpsc;

use crate::failure::{Exit, Failure};

/// What is called.
pub(crate) trait Target: Send + Sync + 'static {
    /// One call to the entity with this number.
    fn call(&self, key: u32) -> impl Future<Output = Result<(), String>> + Send;
}

/// How it is called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Callers at a time.
    pub(crate) concurrency: u32,
    /// Entities.
    pub(crate) keys: u32,
    /// For how long.
    pub(crate) length: Duration,
}

/// What came of one round.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// Time of every call, in order of size.
    pub(crate) latencies: Vec<Duration>,
    /// Calls that were not answered with success.
    pub(crate) errors: u32,
    /// What the first of them was told.
    pub(crate) first_error: Option<String>,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Round {
    /// Calls answered per second.
    pub(crate) fn per_second(&self) -> f64 {
        count(self.latencies.len()) / self.took.as_secs_f64().max(1e-9)
    }

    /// The time within which this share of the calls was answered.
    pub(crate) fn percentile(&self, share: f64) -> Duration {
        percentile(&self.latencies, share)
    }
}

/// A number as a float; beyond 32 bits it is cut.
pub(crate) fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// The value below which this share of `sorted` lies.
pub(crate) fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let position = count(sorted.len().saturating_sub(1)) * share;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a 32-bit count is one itself"
    )]
    let index = position.round() as usize;
    sorted.get(index).copied().unwrap_or_default()
}

/// Runs one round.
///
/// # Errors
/// Where no call at all was answered with success.
pub(crate) async fn run<T: Target>(
    target: &Arc<T>,
    load: Load,
    host: &Host,
) -> Result<Round, Failure> {
    let (sender, mut results) = mpsc::channel(1);
    let began = host.now();
    let deadline = began.after(load.length);
    for caller in 0..load.concurrency {
        let (target, clock, sender) = (Arc::clone(target), host.clone(), sender.clone());
        host.spawn("bench-caller", async move {
            let mut round = Round::default();
            // Callers begin at different entities and go through them at the same pace.
            let mut key = caller.wrapping_mul(load.keys / load.concurrency.max(1) + 1);
            let mut now = clock.now();
            while now < deadline {
                key = key.wrapping_add(1);
                let result = target.call(key % load.keys).await;
                let after = clock.now();
                match result {
                    Ok(()) => round.latencies.push(after.since(now)),
                    Err(error) => {
                        round.errors = round.errors.saturating_add(1);
                        round.first_error.get_or_insert(error);
                    }
                }
                now = after;
            }
            // The receiver waits for every caller.
            drop(sender.send(round).await);
        });
    }
    drop(sender);
    let mut all = Round::default();
    while let Some(round) = results.recv().await {
        all.latencies.extend(round.latencies);
        all.errors = all.errors.saturating_add(round.errors);
        all.first_error = all.first_error.or(round.first_error);
    }
    all.took = host.now().since(began);
    all.latencies.sort_unstable();
    if let (true, Some(error)) = (all.latencies.is_empty(), &all.first_error) {
        return Err(Failure::new(Exit::Failed, format!("no call succeeded: {error}")));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Even;

    impl Target for Even {
        async fn call(&self, key: u32) -> Result<(), String> {
            tokio::task::yield_now().await;
            if key.is_multiple_of(2) { Ok(()) } else { Err("odd".to_owned()) }
        }
    }

    #[tokio::test]
    async fn calls_and_errors_are_counted_apart() {
        let load = Load { concurrency: 3, keys: 10, length: Duration::from_millis(20) };
        let round = run(&Arc::new(Even), load, &Host::system()).await.unwrap();
        assert!(!round.latencies.is_empty() && round.errors > 0);
        assert_eq!(round.first_error.as_deref(), Some("odd"));
        assert!(round.percentile(0.5) <= round.percentile(0.99));
    }

    #[test]
    fn percentiles_are_taken_from_the_sorted_times() {
        let times: Vec<Duration> = (1..=101).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 0.5), Duration::from_millis(51));
        assert_eq!(percentile(&times, 0.99), Duration::from_millis(100));
        assert_eq!(percentile(&times, 1.0), Duration::from_millis(101));
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
    }
}
