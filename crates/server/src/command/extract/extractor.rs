//! Who reads the texts.

use std::sync::Arc;

use quarry_client::{Client, SendOptions, SendStatus};
use quarry_extract::{Embedded, Options, Submission, graph::Graph, pack::Ontologies};
use quarry_types::{Address, EntityId, EntityType, IdempotencyKey, Method, Tenant};

use crate::{
    cli::Global,
    command::connection::connect,
    failure::{Exit, Failure},
};

/// Reads texts.
pub(crate) enum Extractor {
    /// The cluster: each text once, however often it is asked.
    Server(Client),
    /// This process.
    Here(Embedded),
}

/// A checked submission.
pub(crate) struct Work {
    submission: Submission,
    request_id: String,
}

impl Extractor {
    /// The server that is named, or the one of this machine; without one, this process.
    ///
    /// # Errors
    /// Where there is no such ontology, or a URL is wrong.
    pub(crate) async fn choose(
        global: &Global,
        ontology: &str,
        ontologies: &Ontologies,
    ) -> Result<Self, Failure> {
        let known = ontologies.get(ontology);
        let known = known.map_err(|error| Failure::new(Exit::NotFound, error.to_string()))?;
        let client = connect(global)?;
        if global.url.is_some() || client.ready().await.is_ok() {
            return Ok(Self::Server(client));
        }
        Ok(Self::Here(Embedded::induce(Arc::clone(&known))))
    }

    /// Reads one text.
    ///
    /// # Errors
    /// Where the server does not answer, or refuses.
    pub(crate) async fn extract(&self, work: Work) -> Result<Graph, Failure> {
        match self {
            Self::Server(client) => ask(client, work).await,
            Self::Here(embedded) => {
                let mut graph = embedded.extract(&work.submission.text, &Default::default());
                graph.request_id = work.request_id;
                Ok(graph)
            }
        }
    }
}

impl Work {
    /// `text`, checked.
    ///
    /// # Errors
    /// Names what is wrong with it.
    pub(crate) fn new(
        text: String,
        ontology: &str,
        ontologies: &Ontologies,
    ) -> Result<Self, Failure> {
        let submission = Submission {
            text,
            ontology_id: ontology.to_owned(),
            options: Options::default(),
            document_id: None,
            request_id: None,
        };
        let checked = submission.check(Tenant::default_tenant().as_str(), ontologies);
        let checked = checked.map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
        Ok(Self { submission, request_id: checked.request_id })
    }
}

/// Asks the entity of the submission; again under the same key while nobody answers.
async fn ask(client: &Client, work: Work) -> Result<Graph, Failure> {
    let address = Address {
        tenant: Tenant::default_tenant(),
        entity_type: EntityType::new("KGExtractor").map_err(anyhow::Error::from)?,
        id: EntityId::new(&work.request_id).map_err(anyhow::Error::from)?,
    };
    let method = Method::new("ExtractFromText").map_err(anyhow::Error::from)?;
    let key = IdempotencyKey::new(&work.request_id).map_err(anyhow::Error::from)?;
    let payload = serde_json::to_value(&work.submission).map_err(anyhow::Error::from)?;
    let options = SendOptions { key: Some(key), ..SendOptions::default() };
    let deadline = options.timeout;
    let sent = client.send_retrying(&address, &method, Some(&payload), options, deadline).await?;
    match sent.status {
        SendStatus::Done(graph) => Ok(serde_json::from_value(graph).map_err(anyhow::Error::from)?),
        SendStatus::Accepted => {
            Err(Failure::new(Exit::Unavailable, "the text was accepted and not read yet"))
        }
    }
}
