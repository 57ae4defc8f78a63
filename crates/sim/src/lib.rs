//! In-memory adapters and the contract suites that every adapter passes.

pub mod contract;
pub mod coordinator;
pub mod host;
mod process;
pub mod store;
pub mod transport;

pub use coordinator::{Coordination, MemoryCoordinator};
pub use host::host;
pub use process::Process;
/// What a member of a [`Coordination`] says of itself, and how leases are timed.
pub use quarry_core::{coordinator::Member, lease::LeaseTimes};
pub use store::{Entered, Faults, LostCommit, MemoryDatabase, MemoryStore, Weather, Witness};
pub use transport::{FaultPlan, MemoryTransport, Network, Traffic};
