//! `ExtractionWork/<work key>`: one text, read once.

use std::{collections::VecDeque, sync::Arc};

use quarry::{ports::Metrics, prelude::*};
use tokio::task::JoinHandle;

use super::induced::Induced;
use crate::{
    EMBEDDED, Embedded, Parameters, Piece,
    event::{Event, Stage},
    graph::{Fragment, Grade, Graph, Heading, verify},
    pack::Ontologies,
    work_key,
};

/// Most bytes of a graph's JSON: what a reply or a state may have, less some room for the names that
/// a submission adds.
const LARGEST_GRAPH: usize = 8 * 1024 * 1024 - 16 * 1024;
/// How many chunks are read at a time.
const AT_A_TIME: usize = 5;

/// Computes the graph of a text, without regard to who asks or for which document, and keeps it.
pub struct ExtractionWork {
    ontologies: Arc<Ontologies>,
    metrics: Metrics,
    induced: Arc<Induced>,
}

/// What is to be computed; it names the entity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// The text.
    pub text: String,
    /// The ontology's id.
    pub ontology_id: String,
    /// What changes the outcome.
    pub parameters: Parameters,
}

impl ExtractionWork {
    /// An extractor over these ontologies.
    pub fn new(ontologies: Arc<Ontologies>, metrics: Metrics) -> Self {
        Self { ontologies, metrics, induced: Arc::default() }
    }

    /// Computes, off the threads that serve other entities, and tells how far it is.
    async fn extract(&self, task: Box<Task>, context: &Context) -> Result<Graph, HandlerError> {
        let ontology = self
            .ontologies
            .get(&task.ontology_id)
            .map_err(|error| HandlerError::fail("OntologyError", error.to_string()))?;
        let key = context.address().id.as_str();
        let tenant = context.address().tenant.as_str();
        if key != work_key(tenant, &task.text, &ontology, &task.parameters.hash(), EMBEDDED) {
            let message = "the ontology or the extractor changed since this work was named; \
                           submit the text again";
            return Err(HandlerError::fail("OntologyError", message));
        }
        let timer = self.metrics.extraction_seconds.start_timer();
        context.emit(&Event::StageStarted { stage: Stage::Chunk }).await?;
        let Task { text, parameters, .. } = *task;
        let induced = Arc::clone(&self.induced);
        let cut = tokio::task::spawn_blocking(move || {
            let embedded = induced.of(&ontology);
            let pieces = Embedded::pieces(&text, &parameters);
            (embedded, pieces, text, parameters)
        });
        let (embedded, pieces, text, parameters) = cut.await?;
        context.emit(&Event::StageCompleted { stage: Stage::Chunk }).await?;
        let heading = embedded.heading();
        let whole = read(&embedded, pieces, &parameters, context).await?;
        context.emit(&Event::StageStarted { stage: Stage::Merge }).await?;
        let merged = tokio::task::spawn_blocking(move || merge(whole, heading, &text));
        let mut graph = merged.await??;
        context.emit(&Event::StageCompleted { stage: Stage::Merge }).await?;
        key.clone_into(&mut graph.request_id);
        timer.observe_duration();
        self.metrics.extractions.with_label_values(&[grade(graph.grade)]).inc();
        Ok(graph)
    }
}

/// The graph of a whole text, every span verified.
fn merge(whole: Fragment, heading: Heading, text: &str) -> Result<Graph, HandlerError> {
    let graph = whole.finish(heading);
    verify(&graph, text).map_err(|error| HandlerError::fail("unverified", error.to_string()))?;
    let bytes = serde_json::to_vec(&graph).map_or(usize::MAX, |json| json.len());
    if bytes > LARGEST_GRAPH {
        let message = format!(
            "the graph has {} facts in {bytes} bytes, over the limit of {LARGEST_GRAPH}: split the \
             text into several documents",
            graph.relations.len()
        );
        return Err(HandlerError::fail("graph_too_large", message));
    }
    Ok(graph)
}

/// Reads the pieces, a few at a time; what breaks on one is its failure alone.
async fn read(
    embedded: &Embedded,
    pieces: Vec<Piece>,
    parameters: &Parameters,
    context: &Context,
) -> Result<Fragment, HandlerError> {
    context.emit(&Event::StageStarted { stage: Stage::Extract }).await?;
    let all = pieces.len();
    let mut waiting = pieces.into_iter();
    let mut running: VecDeque<(u32, JoinHandle<Fragment>)> = VecDeque::new();
    let (mut whole, mut done, mut told) = (Fragment::default(), 0_usize, None);
    loop {
        while running.len() < AT_A_TIME
            && let Some(piece) = waiting.next()
        {
            let (embedded, parameters) = (embedded.clone(), parameters.clone());
            let chunk = piece.chunk.index;
            let read = move || embedded.extract_piece(&piece, &parameters);
            running.push_back((chunk, tokio::task::spawn_blocking(read)));
        }
        let Some((chunk, reading)) = running.pop_front() else { break };
        let fragment = if let Ok(fragment) = reading.await {
            fragment
        } else {
            let error = "the extractor failed on it".to_owned();
            context.emit(&Event::ChunkFailed { chunk, error: error.clone() }).await?;
            Fragment::failed(chunk, error)
        };
        whole = whole.merge(fragment);
        done += 1;
        let progress = Event::chunks_read(done, all);
        if told.as_ref() != Some(&progress) {
            context.emit(&progress).await?;
            told = Some(progress);
        }
    }
    context.emit(&Event::StageCompleted { stage: Stage::Extract }).await?;
    Ok(whole)
}

#[entity]
impl ExtractionWork {
    type State = Option<Graph>;

    /// Computes the graph, unless that was done; answers it.
    #[method(name = "Extract")]
    async fn extract_once<'a>(
        &self,
        state: &'a mut Option<Graph>,
        #[body] task: Box<Task>,
        context: &Context,
    ) -> Result<&'a Graph, HandlerError> {
        // What failed in part is tried again when it is asked for again.
        let known = state.take_if(|graph| graph.grade != Grade::Partial);
        let graph = match known {
            Some(graph) => graph,
            None => self.extract(task, context).await?,
        };
        Ok(state.insert(graph))
    }

    /// The graph; a failure `NoResult` where there is none.
    #[method(name = "GetGraph")]
    fn graph(state: &Option<Graph>) -> Result<&Graph, HandlerError> {
        let missing = || HandlerError::fail("NoResult", "this text was not extracted yet");
        state.as_ref().ok_or_else(missing)
    }
}

const fn grade(grade: Grade) -> &'static str {
    match grade {
        Grade::Complete => "complete",
        Grade::Partial => "partial",
        Grade::EntitiesOnly => "entities_only",
        Grade::CachedFallback => "cached_fallback",
        Grade::Empty => "empty",
    }
}
