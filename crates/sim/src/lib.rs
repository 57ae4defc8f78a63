//! In-memory adapters and the contract suites that every adapter passes.

pub mod contract;
pub mod host;
pub mod transport;

pub use host::host;
pub use transport::{FaultPlan, MemoryTransport, Network, Traffic};
