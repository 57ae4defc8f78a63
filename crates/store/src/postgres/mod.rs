//! PostgreSQL 13 or newer: a few lanes, each with a connection of its own, and a pool for the rest.
//!
//! A batch is one statement, so that no lock outlives it: the fence rows of its shards are read
//! `for share`, the rows of `shard_commit` go in where the fence and the sequence fit, and all other
//! rows join to those that did.

mod connect;
mod fence;
mod journal;
mod loads;
mod pool;
mod retire;
mod sends;
mod server;
mod statements;
mod write;

pub(crate) use connect::{DURABILITY, Durability, LOOK_WITHIN, check, name, parse};
pub(crate) use server::Postgres;
