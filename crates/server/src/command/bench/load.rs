//! Callers in a closed loop: each calls again as soon as it is answered.

use std::{sync::Arc, time::Duration};

use quarry_ports::Host;
use serde::{Deserialize, Serialize};
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
#[derive(Debug, Default, Serialize, Deserialize)]
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
    let deadline = host.now().after(load.length);
    let step = load.keys / load.concurrency.max(1) + 1;
    callers(target, load.concurrency, host, |caller| {
        // Callers begin at different entities and go through them at the same pace.
        let first = caller.wrapping_mul(step);
        let keys = (1..).map(move |turn| first.wrapping_add(turn) % load.keys);
        let clock = host.clone();
        keys.take_while(move |_| clock.now() < deadline)
    })
    .await
}

/// Calls each of `keys` entities once, in turn.
///
/// # Errors
/// Where no call at all was answered with success.
pub(crate) async fn each<T: Target>(
    target: &Arc<T>,
    (concurrency, keys): (u32, u32),
    host: &Host,
) -> Result<Round, Failure> {
    let step = usize::try_from(concurrency).unwrap_or(usize::MAX).max(1);
    callers(target, concurrency, host, |caller| (caller..keys).step_by(step)).await
}

/// So many callers, each of which calls the entities that `keys` has for it.
async fn callers<T: Target, K: Iterator<Item = u32> + Send + 'static>(
    target: &Arc<T>,
    concurrency: u32,
    host: &Host,
    keys: impl Fn(u32) -> K,
) -> Result<Round, Failure> {
    let (sender, mut results) = mpsc::channel(1);
    let began = host.now();
    for caller in 0..concurrency {
        let (target, clock, sender) = (Arc::clone(target), host.clone(), sender.clone());
        let keys = keys(caller);
        host.spawn("bench-caller", async move {
            let mut round = Round::default();
            for key in keys {
                let asked = clock.now();
                match target.call(key).await {
                    Ok(()) => round.latencies.push(clock.now().since(asked)),
                    Err(error) => {
                        round.errors = round.errors.saturating_add(1);
                        round.first_error.get_or_insert(error);
                    }
                }
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
    use std::sync::Mutex;

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

    struct Called(Mutex<Vec<u32>>);

    impl Target for Called {
        async fn call(&self, key: u32) -> Result<(), String> {
            self.0.lock().unwrap().push(key);
            Ok(())
        }
    }

    #[tokio::test]
    async fn each_entity_is_called_once() {
        for concurrency in [1, 3, 20] {
            let target = Arc::new(Called(Mutex::default()));
            let round = each(&target, (concurrency, 10), &Host::system()).await.unwrap();
            let mut called = target.0.lock().unwrap().clone();
            called.sort_unstable();
            assert_eq!((round.latencies.len(), called), (10, (0..10).collect()));
        }
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
