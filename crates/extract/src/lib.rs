//! Knowledge-graph extraction: text and ontology in, graph out.
//!
//! [`pack`] holds ontologies with their example sentences; [`Embedded`] is induced from one and
//! reads text; [`graph`] is what comes out, with the provenance of every fact. The crate's library
//! is pure: no clock, no randomness, no I/O, and the same input gives the same graph.
//! [`evaluation`] measures an extractor; [`event`] is what an extraction tells on its way, and
//! [`KGExtractor`] with [`ExtractionWork`] are the entities that run one on a cluster;
//! [`StoredOntology`] keeps a pack that was put.
//!
//! The way of a text: `text` cuts it into chunks, sentences and tokens; `span` finds candidates;
//! `reading` puts them into context; `choose` decides classes, references and facts with what
//! `induce` learned from the pack; [`graph`] merges chunks and verifies every span.

mod choose;
mod embedded;
mod entity;
pub mod evaluation;
pub mod event;
pub mod graph;
mod induce;
pub mod pack;
mod reading;
mod span;
mod submission;
mod text;
mod work;

pub use embedded::{EMBEDDED, Embedded, Piece};
pub use entity::{
    Described, Expected, ExtractionWork, KGExtractor, Placed, Put, Shown, StoredOntology,
};
pub use submission::{
    Checked, Extractor, InvalidOption, InvalidSubmission, MAX_TEXT, Options, Submission, TimeLimit,
};
pub use text::{Chunk, NotText, Place, chunks, decode};
pub use work::{Parameters, work_key};
