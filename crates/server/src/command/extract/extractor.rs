//! Who reads the texts.

use std::sync::Arc;

use futures_util::StreamExt;
use quarry_client::{Client, Json, SendOptions, SendStatus};
use quarry_extract::{
    Embedded, Options, Submission,
    event::Event,
    graph::{Graph, verify},
    pack::{Ontologies, Ontology},
};
use quarry_types::{
    Tenant,
    api::MessageOutcome,
    stream::{End, ExtractionEvent, ExtractionTold, Last},
};

use crate::{
    cli::Global,
    command::{
        connection::connect,
        ontology::{is_file, load},
    },
    failure::{Exit, Failure},
};

/// Reads texts by one ontology.
pub(crate) struct Extractor {
    /// The id.
    ontology: String,
    reader: Reader,
}

enum Reader {
    /// The cluster: each text once, however often it is asked.
    Server(Client),
    /// This process.
    Here { embedded: Box<Embedded>, ontologies: Ontologies },
}

impl Extractor {
    /// The server that is named, or the one of this machine; without one, or for a pack's file,
    /// this process.
    ///
    /// # Errors
    /// Where a URL is wrong, or this process has no such ontology.
    pub(crate) async fn choose(global: &Global, ontology: &str) -> Result<Self, Failure> {
        let client = connect(global)?;
        if is_file(ontology) {
            if global.url.is_some() {
                let message = "a server knows ontologies by their ids";
                return Err(Failure::new(Exit::Usage, message).advise("leave out --url"));
            }
        } else if global.url.is_some() || client.ready().await.is_ok() {
            return Ok(Self { ontology: ontology.to_owned(), reader: Reader::Server(client) });
        }
        let known = load(ontology)?;
        let mut ontologies = Ontologies::default();
        ontologies.put(Ontology::clone(&known));
        let ontology = known.id().to_owned();
        let embedded = Box::new(Embedded::induce(known));
        Ok(Self { ontology, reader: Reader::Here { embedded, ontologies } })
    }

    /// Reads one text, and tells the observer, if there is one, what happens as it happens.
    ///
    /// # Errors
    /// Where the text is refused, or the server does not answer.
    pub(crate) async fn extract(
        &self,
        text: &str,
        observer: Option<&mut dyn FnMut(Event)>,
    ) -> Result<Graph, Failure> {
        let submission = Submission {
            text: text.to_owned(),
            ontology_id: self.ontology.clone(),
            options: Options::default(),
            document_id: None,
            request_id: None,
        };
        let graph = match (&self.reader, observer) {
            (Reader::Server(client), None) => ask(client, &submission).await?,
            (Reader::Server(client), Some(observer)) => {
                follow(client, &submission, observer).await?
            }
            (Reader::Here { embedded, ontologies }, observer) => {
                let mut nobody = |_| {};
                let observer = observer.unwrap_or(&mut nobody);
                read(embedded, ontologies, &submission, observer)?
            }
        };
        verify(&graph, text).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        Ok(graph)
    }

    /// The ontology that `graph` was made by, with the IRIs of its terms.
    ///
    /// # Errors
    /// Where this process does not know it.
    pub(crate) fn ontology_of(&self, graph: &Graph) -> Result<Arc<Ontology>, Failure> {
        let known = match &self.reader {
            Reader::Here { embedded, .. } => Arc::clone(embedded.ontology()),
            Reader::Server(_) => load(&graph.ontology_id)?,
        };
        if known.version() == graph.ontology_version {
            return Ok(known);
        }
        let message = format!(
            "the server's ontology {} is of version {}, which this program does not know",
            graph.ontology_id, graph.ontology_version
        );
        Err(Failure::new(Exit::Failed, message).advise("ask for --format json"))
    }
}

fn read(
    embedded: &Embedded,
    ontologies: &Ontologies,
    submission: &Submission,
    observer: &mut dyn FnMut(Event),
) -> Result<Graph, Failure> {
    let checked = submission.check(Tenant::default_tenant().as_str(), ontologies);
    let checked = checked.map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    observer(Event::Started { request_id: checked.request_id.clone() });
    let mut graph = embedded.extract_observed(&submission.text, &checked.parameters, observer);
    graph.request_id = checked.request_id;
    Event::of_graph(&graph).for_each(observer);
    Ok(graph)
}

/// Asks the server; again under the same key while nobody answers.
async fn ask(client: &Client, submission: &Submission) -> Result<Graph, Failure> {
    let submission = serde_json::to_value(submission).map_err(anyhow::Error::from)?;
    let options = SendOptions::default();
    let deadline = options.timeout;
    let sent = client.extract_retrying(&submission, options, deadline).await?;
    match sent.status {
        SendStatus::Done(graph) => Ok(serde_json::from_value(graph).map_err(anyhow::Error::from)?),
        SendStatus::Accepted => {
            Err(Failure::new(Exit::Unavailable, "the text was accepted and not read yet"))
        }
    }
}

/// Asks the server, and reads its events until the last.
async fn follow(
    client: &Client,
    submission: &Submission,
    observer: &mut dyn FnMut(Event),
) -> Result<Graph, Failure> {
    let submission = serde_json::to_value(submission).map_err(anyhow::Error::from)?;
    let options = SendOptions::default();
    let deadline = options.timeout;
    let (_, told) = client.extract_streaming(&submission, options, deadline).await?;
    let mut told = std::pin::pin!(told);
    while let Some(next) = told.next().await {
        match next? {
            ExtractionTold::Event(event) => event_of(event).into_iter().for_each(&mut *observer),
            ExtractionTold::Last(Last::End(end)) => return graph_of(end),
            ExtractionTold::Last(Last::Error(broken)) => {
                let message = format!("{} ({})", broken.detail, broken.code);
                return Err(Failure::new(Exit::Unavailable, message));
            }
        }
    }
    Err(Failure::new(Exit::Unavailable, "the stream of events stopped before its end"))
}

/// The event as the library knows it; none where it is about the stream, or a newer server's.
fn event_of(told: ExtractionEvent<Json>) -> Option<Event> {
    let mut event: serde_json::Map<String, Json> = told.members.into_iter().collect();
    event.insert("type".to_owned(), told.kind.into());
    serde_json::from_value(event.into()).ok()
}

fn graph_of(end: End<Json>) -> Result<Graph, Failure> {
    match end.outcome {
        Some(MessageOutcome::Success { reply }) => {
            Ok(serde_json::from_value(reply).map_err(anyhow::Error::from)?)
        }
        Some(MessageOutcome::Failure { code, message }) => {
            Err(Failure::new(Exit::Failed, format!("{message} ({code})")))
        }
        None => {
            let message = format!("the extraction was set aside: {}", end.errors.join("; "));
            Err(Failure::new(Exit::Unavailable, message))
        }
    }
}
