//! The embedded extractor: induced from a pack, no network, no model file.

use std::sync::Arc;

use crate::choose::Passage;
use crate::graph::{Fragment, Graph, Heading};
use crate::induce::Model;
use crate::pack::Ontology;
use crate::text::{Chunk, Source, chunks};
use crate::work::Parameters;

/// Name and version of the embedded extractor, as provenance carries it.
pub const EMBEDDED: &str = "embedded/1";

/// An extractor induced from one pack. Building it takes well under a second; it is then shared.
#[derive(Clone, Debug)]
pub struct Embedded {
    ontology: Arc<Ontology>,
    model: Arc<Model>,
}

impl Embedded {
    /// Induces an extractor from the pack's examples, lists and labels.
    pub fn induce(ontology: Arc<Ontology>) -> Self {
        let model = Arc::new(Model::induce(&ontology));
        Self { ontology, model }
    }

    /// The ontology it was induced from.
    pub fn ontology(&self) -> &Arc<Ontology> {
        &self.ontology
    }

    /// What the pack lacks, and what that costs.
    pub fn notes(&self) -> &[String] {
        &self.model.notes
    }

    /// Extracts from one chunk of a text. The answer depends on the chunk's own text only.
    pub fn extract_chunk(&self, text: &str, chunk: Chunk, parameters: &Parameters) -> Fragment {
        self.extract_piece(&Source::new(text), chunk, parameters)
    }

    fn extract_piece(
        &self,
        source: &Source<'_>,
        chunk: Chunk,
        parameters: &Parameters,
    ) -> Fragment {
        let at = |offset: u32| usize::try_from(offset).unwrap_or(usize::MAX);
        let piece = source.slice(at(chunk.start), at(chunk.end));
        let passage = Passage::read(&self.ontology, &self.model, piece);
        passage.decide(chunk, parameters.min_confidence)
    }

    /// Extracts from a whole text: every chunk, merged.
    pub fn extract(&self, text: &str, parameters: &Parameters) -> Graph {
        let source = Source::new(text);
        let whole = chunks(text, parameters.chunk_size, parameters.overlap)
            .into_iter()
            .map(|chunk| self.extract_piece(&source, chunk, parameters))
            .fold(Fragment::default(), Fragment::merge);
        let graph = whole.finish(self.heading());
        debug_assert_eq!(crate::graph::verify(&graph, text), Ok(()));
        graph
    }

    /// A heading that names the ontology; the submission's part is the caller's.
    pub fn heading(&self) -> Heading {
        Heading {
            ontology_id: self.ontology.id().to_owned(),
            ontology_version: self.ontology.version().to_owned(),
            ..Heading::default()
        }
    }
}
