//! What every node hosts.

use std::sync::Arc;

use quarry::runtime::{Registry, RegistryBuilder};
use quarry_extract::{ExtractionWork, KGExtractor, pack::Ontologies};
use quarry_ports::Metrics;
use quarry_services::{Counter, Register};

use crate::failure::Failure;

/// Entity types, what they know, and the metrics that they count in.
pub(crate) struct Hosted {
    metrics: Metrics,
    ontologies: Arc<Ontologies>,
    types: RegistryBuilder,
}

impl Hosted {
    /// The built-in entity types.
    ///
    /// # Errors
    /// Where a built-in ontology is wrong; tests make sure that none is.
    pub(crate) fn built_in() -> Result<Self, Failure> {
        let metrics = Metrics::new().map_err(anyhow::Error::from)?;
        let ontologies = Arc::new(Ontologies::built_in().map_err(anyhow::Error::from)?);
        let work = ExtractionWork::new(Arc::clone(&ontologies), metrics.clone());
        let extractor = KGExtractor::new(Arc::clone(&ontologies));
        let types = Registry::builder()
            .with(Counter::default())
            .with(Register::default())
            .with(extractor)
            .with(work);
        Ok(Self { metrics, ontologies, types })
    }

    /// One more type.
    pub(crate) fn with<E: quarry::prelude::Entity>(self, entity: E) -> Self {
        Self { types: self.types.with(entity), ..self }
    }

    /// The metrics, the ontologies, and the registry of all types.
    pub(crate) fn build(self) -> (Metrics, Arc<Ontologies>, Registry) {
        (self.metrics, self.ontologies, self.types.build())
    }
}
