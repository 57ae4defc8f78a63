//! The in-memory store: one [`MemoryDatabase`] stands for the database server, and every
//! [`MemoryStore`] opened on it for the adapter of one process.

mod adapter;
mod faults;
mod journals;
mod list;
mod retire;
mod sends;
mod tables;

pub use adapter::MemoryStore;
pub use faults::{Faults, LostCommit};
pub use tables::MemoryDatabase;
