//! `quarry bench …`.

use std::time::Duration;

use clap::{Args, Subcommand};

/// `quarry bench …`.
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = "\
Starts a node of its own in a temporary directory, and compares with a baseline of the same run:
a shared machine makes bare figures worthless.

Examples:
  quarry bench durable
  quarry bench durable --store postgres://me@127.0.0.1/bench --concurrency 1,64,256
  quarry bench volatile -o json > volatile.json")]
pub(crate) enum BenchCommand {
    /// Durable calls, in process and over HTTP; the baseline is a raw fdatasync of 4 KiB
    Durable(BenchArguments),
    /// Volatile calls, in process and over HTTP; the baseline is a plain tokio channel
    Volatile(BenchArguments),
}

/// What is measured, and how long.
#[derive(Clone, Debug, Args)]
pub(crate) struct BenchArguments {
    /// How many callers at a time; each figure is measured by itself
    #[arg(long, value_delimiter = ',', default_value = "1,64", value_name = "N,…", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) concurrency: Vec<u32>,
    /// How many seconds each round lasts
    #[arg(long, default_value_t = 2, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) seconds: u32,
    /// How many rounds; the least, the middle and the most are shown
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=99))]
    pub(crate) rounds: u32,
    /// How many entities the calls go to
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) keys: u32,
    /// Bytes of payload per durable call
    #[arg(long, default_value_t = 200, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(0..=900_000))]
    pub(crate) payload: u32,
    /// Where messages and states are stored [default: a SQLite file in a temporary directory]
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
}

impl BenchArguments {
    /// The length of a round.
    pub(crate) fn round(&self) -> Duration {
        Duration::from_secs(u64::from(self.seconds))
    }
}
