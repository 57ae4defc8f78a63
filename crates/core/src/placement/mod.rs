//! Which runner is to own which shard.
//!
//! [`plan`] is a pure function of recorded ownership, live runners, weights, groups and reported
//! load. It moves no shard whose owner stays within its share (S2), so what is balanced stays as it
//! is. Every voter computes it for itself while it applies the log, so it uses whole numbers only
//! (floating point may differ between processors and libraries), and golden vectors hold the hashing
//! fixed.

mod apportion;
mod explain;
mod load;
mod plan;
mod pool;
mod score;
#[cfg(test)]
mod tests;

pub use explain::{Suitor, explain};
pub use load::{Burden, HEAVIEST, LIGHT, SteadyLoad};
pub use plan::{Input, Limits, Move, Plan, Runner, Shard, plan};
pub use score::{Cost, cost, preference};
