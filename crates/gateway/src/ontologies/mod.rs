//! `/v1/ontologies`: what extractions may name. The built-in ones are part of every node; those that
//! were put are entities, `Ontology/<id>`, which are asked by current reads.

mod change;
mod find;
mod look;
mod tag;

pub(crate) use change::{put, remove};
pub(crate) use find::{compiled, edition};
pub(crate) use look::{list, show, source};
