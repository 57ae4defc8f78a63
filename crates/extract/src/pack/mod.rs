//! Ontology packs: classes, relations, example sentences with their triples.
//!
//! A pack is TOML or JSON of one shape. It is validated whole: every mistake is named with its
//! line, its place and what to do. Its version is its content's hash, so a changed pack is
//! another ontology and nothing computed from the old one needs invalidating.

mod model;
mod ontology;
mod parse;
mod places;
mod registry;
mod shown;
mod validate;

pub use model::{ClassSpec, ExampleSentence, Individual, Pack, RelationSpec, Triple};
pub use ontology::{Class, ClassId, Datatype, Ontology, Range, Relation, RelationId};
pub use parse::{PackError, Problem};
pub use registry::{BUILT_IN, Ontologies, UnknownOntology};
