//! One or two nodes over in-memory adapters: what authors and callers are promised.
#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod backlog;
mod calls;
mod delays;
mod owners;
mod quarantine;
mod reads;
mod residents;
mod sends;
mod splits;
mod streams;
mod transactions;
mod world;
