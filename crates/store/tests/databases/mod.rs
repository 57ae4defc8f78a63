//! Fresh databases for tests.
#![allow(dead_code, reason = "each test program uses a part of it")]

mod fresh;
pub(crate) mod wire;

pub(crate) use fresh::*;
