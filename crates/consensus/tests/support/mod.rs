//! What the tests of the coordinator share.
#![allow(dead_code, unused_imports, reason = "each test file uses a part of it")]

mod cluster;
mod wait;

pub(crate) use cluster::{Cluster, address, begin};
pub(crate) use wait::{serving, until, view_where};
