//! In-memory adapters and the contract suites that every adapter passes.

pub mod contract;
pub mod host;
pub mod store;
pub mod transport;

pub use host::host;
pub use store::{Faults, LostCommit, MemoryDatabase, MemoryStore};
pub use transport::{FaultPlan, MemoryTransport, Network, Traffic};
