//! Contract suites: what every adapter of a port does, checked the same way over each of them.

pub mod store;
pub mod transport;
