//! Knowledge graphs: what extraction answers, and how parts of it merge.
//!
//! [`Graph`] is the public JSON. [`Fragment`] is what one chunk contributes; fragments merge in
//! any order and grouping to the same whole, and only then get entity ids.

mod finish;
mod fragment;
mod rdf;
mod verify;

pub use finish::Heading;
pub use fragment::{EntityKey, EntityPart, FactPart, FactTarget, Fragment, RefusedFact};
pub use quarry::types::graph::{
    Entity, FailedChunk, Grade, Graph, Literal, Mention, Object, Provenance, Refused, Relation,
    Span, Usage,
};
pub use rdf::{RdfError, ntriples, triples, turtle};
pub use verify::{Unverified, verify};
