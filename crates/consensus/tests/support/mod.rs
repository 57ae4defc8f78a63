//! What the tests of the coordinator share.
#![allow(dead_code, unused_imports, reason = "each test file uses a part of it")]

mod clock;
mod cluster;
mod wait;

pub(crate) use clock::Ahead;
pub(crate) use cluster::{Cluster, address, begin, begin_on};
pub(crate) use wait::{serving, until, view_where};
