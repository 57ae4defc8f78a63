//! The in-memory store: one [`MemoryDatabase`] stands for the database server, and every
//! [`MemoryStore`] opened on it for the adapter of one process.

mod adapter;
mod faults;
mod journals;
mod list;
mod load;
mod open;
mod retire;
mod sends;
mod tables;
mod weather;

pub use adapter::MemoryStore;
pub use faults::{Faults, LostCommit};
pub use journals::Entered;
pub use tables::MemoryDatabase;
pub use weather::{Weather, Witness};
