//! Under which conditions was measured.

use std::path::Path;

use quarry_ports::Host;
use serde::Serialize;

use super::{
    baseline::{self, Baseline},
    device::{Device, Flushes},
};
use crate::{cli::BenchArguments, failure::Failure, output::aligned};

/// What was seen of the machine before anything ran.
pub(crate) struct Before {
    load: f64,
    disk: Baseline,
    flushes: Flushes,
}

/// How much is measured, and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Entities.
    pub(crate) keys: u32,
    /// Bytes of payload per durable call.
    pub(crate) payload: u32,
    /// Seconds of each round, where that is what ends it.
    pub(crate) seconds: Option<u32>,
    /// Rounds.
    pub(crate) rounds: u32,
}

/// The conditions of a run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Conditions {
    /// Processor cores.
    pub(crate) cores: usize,
    /// How the program was built.
    pub(crate) build: &'static str,
    /// The store, and where it is.
    pub(crate) store: String,
    /// What the store does before it says that a commit is durable.
    pub(crate) durability: &'static str,
    /// Who counted the flushes of the disk, where they were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) syncs: Option<String>,
    /// The middle of the times of an `fdatasync` of 4 KiB, in microseconds.
    pub(crate) fdatasync_p50_us: f64,
    /// The machine's load of the last minute, before and after.
    pub(crate) load: [f64; 2],
    /// Entities.
    pub(crate) keys: u32,
    /// Bytes of payload per durable call.
    pub(crate) payload: u32,
    /// Seconds of each round, where that is what ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seconds: Option<u32>,
    /// Rounds.
    pub(crate) rounds: u32,
}

impl Before {
    /// Looks at the load, and measures the disk beneath `directory`.
    pub(crate) async fn look(directory: &Path, host: &Host) -> Result<Self, Failure> {
        let load = load_average();
        let device = Device::beneath(directory);
        let before = device.as_ref().and_then(Device::flushes);
        let disk = baseline::disk(directory, host).await?;
        let flushes = Flushes::seen(device, before, disk.times);
        Ok(Self { load, disk, flushes })
    }

    /// What is known of the disk's flushes.
    pub(crate) const fn flushes(&self) -> &Flushes {
        &self.flushes
    }

    /// The conditions of a run that is over, on the store that describes itself like this and is at
    /// `url`.
    pub(crate) fn conditions(&self, store: String, url: &str, size: Size) -> Conditions {
        Conditions {
            cores: cores(),
            build: build(),
            store,
            durability: durability(url),
            syncs: None,
            fdatasync_p50_us: self.disk.p50_us,
            load: [self.load, load_average()],
            keys: size.keys,
            payload: size.payload,
            seconds: size.seconds,
            rounds: size.rounds,
        }
    }
}

impl From<&BenchArguments> for Size {
    fn from(arguments: &BenchArguments) -> Self {
        Self {
            keys: arguments.keys,
            payload: arguments.payload,
            seconds: Some(arguments.timed.seconds),
            rounds: arguments.timed.rounds.count,
        }
    }
}

impl Conditions {
    /// The conditions of `bench`, for people.
    pub(crate) fn lines(&self, bench: &str) -> String {
        let [before, after] = self.load;
        let of = self.seconds.map(|seconds| format!(" of {seconds} s")).unwrap_or_default();
        let rounds = format!("{}{of}, {} entities, {} bytes", self.rounds, self.keys, self.payload);
        let mut facts = vec![
            ("bench", bench.to_owned()),
            ("build", self.build.to_owned()),
            ("cores", format!("{}, load {before:.1} to {after:.1}", self.cores)),
            ("store", format!("{}, {}", self.store, self.durability)),
            ("fdatasync", format!("p50 {:.0} µs", self.fdatasync_p50_us)),
        ];
        facts.extend(self.syncs.clone().map(|syncs| ("syncs", syncs)));
        facts.push(("rounds", rounds));
        aligned(&facts)
    }
}

/// How this program was built.
pub(crate) const fn build() -> &'static str {
    if cfg!(debug_assertions) { "debug: figures say little" } else { "release" }
}

/// Processor cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// What the store at `url` does before it says that a commit is durable. It is not opened with less.
fn durability(url: &str) -> &'static str {
    if url.starts_with("sqlite:") {
        "WAL, synchronous = FULL"
    } else {
        "fsync = on, synchronous_commit = on"
    }
}

/// The machine's load of the last minute.
pub(crate) fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}
