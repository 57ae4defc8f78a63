//! The task of one owned shard: the shell of `quarry_core::delivery::Shard`.

mod io;
mod load;
mod perform;
mod task;

pub(crate) use task::{Control, End, ShardTask, Shared};
