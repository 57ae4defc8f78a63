//! Extractors that were induced, kept.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{Embedded, pack::Ontology};

/// How many are kept.
const MOST: usize = 64;

/// Extractors by version of their ontology. Above [`MOST`] all are dropped: they are induced again
/// in well under a second each.
#[derive(Debug, Default)]
pub(super) struct Induced {
    by_version: Mutex<BTreeMap<String, Embedded>>,
}

impl Induced {
    /// The extractor of an ontology. Takes as long as inducing it, the first time.
    pub(super) fn of(&self, ontology: &Arc<Ontology>) -> Embedded {
        let mut known = self.by_version.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(embedded) = known.get(ontology.version()) {
            return embedded.clone();
        }
        if known.len() >= MOST {
            known.clear();
        }
        let embedded = Embedded::induce(Arc::clone(ontology));
        known.insert(ontology.version().to_owned(), embedded.clone());
        embedded
    }
}
