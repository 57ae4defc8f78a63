//! The ontologies that a process knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Ontology, PackError};

/// The packs that are compiled in: id and TOML.
pub const BUILT_IN: [(&str, &str); 3] = [
    ("company", include_str!("../../packs/company.toml")),
    ("film", include_str!("../../packs/film.toml")),
    ("person", include_str!("../../packs/person.toml")),
];

/// No ontology has this id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown ontology `{id}`; there are: {}", known.join(", "))]
pub struct UnknownOntology {
    /// The id asked for.
    pub id: String,
    /// The ids that exist, sorted.
    pub known: Vec<String>,
}

/// Ontologies by id.
#[derive(Clone, Debug, Default)]
pub struct Ontologies {
    by_id: BTreeMap<String, Arc<Ontology>>,
}

impl Ontologies {
    /// The built-in packs.
    pub fn built_in() -> Result<Self, PackError> {
        let mut ontologies = Self::default();
        for (_, text) in BUILT_IN {
            ontologies.put(Ontology::from_toml(text)?);
        }
        Ok(ontologies)
    }

    /// Adds an ontology, or replaces the one of its id; answers the one replaced.
    pub fn put(&mut self, ontology: Ontology) -> Option<Arc<Ontology>> {
        self.by_id.insert(ontology.id().to_owned(), Arc::new(ontology))
    }

    /// Removes an ontology.
    pub fn remove(&mut self, id: &str) -> Option<Arc<Ontology>> {
        self.by_id.remove(id)
    }

    /// The ontology of an id or alias, or an error that lists what exists. An id goes before an
    /// alias; of several ontologies with an alias the first by id answers.
    pub fn get(&self, id: &str) -> Result<Arc<Ontology>, UnknownOntology> {
        let aliased = || self.iter().find(|known| known.aliases().iter().any(|alias| alias == id));
        self.by_id.get(id).or_else(aliased).cloned().ok_or_else(|| UnknownOntology {
            id: id.to_owned(),
            known: self.by_id.keys().cloned().collect(),
        })
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Ontology>> {
        self.by_id.values()
    }
}
