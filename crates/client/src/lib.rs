//! A typed HTTP client of Quarry.
//!
//! [`Client::send`] sends once and tells the three answers apart: done ([`Sent`]), refused and
//! unknown ([`ClientError`]). [`Client::send_retrying`] repeats under the same key until a
//! deadline, over all base URLs, and never calls *refused* what an earlier try may have done. Where
//! nobody has ever answered it ends after a few tries.
//! [`Client::send_batch`] does so with up to 1,000 messages in one request.
//! [`Client::chunks`] and [`Client::events`] follow what is told of a message or an extraction,
//! and go on by themselves where a stream is cut.

mod batch;
mod client;
mod error;
mod exchange;
mod follow;
mod look;
mod ontology;
mod retry;
mod send;
mod sent_events;

#[cfg(test)]
mod tests;

pub use batch::BatchResults;
pub use client::{Client, Credentials};
pub use error::ClientError;
pub use look::{EntityQuery, Json, MessageQuery};
pub use ontology::PackSource;
pub use send::{SendOptions, SendStatus, Sent};
