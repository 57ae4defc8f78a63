//! `ExtractionWork/<work key>`: one text, read once.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use quarry::{ports::Metrics, prelude::*, types::Timestamp};
use tokio::task::JoinHandle;

use super::ontology::{Shown, StoredOntology};
use crate::{
    EMBEDDED, Embedded, Parameters, Piece,
    event::{Event, Stage},
    graph::{Fragment, Grade, Graph, Heading, verify},
    pack::{Edition, Library, Source, Unread},
    work_key,
};

/// Most bytes of a graph's JSON: what a reply or a state may have, less some room for the names that
/// a submission adds.
const LARGEST_GRAPH: usize = 8 * 1024 * 1024 - 16 * 1024;
/// How many chunks are read at a time.
const AT_A_TIME: usize = 5;

/// For how long a failure stands; then the work may be tried again.
const FAILED_FOR: Duration = Duration::from_mins(5);

/// Computes the graph of a text, without regard to who asks or for which document, and keeps it.
pub struct ExtractionWork {
    library: Arc<Library>,
    metrics: Metrics,
}

/// What is to be computed; it names the entity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// The text.
    pub text: String,
    /// The ontology's id.
    pub ontology_id: String,
    /// The ontology's version.
    pub ontology_version: String,
    /// What changes the outcome.
    pub parameters: Parameters,
}

/// What the work came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Worked {
    /// There is a graph.
    Graph(Box<Graph>),
    /// There is none.
    Failed(Failure),
}

/// What is kept of the work.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Run {
    /// How often it was computed.
    number: u32,
    /// What the last run came to.
    worked: Option<Worked>,
    /// When that was, in store time.
    ended_at: Timestamp,
}

impl Run {
    /// What stands: a whole graph for good, a failure for a while. What failed in part is tried again
    /// when it is asked for again.
    fn stands(&self, now: Timestamp) -> bool {
        match &self.worked {
            Some(Worked::Graph(graph)) => graph.grade != Grade::Partial,
            Some(Worked::Failed(_)) => now < self.ended_at.after(FAILED_FOR),
            None => false,
        }
    }
}

impl ExtractionWork {
    /// An extractor for a node with this library. For ontologies that were put it needs
    /// [`StoredOntology`] beside it.
    pub fn new(library: Arc<Library>, metrics: Metrics) -> Self {
        Self { library, metrics }
    }

    /// The extractor of the task's ontology, once the task is known to be this entity's.
    async fn extractor(&self, task: &Task, context: &Context) -> Result<Embedded, HandlerError> {
        let fail = |message: String| HandlerError::fail("OntologyError", message);
        let edition = Edition {
            tenant: context.address().tenant.as_str().to_owned(),
            id: task.ontology_id.clone(),
            version: task.ontology_version.clone(),
        };
        let key = work_key(&edition, &task.text, &task.parameters.hash(), EMBEDDED);
        if context.address().id.as_str() != key {
            let message = "the extractor changed since this work was named; submit the text again";
            return Err(fail(message.to_owned()));
        }
        let compiled = self.library.compiled(&edition, source(&edition, context)).await;
        let compiled = compiled.map_err(|unread| match unread {
            Unread::Source(error) => error,
            Unread::Pack(error) => fail(error.to_string()),
        })?;
        let embedded = self.library.embedded(&compiled).await;
        embedded.map_err(|error| fail(error.to_string()))
    }

    /// Computes, off the threads that serve other entities, and tells how far it is.
    async fn extract(
        &self,
        embedded: Embedded,
        task: Task,
        context: &Context,
    ) -> Result<Graph, HandlerError> {
        let timer = self.metrics.extraction_seconds.start_timer();
        context.emit(&Event::begun(Stage::Chunk)).await?;
        let Task { text, parameters, .. } = task;
        let cut = tokio::task::spawn_blocking(move || {
            let pieces = Embedded::pieces(&text, &parameters);
            (pieces, text, parameters)
        });
        let (pieces, text, parameters) = cut.await?;
        context.emit(&Event::StageCompleted { stage: Stage::Chunk }).await?;
        let heading = embedded.heading();
        let whole = read(&embedded, pieces, &parameters, context).await?;
        context.emit(&Event::begun(Stage::Merge)).await?;
        let merged = tokio::task::spawn_blocking(move || merge(whole, heading, &text));
        let mut graph = merged.await??;
        context.emit(&Event::StageCompleted { stage: Stage::Merge }).await?;
        context.address().id.as_str().clone_into(&mut graph.request_id);
        timer.observe_duration();
        self.metrics.extractions.with_label_values(&[grade(graph.grade)]).inc();
        Ok(graph)
    }
}

/// The pack of an ontology that was put, from the entity that keeps it.
async fn source(edition: &Edition, context: &Context) -> Result<Source, HandlerError> {
    let Edition { id, version, .. } = edition;
    let fail = |message: String| HandlerError::fail("OntologyError", message);
    let stored = context.entity::<StoredOntology>(id)?;
    let shown = context.read(&stored, "Show", &json!({ "version": version })).await;
    let shown: Shown = shown.map_err(|error| match error {
        HandlerError::Final(failure) if failure.code == StoredOntology::MISSING => fail(format!(
            "version {version} of ontology {id} is not kept any more; submit the text again"
        )),
        error => error,
    })?;
    shown.source().map_err(|error| fail(error.to_string()))
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
    context.emit(&Event::begun(Stage::Extract)).await?;
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
        let failed = |_| Fragment::failed(chunk, "the extractor failed on it".to_owned());
        let fragment = reading.await.unwrap_or_else(failed);
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
    type State = Run;

    /// Computes the graph, unless that was done; answers what it came to.
    #[method(name = "Extract")]
    async fn extract_once<'a>(
        &self,
        run: &'a mut Run,
        #[body] task: Box<Task>,
        context: &Context,
    ) -> Result<&'a Worked, HandlerError> {
        if !run.stands(context.now()) {
            // What is wrong with the ontology may be mended at once; what the extractor fails on it
            // fails on again.
            let embedded = self.extractor(&task, context).await?;
            let worked = match self.extract(embedded, *task, context).await {
                Ok(graph) => Worked::Graph(Box::new(graph)),
                Err(HandlerError::Final(failure)) => Worked::Failed(failure),
                Err(retry) => return Err(retry),
            };
            *run = Run {
                number: run.number.saturating_add(1),
                worked: Some(worked),
                ended_at: context.now(),
            };
        }
        let missing = || HandlerError::fail("NoResult", "the work came to nothing");
        run.worked.as_ref().ok_or_else(missing)
    }

    /// The graph; a failure `NoResult` where there is none.
    #[method(name = "GetGraph")]
    fn graph(run: &Run) -> Result<&Graph, HandlerError> {
        match &run.worked {
            Some(Worked::Graph(graph)) => Ok(graph),
            Some(Worked::Failed(failure)) => Err(HandlerError::Final(failure.clone())),
            None => Err(HandlerError::fail("NoResult", "this text was not extracted yet")),
        }
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
