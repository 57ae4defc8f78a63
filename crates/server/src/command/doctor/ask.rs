//! Asks every node that can be reached.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use quarry_client::{Client, ClientError, Credentials, MessageQuery};
use quarry_ports::Host;
use quarry_types::{
    Address, MessageId,
    api::{Cluster, Entity, MessageStatus, Node, Shard},
};

use super::{
    facts::{EntityFacts, Facts, Listed, MessageFacts, NodeFacts, Told},
    samples::Samples,
};
use crate::{
    cli::Global,
    command::connection::{address, connect},
    failure::Failure,
};

/// How long one node may take to say how it is.
const WITHIN: Duration = Duration::from_secs(8);
/// The most that a server gives at a time.
const PAGE: u32 = 100;
/// How many pages are looked through for entities whose mailboxes are full.
const PAGES: usize = 20;
/// How many of those are asked for that have the most messages.
const CROWDED: usize = 5;
/// Messages that are open for longer are told.
const LONG: Duration = Duration::from_mins(5);

/// Who asks.
pub(super) struct Asker {
    client: Client,
    credentials: Option<Credentials>,
    scheme: String,
}

impl Asker {
    /// Asks the server that `global` names.
    pub(super) fn new(global: &Global) -> Result<Self, Failure> {
        // The configuration is looked at where no server answers.
        let client = connect(&Global { config: None, ..global.clone() })?;
        let credentials = global.token.as_deref().map(Credentials::bearer);
        let scheme = client
            .bases()
            .first()
            .map_or_else(|| "http".to_owned(), |base| base.scheme().to_owned());
        Ok(Self { client, credentials, scheme })
    }

    fn at(&self, http: &str) -> Result<Client, ClientError> {
        Client::new([format!("{}://{http}", self.scheme)], self.credentials.clone())
    }

    /// What is known of the cluster.
    pub(super) async fn facts(&self) -> Result<Facts, ClientError> {
        let first = self.client.cluster().await?;
        let answers = join_all(first.nodes.iter().map(|node| self.node(node))).await;
        let mut told: BTreeMap<u64, Result<Told, String>> =
            first.nodes.iter().map(|node| node.id).zip(answers).collect();
        let views = told.values().filter_map(|told| told.as_ref().ok()?.cluster.clone());
        let best = views.chain([first]).max_by_key(|seen| (seen.has_quorum, seen.applied));
        let Some(cluster) = best else {
            return Err(ClientError::Unavailable { reason: "no node told its view".to_owned() });
        };
        let shards = self.shards(&cluster).await;
        let nodes: Vec<NodeFacts> = cluster
            .nodes
            .iter()
            .map(|node| NodeFacts {
                node: node.clone(),
                is_voter: cluster.voters.contains(&node.id),
                told: told.remove(&node.id).unwrap_or_else(|| Err("it has just joined".to_owned())),
            })
            .collect();
        let full = nodes.iter().filter_map(|node| node.told.as_ref().ok());
        let full: u64 = full.map(|told| told.samples.count("quarry_full_mailboxes")).sum();
        let crowded = if full == 0 { Vec::new() } else { self.crowded().await };
        let now = Host::system().clock.wall().0 / 1_000;
        Ok(Facts {
            now: u64::try_from(now).unwrap_or(0),
            shards,
            nodes,
            quarantined: self.listed(MessageStatus::Quarantined, None).await,
            lingering: self.listed(MessageStatus::Open, Some(LONG)).await,
            crowded,
            cluster,
        })
    }

    /// What a node says of itself, or why it was not heard.
    async fn node(&self, node: &Node) -> Result<Told, String> {
        let client = self.at(&node.http).map_err(|error| error.to_string())?;
        let late = || Err(format!("no answer from {} within {} s", node.http, WITHIN.as_secs()));
        tokio::time::timeout(WITHIN, ask(&client, node.id)).await.unwrap_or_else(|_| late())
    }

    /// The shards as the node knows them that the view is of, or as any does.
    async fn shards(&self, cluster: &Cluster) -> Vec<Shard> {
        if cluster.shards.unowned == 0 {
            return Vec::new();
        }
        let node = cluster.nodes.iter().find(|node| node.id == cluster.node);
        if let Some(client) = node.and_then(|node| self.at(&node.http).ok())
            && let Ok(Ok(told)) = tokio::time::timeout(WITHIN, client.shards()).await
        {
            return told.shards;
        }
        self.client.shards().await.map(|told| told.shards).unwrap_or_default()
    }

    /// The newest messages in a state.
    async fn listed(&self, state: MessageStatus, older_than: Option<Duration>) -> Listed<String> {
        let limit = Some(PAGE);
        let query =
            MessageQuery { state: Some(state), older_than, limit, ..MessageQuery::default() };
        // Where they cannot be read, the store is told to be ill.
        let Ok(page) = self.client.messages(&query).await else { return Listed::default() };
        let first = page.items.into_iter().map(|message| message.message_id).collect();
        Listed { first, has_more: page.next.is_some() }
    }

    /// The entities whose mailboxes are full, of those with the most messages.
    async fn crowded(&self) -> Vec<(String, u64)> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for state in [MessageStatus::Open, MessageStatus::Delayed] {
            let limit = Some(PAGE);
            let mut query = MessageQuery { state: Some(state), limit, ..MessageQuery::default() };
            for _ in 0..PAGES {
                let Ok(page) = self.client.messages(&query).await else { break };
                for message in page.items {
                    *counts
                        .entry(format!("{}/{}", message.entity_type, message.id))
                        .or_default() += 1;
                }
                query.cursor = page.next;
                if query.cursor.is_none() {
                    break;
                }
            }
        }
        let mut most: Vec<(u64, String)> =
            counts.into_iter().map(|(entity, count)| (count, entity)).collect();
        most.sort_unstable_by(|one, other| other.cmp(one));
        let mut crowded = Vec::new();
        for (_, entity) in most.into_iter().take(CROWDED) {
            let Ok(address) = address(&entity) else { continue };
            let memory = self.entity_at_owner(&address).await.ok().and_then(|seen| seen.memory);
            if let Some(memory) = memory.filter(|memory| memory.waiting >= memory.mailbox) {
                crowded.push((entity, memory.waiting));
            }
        }
        crowded
    }

    /// The entity as its owner sees it, or as any node does where the owner cannot be asked.
    async fn entity_at_owner(&self, address: &Address) -> Result<Entity, ClientError> {
        let seen = self.client.entity(address).await?;
        let owner = seen.placement.owner_http.as_deref().filter(|_| seen.memory.is_none());
        let Some(owner) = owner.and_then(|http| self.at(http).ok()) else { return Ok(seen) };
        let asked = tokio::time::timeout(WITHIN, owner.entity(address)).await;
        Ok(asked.ok().and_then(Result::ok).unwrap_or(seen))
    }

    /// What is known of a message; none where there is no such message.
    pub(super) async fn message(&self, id: MessageId) -> Result<Option<MessageFacts>, ClientError> {
        let message = match self.client.message(id, None).await {
            Ok(message) => message,
            Err(error) if is_missing(&error, "no_such_message") => return Ok(None),
            Err(error) => return Err(error),
        };
        let address = address(&format!("{}/{}", message.entity_type, message.id)).ok();
        let entity = match &address {
            Some(address) => self.entity_at_owner(address).await.ok(),
            None => None,
        };
        let open = entity.as_ref().map(|entity| entity.open.as_slice()).unwrap_or_default();
        let is_behind = open.contains(&message.message_id);
        let first = open.last().filter(|first| is_behind && **first != message.message_id);
        let head = match first.and_then(|first| first.parse().ok()) {
            Some(first) => self.client.message(first, None).await.ok(),
            None => None,
        };
        Ok(Some(MessageFacts { message, entity, head }))
    }

    /// What is known of an entity.
    pub(super) async fn entity(&self, address: &Address) -> Result<EntityFacts, ClientError> {
        match self.entity_at_owner(address).await {
            Ok(entity) => {
                Ok(EntityFacts { placement: entity.placement.clone(), entity: Some(entity) })
            }
            Err(error) if is_missing(&error, "no_such_entity") => {
                Ok(EntityFacts { placement: self.client.placement(address).await?, entity: None })
            }
            Err(error) => Err(error),
        }
    }
}

fn is_missing(error: &ClientError, code: &str) -> bool {
    error.problem().is_some_and(|problem| problem.code == code)
}

/// Asks one node for all that it says of itself.
async fn ask(client: &Client, id: u64) -> Result<Told, String> {
    let cluster: Cluster = client.cluster().await.map_err(|error| error.to_string())?;
    if cluster.node != id {
        return Err(format!("node {} answers at its address", cluster.node));
    }
    let (health, metrics, clock) =
        tokio::join!(client.healthz(), client.metrics(), client.clock_offset());
    Ok(Told {
        cluster: Some(cluster),
        health: health.ok(),
        samples: metrics.map(|page| Samples::parse(&page)).unwrap_or_default(),
        clock: clock.ok(),
    })
}
