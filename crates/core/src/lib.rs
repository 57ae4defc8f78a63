//! The pure decisions of Quarry, as deterministic functions of state, time and input.
//!
//! Nothing here reads a clock, draws a random number, logs or does I/O; time and randomness are
//! arguments, maps are ordered. The shells around it receive, step, commit, perform and report.
#![no_std]

extern crate alloc;

pub mod coordinator;
pub mod delivery;
pub mod invariant;
pub mod lease;
pub mod mark;
pub mod outbox;
pub mod placement;
pub mod residence;
