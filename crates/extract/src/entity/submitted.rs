//! `KGExtractor/<requestId>`: one submission.

use std::sync::Arc;

use quarry::{prelude::*, types::duration_in_words};

use super::work::{ExtractionWork, Task};
use crate::{
    event::{Event, Stage},
    graph::{Grade, Graph},
    pack::Ontologies,
    submission::{Checked, Submission},
};

/// Has a submission's text read, and keeps the graph under its request id and for its document:
/// asked again, the stored graph is answered. The chunks of its reply are [`Event`]s.
pub struct KGExtractor {
    ontologies: Arc<Ontologies>,
}

/// What is kept of a submission.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Extracted {
    fingerprint: Option<String>,
    graph: Option<Graph>,
}

impl KGExtractor {
    /// An extractor over these ontologies. It needs [`ExtractionWork`] beside it.
    pub fn new(ontologies: Arc<Ontologies>) -> Self {
        Self { ontologies }
    }
}

/// The graph of the work, unless that takes longer than the submission allows. A run that is taken
/// over begins its time anew.
async fn in_time(
    checked: Checked,
    submission: Submission,
    context: &Context,
) -> Result<Graph, HandlerError> {
    let limit = checked.timeout;
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
        extracted = extract(checked, submission, context) => extracted,
    }
}

/// The graph of the work, as this submission's.
async fn extract(
    checked: Checked,
    submission: Submission,
    context: &Context,
) -> Result<Graph, HandlerError> {
    context.emit(&Event::StageStarted { stage: Stage::Extract }).await?;
    let work = context.entity::<ExtractionWork>(&checked.work_key)?;
    let Submission { text, document_id, .. } = submission;
    let ontology_id = checked.ontology.id().to_owned();
    let task = Task { text, ontology_id, parameters: checked.parameters };
    let mut graph: Graph = context.call(&work, "Extract", &task).await?;
    graph.request_id = checked.request_id;
    graph.document_id = document_id;
    context.emit(&Event::StageCompleted { stage: Stage::Extract }).await?;
    Ok(graph)
}

#[entity]
impl KGExtractor {
    type State = Extracted;

    /// Extracts, unless that was done; answers the graph.
    #[method(name = "ExtractFromText")]
    async fn extract_from_text<'a>(
        &self,
        state: &'a mut Extracted,
        #[body] submission: Submission,
        context: &Context,
    ) -> Result<&'a Graph, HandlerError> {
        let tenant = context.address().tenant.as_str();
        let mut checked = submission
            .check(tenant, &self.ontologies)
            .map_err(|error| HandlerError::fail(error.code(), error.to_string()))?;
        context.address().id.as_str().clone_into(&mut checked.request_id);
        if state.fingerprint.as_ref().is_some_and(|known| *known != checked.fingerprint) {
            let message = "this request id was used before with another text, ontology or document";
            return Err(HandlerError::fail("request_reused", message));
        }
        context.emit(&Event::Started { request_id: checked.request_id.clone() }).await?;
        let known = state.graph.take_if(|graph| graph.grade != Grade::Partial);
        let graph = if let Some(graph) = known {
            graph
        } else {
            state.fingerprint = Some(checked.fingerprint.clone());
            let extracted = in_time(checked, submission, context).await;
            if let Err(HandlerError::Final(failure)) = &extracted {
                let error = format!("{}: {}", failure.code, failure.message);
                context.emit(&Event::Failed { error }).await?;
            }
            extracted?
        };
        for event in Event::of_graph(&graph) {
            context.emit(&event).await?;
        }
        Ok(state.graph.insert(graph))
    }

    /// The stored graph; a failure `NoResult` where there is none.
    #[method(name = "GetCachedResult")]
    fn cached_result(state: &Extracted) -> Result<&Graph, HandlerError> {
        state.graph.as_ref().ok_or_else(|| {
            HandlerError::fail("NoResult", "nothing was extracted under this request id")
        })
    }
}
