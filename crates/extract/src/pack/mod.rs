//! Ontology packs: classes, relations, example sentences with their triples.
//!
//! A pack is TOML or JSON of one shape; a vocabulary in Turtle and an ontology in the layout of
//! Text2KGBench are read as packs without examples. It is validated whole: every mistake is named
//! with its line, its place and what to do. Its version is its content's hash, so a changed pack is
//! another ontology and nothing computed from the old one needs invalidating.

mod benchmark;
mod decode;
mod library;
mod model;
mod notes;
mod ontology;
mod packed;
mod parse;
mod places;
mod registry;
mod shown;
mod source;
mod terms;
mod turtle;
mod validate;
mod vocabulary;

pub use library::{Edition, Library, Uncompiled, Unread};
pub use model::{ClassSpec, ExampleSentence, Individual, Pack, RelationSpec, Triple};
pub use ontology::{Class, ClassId, Datatype, Ontology, Range, Relation, RelationId};
pub use packed::{NotPacked, Packed};
pub use parse::{PackError, Problem};
pub use registry::{BUILT_IN, Ontologies, UnknownOntology};
pub use source::{Format, MAX_SOURCE, Source};
pub use validate::is_id;
