//! Leases: two pure machines, one on each side, that never speak of each other's clock (L2).
//!
//! [`RunnerLease`] counts from the moment it *sent* an acknowledged heartbeat and stops at 85 % of
//! the time to live; [`LeaderLeases`] counts from when it *received* it and waits for 115 %. With
//! clocks that differ by at most 10 % each way the runner has stopped before the leader may act:
//! 0.85 / 0.9 < 1.15 / 1.1. [`Vigil`] tells a leader sooner of a process that is gone.

mod leader;
mod runner;
#[cfg(test)]
mod tests;
mod times;
mod vigil;

pub use leader::{LeaderLeases, NotAcknowledged, Received};
pub use runner::{HeartbeatId, RunnerLease};
pub use times::{InvalidTimes, LeaseTimes};
pub use vigil::{Vigil, Watching};
