//! Whole clusters of Quarry's nodes over virtual time, with faults by a seed, and checks.
//!
//! [`simulate`] runs the real code of the runner, the entities, the coordinator and openraft beneath
//! it on one thread, in virtual time: nodes speak over networks in memory that lose, delay, double
//! and reorder; their disks and their database are in memory too, slow, refusing, and silent about
//! commits now and then. Processes are killed, frozen, drained, cut off, and their clocks run at
//! rates of their own. All of it follows from a seed, so what a seed showed it shows again.
//!
//! * *Safety*: whatever happens, the invariants hold, at each log entry that a voter applies, each
//!   commit, each load and read of a shard's owner, and each change of a node's view; and in the end
//!   clients find what they were told.
//! * *Liveness*: then a quorum is healed and the rest is frozen, and all that was asked has to end.
//! * *Sometimes*: what a run is for has to happen in some runs: each [`Point`] is counted.
//!
//! * `views`: what voters decide, and nodes believe, of who owns what: S1, S2, L1, L2, L5.
//! * `witness`: what the database does: L1, L3, L4, L5, D1 to D4, R1, J1, O1; with `world`, which knows
//!   who holds a lease meanwhile, L2.
//! * `history`, `journals`: what clients are told, and find in the end.
//!
//! The checks are shown to find something by [planted bugs](quarry_types::planted).

mod bombs;
mod chronicle;
mod clients;
mod entities;
mod fault;
mod history;
mod journals;
mod node;
mod plan;
mod registers;
mod run;
mod splits;
mod streams;
mod sweep;
mod views;
mod witness;
mod world;

pub use chronicle::{Point, Report};
pub use plan::Plan;
pub use run::simulate;
pub use sweep::{Tally, sweep};
