//! A typed HTTP client of Quarry.
//!
//! [`Client::send`] sends once and tells the three answers apart: done ([`Sent`]), refused and
//! unknown ([`ClientError`]). [`Client::send_retrying`] repeats under the same key until a
//! deadline, over all base URLs, and never calls *refused* what an earlier try may have done. Where
//! nobody has ever answered it ends after a few tries.
//! [`Client::send_batch`] does so with up to 1,000 messages in one request.
//! [`Client::chunks`], [`Client::events`] and [`Client::follow_journal`] follow what is told of a
//! message, an extraction or an entity, and go on by themselves where a stream is cut.

mod batch;
mod change;
mod client;
mod clock;
mod error;
mod exchange;
mod follow;
mod journal;
mod look;
mod ontology;
mod operate;
mod retry;
mod send;
mod sent_events;

#[cfg(test)]
mod tests;

pub use batch::BatchResults;
pub use client::{Client, Credentials};
pub use clock::ClockOffset;
pub use error::ClientError;
pub use journal::JournalQuery;
pub use look::{EntityQuery, Json, MessageQuery};
pub use ontology::PackSource;
pub use operate::BulkIntervention;
pub use send::{SendOptions, SendStatus, Sent};
