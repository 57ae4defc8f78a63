//! What the machine itself can do, measured in the same run.

use std::{
    fs::OpenOptions,
    io::{Seek, Write},
    path::Path,
    sync::Arc,
    time::Duration,
};

use quarry_ports::Host;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::{
    load::{self, Load, Round, Target, count, percentile},
    report::Spread,
};
use crate::failure::Failure;

/// How long the disk is measured.
const DISK: Duration = Duration::from_secs(1);

/// A figure of the machine.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Baseline {
    /// What was measured.
    pub(crate) name: &'static str,
    /// Callers at a time.
    pub(crate) concurrency: u32,
    /// How often it was done.
    pub(crate) times: usize,
    /// How often per second.
    pub(crate) per_second: f64,
    /// The middle of the times, in microseconds.
    pub(crate) p50_us: f64,
}

impl Baseline {
    /// The middle of `rounds`.
    pub(crate) fn of_rounds(name: &'static str, concurrency: u32, rounds: &[Round]) -> Self {
        let middle =
            |of: &dyn Fn(&Round) -> f64| Spread::of(rounds.iter().map(of).collect()).median;
        Self {
            name,
            concurrency,
            times: rounds.iter().map(|round| round.latencies.len()).sum(),
            per_second: middle(&Round::per_second),
            p50_us: middle(&|round| round.percentile(0.5).as_secs_f64() * 1e6),
        }
    }
}

/// Writes 4 KiB and waits for the disk (`fdatasync`), again and again, in one file of `directory`.
pub(crate) async fn disk(directory: &Path, host: &Host) -> Result<Baseline, Failure> {
    let (path, clock) = (directory.join("fdatasync"), host.clone());
    let written = tokio::task::spawn_blocking(move || -> std::io::Result<Vec<Duration>> {
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(path)?;
        let page = [7_u8; 4_096];
        // Blocks are allocated before, as those of a log that is reused.
        for _ in 0..256 {
            file.write_all(&page)?;
        }
        file.sync_all()?;
        let mut times = Vec::new();
        let deadline = clock.now().after(DISK);
        while clock.now() < deadline {
            if times.len().is_multiple_of(256) {
                file.rewind()?;
            }
            let began = clock.now();
            file.write_all(&page)?;
            file.sync_data()?;
            times.push(clock.now().since(began));
        }
        Ok(times)
    });
    let mut times = written.await.map_err(anyhow::Error::from)??;
    let total: Duration = times.iter().sum();
    times.sort_unstable();
    Ok(Baseline {
        name: "fdatasync of 4 KiB",
        concurrency: 1,
        times: times.len(),
        per_second: count(times.len()) / total.as_secs_f64().max(1e-9),
        p50_us: percentile(&times, 0.5).as_secs_f64() * 1e6,
    })
}

/// Asks a task over a plain channel and waits for its answer.
pub(crate) async fn channel(
    concurrency: u32,
    length: Duration,
    host: &Host,
) -> Result<Baseline, Failure> {
    let (sender, mut receiver) = mpsc::channel::<(u32, oneshot::Sender<u32>)>(4_096);
    host.spawn("bench-echo", async move {
        while let Some((key, reply)) = receiver.recv().await {
            // A caller that is gone needs no answer.
            let _ = reply.send(key);
        }
    });
    let load = Load { concurrency, keys: 1_000, length };
    let round = load::run(&Arc::new(Echo(sender)), load, host).await?;
    Ok(Baseline::of_rounds("tokio channel, there and back", concurrency, &[round]))
}

struct Echo(mpsc::Sender<(u32, oneshot::Sender<u32>)>);

impl Target for Echo {
    async fn call(&self, key: u32) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        self.0.send((key, reply)).await.map_err(|error| error.to_string())?;
        answer.await.map(drop).map_err(|error| error.to_string())
    }
}
