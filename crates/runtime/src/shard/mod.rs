//! The task of one owned shard: the shell of `quarry_core::delivery::Shard`.

mod chunks;
mod clock;
mod closing;
mod io;
mod load;
mod loads;
mod open;
mod perform;
mod rest;
mod sends;
mod task;

pub(crate) use clock::Clocks;
pub(crate) use loads::Loads;
pub(crate) use open::first_aside;
pub(crate) use task::{Control, End, Ended, ShardTask, Shared};
