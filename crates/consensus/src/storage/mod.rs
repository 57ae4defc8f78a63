//! What a voter keeps in `coordinator.db`: the log, the vote, the committed index, one snapshot.
//!
//! The whole retained log lives in memory as well; compaction keeps it small. One task writes the
//! file: it takes all that is queued, commits once with `synchronous = full`, and then tells those
//! who wait. The order of the queue is the order of the calls, votes included, so what a callback
//! acknowledges is durable together with everything before it.

mod auditor;
mod file;
mod log;
mod machine;
mod memory;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use auditor::Auditor;
pub use file::StorageError;
pub(crate) use file::{is_known, open};
pub(crate) use log::Log;
pub(crate) use machine::Machine;
pub use machine::Witness;
pub use memory::MemoryDisk;
pub(crate) use memory::open_memory;
