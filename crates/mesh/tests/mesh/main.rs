//! The mesh between real processes.
//!
//! The substrate's registries are process-wide, so every node is a process of its own: this test
//! binary started again with an environment variable that makes [`node::node_process`] a node.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and talks to its nodes through standard output"
)]

mod cluster;
mod damage;
mod faults;
mod links;
mod node;
mod refusals;
mod storms;
mod tls;
