//! Faults by a seed, on real processes on hosts of their own, under load.
//!
//! [`Schedule`] says which faults strike when, [`Arena`] does them to a cluster on a network of its
//! own, [`run`] drives clients meanwhile. What is a breach, [`judge`] says of what clients were told and of
//! the data, and [`watched`] of who loads and commits what, by [`Loads`].

mod arena;
mod fault;
mod loads;
mod run;
mod schedule;
mod verdict;

pub use arena::Arena;
pub use fault::Fault;
pub use loads::{LoadRow, Loads};
pub use run::{Survived, run};
pub use schedule::{Schedule, Step};
pub use verdict::{Sound, judge, watched};
