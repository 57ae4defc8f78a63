//! What a run is told.

use std::time::Duration;

use quarry_types::planted::Bug;

/// What a run is told; everything else follows from the seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// How many nodes there are: the first three are voters, or the first alone where there are
    /// fewer.
    pub nodes: u64,
    /// For how long things go wrong, in virtual time.
    pub safety: Duration,
    /// What is planted; without the feature `planted-bugs` nothing is.
    pub bug: Option<Bug>,
}

impl Plan {
    /// Three nodes, 20 s of faults.
    pub const fn of_seed(seed: u64) -> Self {
        Self { seed, nodes: 3, safety: Duration::from_secs(20), bug: None }
    }

    /// How many nodes are voters.
    pub(crate) const fn voters(&self) -> u64 {
        if self.nodes < 3 { 1 } else { 3 }
    }
}
