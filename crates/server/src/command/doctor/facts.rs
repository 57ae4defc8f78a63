//! What is known of a cluster, as it was told.

use quarry_client::ClockOffset;
use quarry_types::api::{Cluster, Entity, Health, Message, Node, Placement, Shard};

use super::samples::Samples;

/// A user's JSON.
pub(super) type Json = quarry_client::Json;

/// What is known of a cluster.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// The time here, in seconds since 1970.
    pub(super) now: u64,
    /// The cluster as the node knows it that knows most.
    pub(super) cluster: Cluster,
    /// Its shards, where some have no owner.
    pub(super) shards: Vec<Shard>,
    /// What each of its nodes says.
    pub(super) nodes: Vec<NodeFacts>,
    /// Messages that are set aside.
    pub(super) quarantined: Listed<String>,
    /// Messages that have been open for long.
    pub(super) lingering: Listed<String>,
    /// Entities whose mailboxes are full, as far as they were found, with how many messages wait.
    pub(super) crowded: Vec<(String, u64)>,
}

/// The first of several, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listed<T> {
    /// The first of them.
    pub(super) first: Vec<T>,
    /// Whether there are more.
    pub(super) has_more: bool,
}

impl<T> Listed<T> {
    /// How many, for people: `3 messages`, or `100 messages or more`.
    pub(super) fn count(&self, noun: &str) -> String {
        let count = u64::try_from(self.first.len()).unwrap_or(u64::MAX);
        let counted = super::finding::counted(count, noun);
        if self.has_more { format!("{counted} or more") } else { counted }
    }
}

/// What is known of a node.
#[derive(Clone, Debug)]
pub(super) struct NodeFacts {
    /// As the cluster knows it.
    pub(super) node: Node,
    /// Whether it votes.
    pub(super) is_voter: bool,
    /// What it says, or why it was not heard.
    pub(super) told: Result<Told, String>,
}

/// What a node says.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// The cluster as it knows it.
    pub(super) cluster: Option<Cluster>,
    /// How it is.
    pub(super) health: Option<Health>,
    /// Its metrics.
    pub(super) samples: Samples,
    /// How its clock stands to the one here.
    pub(super) clock: Option<ClockOffset>,
}

impl Facts {
    /// What is known of the node.
    pub(super) fn node(&self, id: u64) -> Option<&NodeFacts> {
        self.nodes.iter().find(|facts| facts.node.id == id)
    }

    /// The nodes that say something.
    pub(super) fn heard(&self) -> impl Iterator<Item = (u64, &Told)> {
        self.nodes.iter().filter_map(|facts| Some((facts.node.id, facts.told.as_ref().ok()?)))
    }
}

/// What is known of a message.
#[derive(Clone, Debug)]
pub(super) struct MessageFacts {
    /// The message.
    pub(super) message: Message<Json>,
    /// Its entity; none where it was not told.
    pub(super) entity: Option<Entity>,
    /// The first message of its entity that is open, where that is another.
    pub(super) head: Option<Message<Json>>,
}

/// What is known of an entity.
#[derive(Clone, Debug)]
pub(super) struct EntityFacts {
    /// Where it lives.
    pub(super) placement: Placement,
    /// The entity; none where nothing is stored of it.
    pub(super) entity: Option<Entity>,
}
