//! Calls at a constant rate.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use crate::wait::Stopwatch;

/// A rate at which calls are made.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Clients that share the calls; each waits for its answers.
    pub clients: u32,
    /// Calls of all clients together.
    pub per_second: f64,
    /// For how long at most.
    pub time: Duration,
}

/// A call of a [`Pace`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timed {
    /// Which it was, from 0.
    pub number: u32,
    /// When it was to be made, since the start.
    pub at: Duration,
    /// How long it took from then on. What a client could not begin in time waited, which counts.
    pub took: Duration,
}

impl Pace {
    /// When call `number` is to be made, since the start.
    fn due(&self, number: u32) -> Duration {
        Duration::from_secs_f64(f64::from(number) / self.per_second)
    }

    /// Makes each call at its time, or as soon as its client is free, until time or `is_over` ends it.
    /// `call` is given the client and the call's number.
    pub(super) async fn run<C, F>(self, is_over: &Arc<AtomicBool>, call: C) -> Result<Vec<Timed>>
    where
        C: Fn(u32, u32) -> F + Clone + Send + 'static,
        F: Future<Output = Result<()>> + Send,
    {
        let (watch, mut clients) = (Stopwatch::start(), JoinSet::new());
        for client in 0..self.clients {
            let (watch, call, is_over) = (watch.clone(), call.clone(), Arc::clone(is_over));
            clients.spawn(async move {
                let mut timed = Vec::new();
                for number in (client..).step_by(usize::try_from(self.clients)?) {
                    let at = self.due(number);
                    tokio::time::sleep(at.saturating_sub(watch.elapsed())).await;
                    if at >= self.time || is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    call(client, number).await?;
                    timed.push(Timed { number, at, took: watch.elapsed().saturating_sub(at) });
                }
                anyhow::Ok(timed)
            });
        }
        let mut timed = Vec::new();
        while let Some(client) = clients.join_next().await {
            timed.extend(client.context("a client panicked")??);
        }
        Ok(timed)
    }
}

/// The value below which `share` of the durations lie; none where there are none.
pub fn quantile(mut durations: Vec<Duration>, share: f64) -> Option<Duration> {
    durations.sort_unstable();
    let count = u32::try_from(durations.len()).ok()?;
    let place = (0..count).find(|place| f64::from(place + 1) >= f64::from(count) * share)?;
    durations.get(usize::try_from(place).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let values = |count: u64| (1..=count).rev().map(Duration::from_millis).collect::<Vec<_>>();
        let of = |count, share| quantile(values(count), share).map(|found| found.as_millis());
        assert_eq!(of(0, 0.5), None);
        assert_eq!((of(1, 0.5), of(1, 0.99)), (Some(1), Some(1)));
        assert_eq!((of(100, 0.5), of(100, 0.99), of(100, 1.0)), (Some(50), Some(99), Some(100)));
    }
}
