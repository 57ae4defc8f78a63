//! Faults by a seed, on real processes on hosts of their own, under load.
//!
//! [`Schedule`] says which faults strike when, [`Arena`] does them to a cluster on a network of its
//! own, [`run`] drives clients meanwhile and checks what they were told, [`Loads`] who loaded what.

mod arena;
mod fault;
mod loads;
mod run;
mod schedule;

pub use arena::Arena;
pub use fault::Fault;
pub use loads::{LoadRow, Loads};
pub use run::{Survived, run};
pub use schedule::{Schedule, Step};
