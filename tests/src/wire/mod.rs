//! A wire between a node and PostgreSQL that a test can hold in the middle of a commit.

mod proxy;
mod requests;

pub use proxy::{Hold, Wire};
