//! Under which conditions was measured.

use serde::Serialize;

use crate::output::aligned;

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
    /// The middle of the times of an `fdatasync` of 4 KiB, in microseconds.
    pub(crate) fdatasync_p50_us: f64,
    /// The machine's load of the last minute, before and after.
    pub(crate) load: [f64; 2],
    /// Entities.
    pub(crate) keys: u32,
    /// Bytes of payload per durable call.
    pub(crate) payload: u32,
    /// Seconds of each round.
    pub(crate) seconds: u32,
    /// Rounds.
    pub(crate) rounds: u32,
}

impl Conditions {
    /// The conditions of `bench`, for people.
    pub(crate) fn lines(&self, bench: &str) -> String {
        let [before, after] = self.load;
        aligned(&[
            ("bench", bench.to_owned()),
            ("build", self.build.to_owned()),
            ("cores", format!("{}, load {before:.1} to {after:.1}", self.cores)),
            ("store", format!("{}, {}", self.store, self.durability)),
            ("fdatasync", format!("p50 {:.0} µs", self.fdatasync_p50_us)),
            (
                "rounds",
                format!(
                    "{} of {} s, {} entities, {} bytes",
                    self.rounds, self.seconds, self.keys, self.payload
                ),
            ),
        ])
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
pub(crate) fn durability(url: &str) -> &'static str {
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
