//! The embedded extractor: induced from a pack, no network, no model file.

use std::sync::Arc;

use crate::choose::Passage;
use crate::event::{Event, Stage};
use crate::graph::{Fragment, Graph, Heading};
use crate::induce::Model;
use crate::pack::Ontology;
use crate::text::{Chunk, Source, chunks};
use crate::work::Parameters;

/// Name and version of the embedded extractor, as provenance carries it.
pub const EMBEDDED: &str = "embedded/1";

/// A chunk with its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it stands in the whole text.
    pub chunk: Chunk,
    /// What stands there.
    pub text: String,
}

impl Piece {
    fn of(source: &Source<'_>, chunk: Chunk) -> Self {
        let at = |offset: u32| usize::try_from(offset).unwrap_or(usize::MAX);
        Self { chunk, text: source.slice(at(chunk.start), at(chunk.end)).to_owned() }
    }
}

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

    /// Cuts a text into the pieces that are extracted by themselves.
    pub fn pieces(text: &str, parameters: &Parameters) -> Vec<Piece> {
        let source = Source::new(text);
        chunks(text, parameters.chunk_size, parameters.overlap)
            .into_iter()
            .map(|chunk| Piece::of(&source, chunk))
            .collect()
    }

    /// Extracts from one chunk of a text. The answer depends on the chunk's own text only.
    pub fn extract_chunk(&self, text: &str, chunk: Chunk, parameters: &Parameters) -> Fragment {
        self.extract_piece(&Piece::of(&Source::new(text), chunk), parameters)
    }

    /// Extracts from one piece.
    pub fn extract_piece(&self, piece: &Piece, parameters: &Parameters) -> Fragment {
        let passage = Passage::read(&self.ontology, &self.model, &piece.text);
        passage.decide(piece.chunk, parameters.min_confidence)
    }

    /// Extracts from a whole text: every chunk, merged.
    pub fn extract(&self, text: &str, parameters: &Parameters) -> Graph {
        self.extract_observed(text, parameters, &mut |_| {})
    }

    /// Extracts from a whole text and tells how far it is: the stages and their progress.
    pub fn extract_observed(
        &self,
        text: &str,
        parameters: &Parameters,
        observer: &mut dyn FnMut(Event),
    ) -> Graph {
        observer(Event::begun(Stage::Chunk));
        let pieces = Self::pieces(text, parameters);
        observer(Event::StageCompleted { stage: Stage::Chunk });
        observer(Event::begun(Stage::Extract));
        let (mut whole, mut told) = (Fragment::default(), None);
        for (done, piece) in (1_usize..).zip(&pieces) {
            whole = whole.merge(self.extract_piece(piece, parameters));
            let progress = Event::chunks_read(done, pieces.len());
            if told.as_ref() != Some(&progress) {
                observer(progress.clone());
                told = Some(progress);
            }
        }
        observer(Event::StageCompleted { stage: Stage::Extract });
        observer(Event::begun(Stage::Merge));
        let graph = whole.finish(self.heading());
        debug_assert_eq!(crate::graph::verify(&graph, text), Ok(()));
        observer(Event::StageCompleted { stage: Stage::Merge });
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
