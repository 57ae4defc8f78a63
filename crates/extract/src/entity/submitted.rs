//! `KGExtractor/<requestId>`: one submission.

use std::{sync::Arc, time::Duration};

use quarry::{prelude::*, types::duration_in_words};

use super::{
    ontology::StoredOntology,
    work::{ExtractionWork, Task, Worked},
};
use crate::{
    event::{Event, Stage},
    graph::{Grade, Graph},
    pack::{Edition, Library, UnknownOntology},
    submission::{Checked, Submission},
};

/// Has a submission's text read, and keeps the graph under its request id and for its document:
/// asked again, the stored graph is answered. The chunks of its reply are [`Event`]s. Those of a run
/// that extracts are recorded in its journal; what is told again is not.
pub struct KGExtractor {
    library: Arc<Library>,
}

/// What is kept of a submission.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Extracted {
    fingerprint: Option<String>,
    graph: Option<Graph>,
}

impl KGExtractor {
    /// An extractor for a node with this library. It needs [`ExtractionWork`] and, for ontologies
    /// that were put, [`StoredOntology`] beside it.
    pub fn new(library: Arc<Library>) -> Self {
        Self { library }
    }

    /// The id that an ontology goes by.
    fn ontology_id(&self, submission: &Submission) -> String {
        let own = self.library.own().get(&submission.ontology_id);
        own.map_or_else(|_| submission.ontology_id.clone(), |own| own.id().to_owned())
    }

    /// The version that the submission is extracted by: the one that it names, that of the graph that
    /// it has in part, or the one that its ontology's id stands for. A run that is repeated is told
    /// the same, whatever was put meanwhile.
    async fn edition(
        &self,
        submission: &Submission,
        partly: Option<&Graph>,
        context: &Context,
    ) -> Result<Edition, HandlerError> {
        let named = submission.ontology_version.as_deref();
        let named = named.or(partly.map(|graph| graph.ontology_version.as_str()));
        let own = self.library.own().get(&submission.ontology_id);
        let id = self.ontology_id(submission);
        let version = match (own, named) {
            (Ok(own), None) => own.version().to_owned(),
            (Ok(own), Some(named)) if named != own.version() => {
                let message = format!("ontology {id} is of version {}, not {named}", own.version());
                return Err(HandlerError::fail("OntologyError", message));
            }
            (_, Some(named)) => named.to_owned(),
            (Err(unknown), None) => Self::current(&unknown, context).await?,
        };
        Ok(Edition { tenant: context.address().tenant.as_str().to_owned(), id, version })
    }

    /// The version that an id stands for, of an ontology that is not built in.
    async fn current(unknown: &UnknownOntology, context: &Context) -> Result<String, HandlerError> {
        let fail = || HandlerError::fail("OntologyError", unknown.to_string());
        let stored = context.entity::<StoredOntology>(&unknown.id).map_err(|_| fail())?;
        context.call(&stored, "Resolve", &()).await.map_err(|error| match error {
            HandlerError::Final(failure) if failure.code == StoredOntology::MISSING => fail(),
            error => error,
        })
    }
}

/// A submission with the edition that it is extracted by.
struct Asked {
    submission: Submission,
    checked: Checked,
    edition: Edition,
}

/// The graph of the work, unless that takes longer than the submission allows. A run that is taken
/// over begins its time anew.
async fn in_time(asked: Asked, context: &Context) -> Result<Graph, HandlerError> {
    let limit = asked.checked.timeout;
    tokio::select! {
        // Before the call's own patience, which may end at the same moment.
        biased;
        () = tokio::time::sleep(limit) => {
            let message = format!(
                "the extraction took longer than {}; its work goes on: ask again for its graph",
                duration_in_words(limit)
            );
            Err(HandlerError::fail("TimeoutError", message))
        }
        extracted = extract(asked, context) => extracted,
    }
}

/// The graph of the work, as this submission's.
async fn extract(asked: Asked, context: &Context) -> Result<Graph, HandlerError> {
    let Asked { submission, checked: Checked { parameters, .. }, edition } = asked;
    let key = submission.work_key(&edition, &parameters);
    let work = context.entity::<ExtractionWork>(&key)?;
    context.record(&Event::StageStarted { stage: Stage::Extract, work: Some(key) }).await?;
    let Submission { text, document_id, .. } = submission;
    let Edition { id: ontology_id, version: ontology_version, .. } = edition;
    let task = Task { text, ontology_id, ontology_version, parameters };
    let mut graph = match context.call(&work, "Extract", &task).await? {
        Worked::Graph(graph) => *graph,
        Worked::Failed(failure) => return Err(HandlerError::Final(failure)),
    };
    context.address().id.as_str().clone_into(&mut graph.request_id);
    graph.document_id = document_id;
    context.record(&Event::StageCompleted { stage: Stage::Extract }).await?;
    Ok(graph)
}

#[entity]
impl KGExtractor {
    type State = Extracted;
    /// The seed's maxIdleTime.
    const IDLE_AFTER: Option<Duration> = Some(Duration::from_mins(5));

    /// Extracts, unless that was done; answers the graph.
    #[method(name = "ExtractFromText")]
    async fn extract_from_text<'a>(
        &self,
        state: &'a mut Extracted,
        #[body] submission: Submission,
        context: &Context,
    ) -> Result<&'a Graph, HandlerError> {
        let checked = submission.check();
        let checked =
            checked.map_err(|error| HandlerError::fail(error.code(), error.to_string()))?;
        let ontology_id = self.ontology_id(&submission);
        let fingerprint = submission.fingerprint(&ontology_id, &checked.parameters);
        if state.fingerprint.as_ref().is_some_and(|known| *known != fingerprint) {
            let message = "this request id was used before with another text, ontology or document";
            return Err(HandlerError::fail("request_reused", message));
        }
        let request_id = context.address().id.as_str().to_owned();
        let started = Event::Started { request_id };
        let known = state.graph.take_if(|graph| graph.grade != Grade::Partial);
        if let Some(graph) = known {
            for event in [started].into_iter().chain(Event::of_graph(&graph)) {
                context.emit(&event).await?;
            }
            return Ok(state.graph.insert(graph));
        }
        context.record(&started).await?;
        state.fingerprint = Some(fingerprint);
        let extracted = async {
            let edition = self.edition(&submission, state.graph.as_ref(), context).await?;
            in_time(Asked { submission, checked, edition }, context).await
        };
        let extracted = extracted.await;
        if let Err(HandlerError::Final(failure)) = &extracted {
            let error = format!("{}: {}", failure.code, failure.message);
            context.record(&Event::Failed { error }).await?;
        }
        let graph = extracted?;
        for event in Event::of_graph(&graph) {
            context.record(&event).await?;
        }
        Ok(state.graph.insert(graph))
    }

    /// Removes what was recorded of the extraction; that it was done is the next entry.
    #[method(name = "DestroyJournal")]
    async fn destroy_journal(_: &mut Extracted, context: &Context) -> Result<(), HandlerError> {
        context.clear_journal(&Event::JournalDestroyed).await
    }

    /// The stored graph; a failure `NoResult` where there is none.
    #[method(name = "GetCachedResult")]
    fn cached_result(state: &Extracted) -> Result<&Graph, HandlerError> {
        state.graph.as_ref().ok_or_else(|| {
            HandlerError::fail("NoResult", "nothing was extracted under this request id")
        })
    }
}
