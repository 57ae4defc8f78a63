//! Who reads the texts.

use quarry_client::{Client, SendOptions, SendStatus};
use quarry_extract::{Embedded, Options, Submission, graph::Graph, pack::Ontologies};
use quarry_types::Tenant;

use crate::{
    cli::Global,
    command::connection::connect,
    failure::{Exit, Failure},
};

/// Reads texts by one ontology.
pub(crate) struct Extractor {
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
    /// The server that is named, or the one of this machine; without one, this process.
    ///
    /// # Errors
    /// Where a URL is wrong, or this process has no such ontology.
    pub(crate) async fn choose(global: &Global, ontology: &str) -> Result<Self, Failure> {
        let ontology = ontology.to_owned();
        let client = connect(global)?;
        if global.url.is_some() || client.ready().await.is_ok() {
            return Ok(Self { ontology, reader: Reader::Server(client) });
        }
        let ontologies = Ontologies::built_in().map_err(anyhow::Error::from)?;
        let known = ontologies.get(&ontology);
        let known = known.map_err(|error| Failure::new(Exit::NotFound, error.to_string()))?;
        let embedded = Box::new(Embedded::induce(known));
        Ok(Self { ontology, reader: Reader::Here { embedded, ontologies } })
    }

    /// Reads one text.
    ///
    /// # Errors
    /// Where the text is refused, or the server does not answer.
    pub(crate) async fn extract(&self, text: &str) -> Result<Graph, Failure> {
        let submission = Submission {
            text: text.to_owned(),
            ontology_id: self.ontology.clone(),
            options: Options::default(),
            document_id: None,
            request_id: None,
        };
        match &self.reader {
            Reader::Server(client) => ask(client, &submission).await,
            Reader::Here { embedded, ontologies } => read(embedded, ontologies, &submission),
        }
    }
}

fn read(
    embedded: &Embedded,
    ontologies: &Ontologies,
    submission: &Submission,
) -> Result<Graph, Failure> {
    let checked = submission.check(Tenant::default_tenant().as_str(), ontologies);
    let checked = checked.map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    let mut graph = embedded.extract(&submission.text, &checked.parameters);
    graph.request_id = checked.request_id;
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
