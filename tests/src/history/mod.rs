//! What clients did to registers, and whether what stands there can have come of it.
//!
//! [`Recorder`] collects a [`History`] while clients run; [`check`] is a pure function over it and
//! the final content of every register.

mod check;
mod recorder;

pub use check::{Breach, check};
pub use recorder::{Call, CallId, End, Entry, History, Read, Recorder};
