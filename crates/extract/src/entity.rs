//! `KGExtractor/<requestId>`: one submission, extracted once.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use quarry::{ports::Metrics, prelude::*};

use crate::{
    Embedded,
    graph::{Grade, Graph},
    pack::{Ontologies, Ontology},
    submission::{Checked, Submission},
};

/// Extracts a submission's graph and keeps it: asked again, the stored graph is answered.
pub struct KGExtractor {
    ontologies: Arc<Ontologies>,
    metrics: Metrics,
    /// Induced extractors by ontology version: at most one per ontology that is known.
    induced: Mutex<BTreeMap<String, Embedded>>,
}

/// What is kept of a submission.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Extracted {
    fingerprint: Option<String>,
    graph: Option<Graph>,
}

/// Durable methods.
#[derive(Debug, Deserialize)]
pub enum Command {
    /// Extracts, unless that was done; answers the graph.
    ExtractFromText(Submission),
}

/// Volatile methods.
#[derive(Debug, Deserialize)]
pub enum Query {
    /// The stored graph; a failure `NoResult` where there is none.
    GetCachedResult,
}

impl KGExtractor {
    /// An extractor over these ontologies.
    pub fn new(ontologies: Arc<Ontologies>, metrics: Metrics) -> Self {
        Self { ontologies, metrics, induced: Mutex::default() }
    }

    fn embedded(&self, ontology: &Arc<Ontology>) -> Embedded {
        let mut induced = self.induced.lock().unwrap_or_else(PoisonError::into_inner);
        induced
            .entry(ontology.version().to_owned())
            .or_insert_with(|| Embedded::induce(Arc::clone(ontology)))
            .clone()
    }

    /// Reads the text, off the threads that serve other entities.
    async fn extract(
        &self,
        checked: &Checked,
        submission: Submission,
    ) -> Result<Graph, HandlerError> {
        let timer = self.metrics.extraction_seconds.start_timer();
        let (embedded, parameters) = (self.embedded(&checked.ontology), checked.parameters.clone());
        let text = submission.text;
        let read = tokio::task::spawn_blocking(move || embedded.extract(&text, &parameters)).await;
        let mut graph = read?;
        timer.observe_duration();
        graph.request_id.clone_from(&checked.request_id);
        graph.document_id = submission.document_id;
        self.metrics.extractions.with_label_values(&[grade(graph.grade)]).inc();
        Ok(graph)
    }
}

impl Entity for KGExtractor {
    const TYPE: &'static str = "KGExtractor";
    type State = Extracted;
    type Command = Command;
    type Query = Query;

    async fn handle(
        &self,
        state: &mut Extracted,
        Command::ExtractFromText(submission): Command,
        context: &Context,
    ) -> Result<Reply, HandlerError> {
        let tenant = context.address().tenant.as_str();
        let mut checked = submission
            .check(tenant, &self.ontologies)
            .map_err(|error| HandlerError::fail("invalid_submission", error.to_string()))?;
        context.address().id.as_str().clone_into(&mut checked.request_id);
        if state.fingerprint.as_ref().is_some_and(|known| *known != checked.fingerprint) {
            let message = "this request id was used before with another text, ontology or document";
            return Err(HandlerError::fail("request_reused", message));
        }
        if state.graph.is_none() {
            state.graph = Some(self.extract(&checked, submission).await?);
            state.fingerprint = Some(checked.fingerprint);
        }
        Reply::of(&state.graph)
    }

    async fn read(
        &self,
        state: &Extracted,
        Query::GetCachedResult: Query,
        _: &Context,
    ) -> Result<Reply, HandlerError> {
        match &state.graph {
            Some(graph) => Reply::of(graph),
            None => {
                Err(HandlerError::fail("NoResult", "nothing was extracted under this request id"))
            }
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
