//! The two identities of an extraction, each an entity, and the ontologies that were put.
//!
//! [`ExtractionWork`] is what is computed: text, ontology, parameters. It computes once, whoever
//! asks how often. [`KGExtractor`] is what was submitted: a request id with its document; it calls
//! the work, and keeps and tells the answer.

mod ontology;
mod submitted;
mod versions;
mod work;

pub use ontology::{Described, Expected, Placed, Put, Shown, StoredOntology};
pub use submitted::KGExtractor;
pub use work::ExtractionWork;
