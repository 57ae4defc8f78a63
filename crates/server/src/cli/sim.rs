//! `quarry sim`.

use clap::Args;

/// Which clusters are simulated.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Runs whole clusters of this program's own code in virtual time, over networks, disks and a database
in memory that fail by the seed, and checks what it promises. The same seed does the same.

Examples:
  quarry sim --seed 7                       what one seed does, told to stderr with -v
  quarry sim --seed 7 --minutes 10 --nodes 5
  quarry sim --seed 0 --seeds 1000          a thousand seeds, on all cores

Ends with 1 where a promise was broken.")]
pub(crate) struct SimArguments {
    /// The seed, or the first of them
    #[arg(long, value_name = "N")]
    pub(crate) seed: u64,
    /// How many seeds
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) seeds: u64,
    /// For how many minutes of virtual time things go wrong [default: 20 seconds]
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u64).range(1..=1_440))]
    pub(crate) minutes: Option<u64>,
    /// How many nodes there are; three of them are voters, or one of fewer than three
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=9))]
    pub(crate) nodes: u64,
}
