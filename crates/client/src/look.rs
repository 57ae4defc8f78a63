//! Reads, and the changes of an operator.

use std::time::Duration;

use quarry_types::{Address, MessageId, NodeId, ShardId, api};
use reqwest::Method;
use serde::de::DeserializeOwned;

use crate::{
    Client, ClientError,
    change::Change,
    client::{MARGIN, READ_TIMEOUT},
    exchange::Reply,
};

/// A user's JSON.
pub type Json = serde_json::Value;

/// How long the replacement of a voter may take: longer than the server tries it.
const REPLACE_TIMEOUT: Duration = Duration::from_secs(35);

/// Which messages to list.
#[derive(Clone, Debug, Default)]
pub struct MessageQuery {
    /// Only in this state.
    pub state: Option<api::MessageStatus>,
    /// Only of this entity.
    pub entity: Option<Address>,
    /// Only those accepted at least so long ago.
    pub older_than: Option<Duration>,
    /// How many; the server's choice where absent.
    pub limit: Option<u32>,
    /// Where to go on: `next` of the page before.
    pub cursor: Option<String>,
}

/// Which entities to list.
#[derive(Clone, Debug, Default)]
pub struct EntityQuery {
    /// Only of this type.
    pub entity_type: Option<String>,
    /// How many; the server's choice where absent.
    pub limit: Option<u32>,
    /// Where to go on: `next` of the page before.
    pub cursor: Option<String>,
}

impl Client {
    /// State and outcome of a message, after waiting up to `wait` for its end.
    pub async fn message(
        &self,
        message_id: MessageId,
        wait: Option<Duration>,
    ) -> Result<api::Message<Json>, ClientError> {
        let parameters: Vec<_> =
            wait.map(|wait| ("wait", milliseconds(wait))).into_iter().collect();
        let timeout = wait.map_or(READ_TIMEOUT, |wait| wait + MARGIN);
        self.read(&["v1", "messages", &message_id.to_string()], &parameters, timeout).await
    }

    /// A page of messages, newest first.
    pub async fn messages(
        &self,
        query: &MessageQuery,
    ) -> Result<api::Page<api::Message<Json>>, ClientError> {
        let state = query.state.map(|state| match state {
            api::MessageStatus::Open => "open".to_owned(),
            api::MessageStatus::Delayed => "delayed".to_owned(),
            api::MessageStatus::Quarantined => "quarantined".to_owned(),
            api::MessageStatus::Finished => "finished".to_owned(),
        });
        let parameters = given([
            ("state", state),
            ("entity", query.entity.as_ref().map(ToString::to_string)),
            ("older_than", query.older_than.map(milliseconds)),
            ("limit", query.limit.map(|limit| limit.to_string())),
            ("cursor", query.cursor.clone()),
        ]);
        self.read(&["v1", "messages"], &parameters, READ_TIMEOUT).await
    }

    /// A page of entities, in order of type and id.
    pub async fn entities(
        &self,
        query: &EntityQuery,
    ) -> Result<api::Page<api::EntitySummary>, ClientError> {
        let parameters = given([
            ("type", query.entity_type.clone()),
            ("limit", query.limit.map(|limit| limit.to_string())),
            ("cursor", query.cursor.clone()),
        ]);
        self.read(&["v1", "entities"], &parameters, READ_TIMEOUT).await
    }

    /// One entity: owner, state, queue, last error.
    pub async fn entity(&self, address: &Address) -> Result<api::Entity, ClientError> {
        let (entity_type, id) = (address.entity_type.as_str(), address.id.as_str());
        self.read(&["v1", "entities", entity_type, id], &[], READ_TIMEOUT).await
    }

    /// Where an entity lives, and why.
    pub async fn placement(&self, address: &Address) -> Result<api::Placement, ClientError> {
        let (entity_type, id) = (address.entity_type.as_str(), address.id.as_str());
        self.read(&["v1", "placement", entity_type, id], &[], READ_TIMEOUT).await
    }

    /// How far an extraction is.
    pub async fn extraction(&self, request_id: &str) -> Result<api::Extraction, ClientError> {
        self.read(&["v1", "extractions", request_id], &[], READ_TIMEOUT).await
    }

    /// The graph of an extraction.
    pub async fn graph(&self, request_id: &str) -> Result<Json, ClientError> {
        self.read(&["v1", "extractions", request_id, "graph"], &[], READ_TIMEOUT).await
    }

    /// The entity types and their methods.
    pub async fn types(&self) -> Result<api::Types, ClientError> {
        self.read(&["v1", "types"], &[], READ_TIMEOUT).await
    }

    /// The cluster as the answering node knows it.
    pub async fn cluster(&self) -> Result<api::Cluster, ClientError> {
        self.read(&["v1", "cluster"], &[], READ_TIMEOUT).await
    }

    /// All shards.
    pub async fn shards(&self) -> Result<api::Shards, ClientError> {
        self.read(&["v1", "cluster", "shards"], &[], READ_TIMEOUT).await
    }

    /// What would change hands if these nodes were lost; with none, what is still to come.
    pub async fn plan(&self, if_lost: &[NodeId]) -> Result<api::Plan, ClientError> {
        let lost = (!if_lost.is_empty()).then(|| listed(if_lost));
        self.read(&["v1", "cluster", "plan"], &given([("if_lost", lost)]), READ_TIMEOUT).await
    }

    /// What changed hands lately, newest first.
    pub async fn moves(&self) -> Result<api::Moves, ClientError> {
        self.read(&["v1", "cluster", "moves"], &[], READ_TIMEOUT).await
    }

    /// Moves all shards away from nodes, at least one; from all or from none; idempotent.
    pub async fn drain(&self, nodes: &[NodeId]) -> Result<api::Change, ClientError> {
        self.change_nodes(nodes, "drain").await
    }

    /// Lets nodes take shards again; all or none; idempotent.
    pub async fn undrain(&self, nodes: &[NodeId]) -> Result<api::Change, ClientError> {
        self.change_nodes(nodes, "undrain").await
    }

    /// Lets `new` vote in the place of `old`, whose process has ended; idempotent. It takes as long as
    /// the new voter needs for the log.
    pub async fn replace_voter(
        &self,
        old: NodeId,
        new: NodeId,
    ) -> Result<api::VoterReplaced, ClientError> {
        let body = serde_json::to_vec(&api::ReplaceVoter { old: old.0, new: new.0 })
            .map_err(|error| ClientError::Invalid { reason: error.to_string() })?;
        let change = Change {
            method: Method::POST,
            segments: &["v1", "cluster", "voters:replace"],
            key: None,
            body: Some(("application/json", body.into())),
            timeout: REPLACE_TIMEOUT,
        };
        self.change(&change).await
    }

    /// Lets an entity type that was never used live on one group of runners; idempotent.
    pub async fn bind_type(
        &self,
        entity_type: &str,
        group: &str,
    ) -> Result<api::Bound, ClientError> {
        let (entity_type, group) = (entity_type.to_owned(), group.to_owned());
        let body = serde_json::to_vec(&api::Binding { entity_type, group })
            .map_err(|error| ClientError::Invalid { reason: error.to_string() })?;
        let change = Change {
            method: Method::POST,
            segments: &["v1", "cluster", "types:bind"],
            key: None,
            body: Some(("application/json", body.into())),
            timeout: REPLACE_TIMEOUT,
        };
        self.change(&change).await
    }

    /// Puts two shards of half the slots in the place of one; idempotent.
    pub async fn split_shard(&self, shard: ShardId) -> Result<api::Split, ClientError> {
        self.post(&["v1", "cluster", "shards", &format!("{shard}:split")]).await
    }

    /// Whether the first base that answers takes work; all checks with it.
    pub async fn ready(&self) -> Result<api::Health, ClientError> {
        self.health("readyz", Some(("verbose", "true".to_owned()))).await
    }

    /// How the node of the first base that answers is.
    pub async fn healthz(&self) -> Result<api::Health, ClientError> {
        self.health("healthz", None).await
    }

    /// The metrics of the node of the first base that answers, as text.
    pub async fn metrics(&self) -> Result<String, ClientError> {
        let reply = self.first_answer("metrics", &[]).await?;
        if !reply.status.is_success() {
            return Err(ClientError::of(reply.problem(), None));
        }
        Ok(String::from_utf8_lossy(&reply.body).into_owned())
    }

    /// What the first base says that answers at all, in the order in which they were named.
    pub(crate) async fn first_answer(
        &self,
        route: &str,
        parameters: &[(&str, String)],
    ) -> Result<Reply, ClientError> {
        let mut last = ClientError::Unavailable { reason: "no base URL".to_owned() };
        for index in 0..self.bases().len() {
            let request = self.request(index, Method::GET, &[route], parameters)?;
            match self.exchange(request.timeout(READ_TIMEOUT)).await {
                Ok(reply) => return Ok(reply),
                Err(error) => last = self.unanswered(error),
            }
        }
        Err(last)
    }

    /// Bad health is told as a problem that holds it.
    async fn health(
        &self,
        route: &str,
        parameter: Option<(&str, String)>,
    ) -> Result<api::Health, ClientError> {
        let parameters: Vec<_> = parameter.into_iter().collect();
        let reply = self.first_answer(route, &parameters).await?;
        let error = match reply.document() {
            Ok(health) => return Ok(health),
            Err(error) => error,
        };
        if let Ok(ill) = serde_json::from_slice::<api::IllHealth>(&reply.body) {
            return Ok(ill.into());
        }
        Err(serde_json::from_slice(&reply.body)
            .map_or(error, |problem| ClientError::of(problem, None)))
    }

    async fn change_nodes(&self, nodes: &[NodeId], what: &str) -> Result<api::Change, ClientError> {
        self.post(&["v1", "cluster", "nodes", &listed(nodes), what]).await
    }

    async fn post<T: DeserializeOwned>(&self, segments: &[&str]) -> Result<T, ClientError> {
        let (method, timeout) = (Method::POST, READ_TIMEOUT);
        self.change(&Change { method, segments, key: None, body: None, timeout }).await
    }
}

fn listed(nodes: &[NodeId]) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

pub(crate) fn given<const N: usize>(
    parameters: [(&'static str, Option<String>); N],
) -> Vec<(&'static str, String)> {
    parameters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// A duration as the interface takes it.
pub(crate) fn milliseconds(duration: Duration) -> String {
    format!("{}ms", duration.as_millis().max(1))
}
