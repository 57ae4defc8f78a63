//! What every node hosts.

use std::sync::Arc;

use quarry::runtime::{Registry, RegistryBuilder};
use quarry_extract::{ExtractionWork, KGExtractor, StoredOntology, pack::Library};
use quarry_ports::Metrics;
use quarry_services::{Counter, Publisher, Register};

use crate::failure::Failure;

/// Entity types, what they know, and the metrics that they count in.
pub(crate) struct Hosted {
    metrics: Metrics,
    library: Arc<Library>,
    types: RegistryBuilder,
}

impl Hosted {
    /// The built-in entity types.
    ///
    /// # Errors
    /// Where a built-in ontology is wrong; tests make sure that none is.
    pub(crate) fn built_in() -> Result<Self, Failure> {
        let metrics = Metrics::new().map_err(anyhow::Error::from)?;
        let library = Arc::new(Library::built_in().map_err(anyhow::Error::from)?);
        let work = ExtractionWork::new(Arc::clone(&library), metrics.clone());
        let extractor = KGExtractor::new(Arc::clone(&library));
        let stored = StoredOntology::new(Arc::clone(&library));
        let types = Registry::builder()
            .with(Counter::default())
            .with(Register::default())
            .with(Publisher::default())
            .with(extractor)
            .with(work)
            .with(stored);
        Ok(Self { metrics, library, types })
    }

    /// One more type.
    pub(crate) fn with<E: quarry::prelude::Entity>(self, entity: E) -> Self {
        Self { types: self.types.with(entity), ..self }
    }

    /// The metrics, the library, and the registry of all types.
    pub(crate) fn build(self) -> (Metrics, Arc<Library>, Registry) {
        (self.metrics, self.library, self.types.build())
    }
}
