//! The description of the interface, `OpenAPI` 3.1, at `/openapi.json`.
//!
//! It is made from the table of routes, each of which carries its [`Operation`], and from the types
//! that handlers read and write. The tests of this crate compare every answer that they get with
//! it, and the whole of it with the committed `openapi.json`.

mod bodies;
mod cluster;
mod describe;
mod document;
mod health;
mod operate;
mod operation;
mod problems;
mod serve;
mod shape;
mod voters;

pub(crate) use cluster::*;
pub(crate) use describe::*;
#[cfg(test)]
pub(crate) use document::{HEADERS, document};
pub(crate) use health::*;
pub(crate) use operate::*;
pub(crate) use operation::Operation;
#[cfg(test)]
pub(crate) use operation::PROBLEM;
#[cfg(test)]
pub(crate) use problems::problems;
pub(crate) use serve::serve;
pub(crate) use voters::*;
