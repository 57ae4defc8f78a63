//! A machine that lets its programs down: disks that are full or fail, clocks that jump.
//!
//! [`Shim`] stands between a node and its C library; [`Volume`] is a real file system of a few
//! megabytes, in a mount namespace of its own.

mod shim;
mod volume;

pub use shim::{Fault, Shim};
pub use volume::{Forbidden, Volume};
