//! The two identities of an extraction, each an entity.
//!
//! [`ExtractionWork`] is what is computed: text, ontology, parameters. It computes once, whoever
//! asks how often. [`KGExtractor`] is what was submitted: a request id with its document; it calls
//! the work, and keeps and tells the answer.

mod induced;
mod submitted;
mod work;

pub use submitted::KGExtractor;
pub use work::ExtractionWork;
