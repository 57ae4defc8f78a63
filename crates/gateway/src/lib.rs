//! Quarry's HTTP interface.
//!
//! A request goes through `layers` (trace, metrics, panics, time limit, bound on requests in
//! flight) to a handler. Handlers take their parts from `request`, which refuses what is malformed
//! and names the field; so nothing reaches the runtime that could be refused here. Every error is
//! a [`Problem`] and leaves as `application/problem+json`; `problem::code` is the one file that
//! maps codes to HTTP. The routes stand in one table, in `router`.

mod batch;
mod bindings;
mod cluster;
mod dispatch;
mod entities;
mod extractions;
mod gateway;
mod health;
mod layers;
mod lingering;
mod messages;
mod ontologies;
mod openapi;
mod operate;
mod placement;
mod problem;
mod progress;
mod request;
mod router;
mod rpc;
mod scrape;
mod send;
mod serve;
mod shards;
mod spoken;
mod start;
mod starting;
mod stream;
mod time;
mod trace;
mod types;
mod unread;
mod voters;

#[cfg(test)]
mod tests;

pub use gateway::{Gateway, GatewayConfig};
pub use problem::{Code, Problem};
pub use router::router;
pub use serve::{FAREWELL, ListenerConfig, serve};
pub use starting::{Entrance, Opening, entrance};
