//! Who reads the texts.

use std::sync::Arc;

use futures_util::StreamExt;
use quarry_client::{Client, Json, PackSource, SendOptions, SendStatus};
use quarry_extract::{
    Embedded, Options, Submission,
    event::Event,
    graph::{Graph, verify},
    pack::{Edition, Format, Ontology, Source},
};
use quarry_types::{
    Tenant,
    api::MessageOutcome,
    stream::{End, ExtractionEvent, ExtractionTold, Last},
};

use crate::{
    cli::Global,
    command::{
        connection::again,
        ontology::{is_file, load, server},
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
    Here { embedded: Box<Embedded> },
}

impl Extractor {
    /// The server that is named, or the one of this machine; without one, or for a pack's file,
    /// this process.
    ///
    /// # Errors
    /// Where a URL is wrong, or this process has no such ontology.
    pub(crate) async fn choose(global: &Global, ontology: &str) -> Result<Self, Failure> {
        if is_file(ontology) {
            if global.url.is_some() {
                let message = "a server knows ontologies by their ids";
                let advice = "leave out --url, or put the pack there: quarry ontology put";
                return Err(Failure::new(Exit::Usage, message).advise(advice));
            }
        } else if let Some(client) = server(global).await? {
            return Ok(Self { ontology: ontology.to_owned(), reader: Reader::Server(client) });
        }
        let known = load(ontology)?;
        let ontology = known.id().to_owned();
        let embedded = Box::new(Embedded::induce(known));
        Ok(Self { ontology, reader: Reader::Here { embedded } })
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
            ontology_version: None,
            options: Options::default(),
            document_id: None,
            request_id: None,
        };
        let graph = match (&self.reader, observer) {
            (Reader::Server(client), None) => ask(client, &submission).await?,
            (Reader::Server(client), Some(observer)) => {
                follow(client, &submission, observer).await?
            }
            (Reader::Here { embedded }, observer) => {
                let mut nobody = |_| {};
                let observer = observer.unwrap_or(&mut nobody);
                read(embedded, &submission, observer)?
            }
        };
        verify(&graph, text).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        Ok(graph)
    }

    /// The ontology that `graph` was made by, with the IRIs of its terms.
    ///
    /// # Errors
    /// Where the version that made it is not kept any more.
    pub(crate) async fn ontology_of(&self, graph: &Graph) -> Result<Arc<Ontology>, Failure> {
        let Graph { ontology_id: id, ontology_version: version, .. } = graph;
        let client = match &self.reader {
            Reader::Here { embedded, .. } => return Ok(Arc::clone(embedded.ontology())),
            Reader::Server(client) => client,
        };
        let own = load(id).ok().filter(|own| own.version() == version);
        if let Some(own) = own {
            return Ok(own);
        }
        let PackSource { media_type, text } = client.ontology_source(id, version).await?;
        let unknown = || Failure::new(Exit::Failed, format!("a pack of {media_type} is not known"));
        let format = Format::of_media_type(&media_type).ok_or_else(unknown)?;
        let ontology = Source { format, text }.compile(Some(id)).map_err(anyhow::Error::from)?;
        Ok(Arc::new(ontology))
    }
}

fn read(
    embedded: &Embedded,
    submission: &Submission,
    observer: &mut dyn FnMut(Event),
) -> Result<Graph, Failure> {
    let checked = submission.check();
    let checked = checked.map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    let ontology = embedded.ontology();
    let edition = Edition {
        tenant: Tenant::default_tenant().as_str().to_owned(),
        id: ontology.id().to_owned(),
        version: ontology.version().to_owned(),
    };
    let request_id = submission.request_id(&edition, &checked.parameters);
    observer(Event::Started { request_id: request_id.clone() });
    let mut graph = embedded.extract_observed(&submission.text, &checked.parameters, observer);
    graph.request_id = request_id;
    Event::of_graph(&graph).for_each(observer);
    Ok(graph)
}

/// Asks the server; again under the same key while nobody answers.
async fn ask(client: &Client, submission: &Submission) -> Result<Graph, Failure> {
    let submission = serde_json::to_value(submission).map_err(anyhow::Error::from)?;
    let options = SendOptions::default();
    let deadline = options.timeout;
    let sent = client.extract_retrying(&submission, options, deadline).await.map_err(again)?;
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
    let told = client.extract_streaming(&submission, options, deadline).await;
    let (_, told) = told.map_err(again)?;
    let mut told = std::pin::pin!(told);
    while let Some(next) = told.next().await {
        match next.map_err(again)? {
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
