//! Streams: what happens to a message or an extraction, told as it is stored.
//!
//! A `tail` reads a message's chunks page by page, each when the reader has taken the one before,
//! so that a slow reader holds one page. `chunks` and `events` make events of them, and `form`
//! writes events as the client asked: server-sent, or one JSON document per line. Every event has
//! an id that a stream goes on behind, on whichever node, also after its runner was lost. A stream
//! that has told everything ends with the event `end`; one without was cut. A `journal` is told in
//! the same way, and has no end but that of its connection.

mod chunks;
mod events;
mod form;
mod journal;
mod position;
mod submission;
mod tail;
mod work;

pub(crate) use chunks::{read, tell};
pub(crate) use events::{follow, resume, show};
pub(crate) use form::{Form, Streaming};
pub(crate) use journal::{destroy as destroy_journal, read as read_journal};
pub(crate) use submission::same;
