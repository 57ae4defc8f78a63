//! Who owns shards, and how long they are without an owner that lives, as a node tells it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use quarry_types::{MoveReason, api};
use tokio::task::JoinSet;

use crate::{
    client::Client,
    cluster::Cluster,
    wait::{Stopwatch, until},
};

/// How often the shards are looked at.
const LOOK: Duration = Duration::from_millis(50);

/// The shards as the node at `url` knows them.
pub async fn shards(client: &Client, url: &str) -> Result<Vec<api::Shard>> {
    let page: api::Shards =
        serde_json::from_str(&client.text(&format!("{url}/v1/cluster/shards")).await?)?;
    Ok(page.shards)
}

/// Waits until every node says that all nodes own shards, that none is moving, and that none is to move.
pub async fn at_rest(cluster: &Cluster, within: Duration) -> Result<()> {
    let urls = cluster.urls();
    until("shards at every node, and all at rest", within, async || {
        for url in &urls {
            let page = cluster.client().text(&format!("{url}/v1/cluster")).await.ok()?;
            let page: api::Cluster = serde_json::from_str(&page).ok()?;
            let plan = cluster.client().text(&format!("{url}/v1/cluster/plan")).await.ok()?;
            let plan: api::Plan = serde_json::from_str(&plan).ok()?;
            let all_own = page.nodes.iter().all(|node| node.shards > 0);
            let stands = page.shards.moving == 0 && page.shards.unowned == 0;
            if !(all_own && stands && plan.moves.is_empty() && page.nodes.len() == urls.len()) {
                return None;
            }
        }
        Some(())
    })
    .await
}

/// Who owned shards and led the coordinator at a moment, to be compared with a later one.
#[derive(Debug)]
pub struct Standing {
    /// The log index of the coordinator.
    applied: u64,
    /// Who leads and in which term, as each node tells it.
    terms: Vec<(Option<u64>, u64)>,
    /// The node that leads.
    pub leader: u16,
    /// One that does not.
    pub other: u16,
}

impl Standing {
    /// What stands now.
    pub async fn of(cluster: &Cluster) -> Result<Self> {
        let (applied, terms) = (moves(cluster).await?.applied, terms(cluster).await?);
        let leader = terms.first().and_then(|(leader, _)| *leader).context("nobody leads")?;
        let leader = u16::try_from(leader)?;
        let other = cluster.ids_beside(leader).into_iter().next().context("a node beside it")?;
        Ok(Self { applied, terms, leader, other })
    }

    /// That no shard changed hands since but for balance, and nobody was elected.
    pub async fn lasts(&self, cluster: &Cluster) -> Result<()> {
        self.owners_last(cluster).await?;
        self.leads_on(cluster).await
    }

    /// That nobody was elected since.
    pub async fn leads_on(&self, cluster: &Cluster) -> Result<()> {
        let terms = terms(cluster).await?;
        ensure!(terms == self.terms, "somebody was elected: {:?}, then {terms:?}", self.terms);
        Ok(())
    }

    /// That no shard changed hands since but for balance, and none was given up.
    pub async fn owners_last(&self, cluster: &Cluster) -> Result<()> {
        let taken = self.taken(cluster).await?;
        ensure!(taken.is_empty(), "shards were taken over: {taken:?}");
        Ok(())
    }

    /// That nobody took a shard of another since but for balance, and nobody was elected. A node may
    /// have given up its own for a moment.
    pub async fn nobody_takes(&self, cluster: &Cluster) -> Result<()> {
        let mut taken = self.taken(cluster).await?;
        taken.retain(|entry| entry.from != Some(entry.to));
        ensure!(taken.is_empty(), "shards were taken over: {taken:?}");
        self.leads_on(cluster).await
    }

    async fn taken(&self, cluster: &Cluster) -> Result<Vec<api::Move>> {
        let mut taken = moves(cluster).await?.moves;
        taken.retain(|entry| entry.index > self.applied && entry.reason != MoveReason::Balanced);
        Ok(taken)
    }
}

async fn terms(cluster: &Cluster) -> Result<Vec<(Option<u64>, u64)>> {
    let mut terms = Vec::new();
    for url in cluster.urls() {
        let page = cluster.client().text(&format!("{url}/v1/cluster")).await?;
        let page: api::Cluster = serde_json::from_str(&page)?;
        terms.push((page.leader, page.term));
    }
    Ok(terms)
}

/// What changed hands, as the first node tells it.
async fn moves(cluster: &Cluster) -> Result<api::Moves> {
    let page = format!("{}/v1/cluster/moves", cluster.url(1)?);
    Ok(serde_json::from_str(&cluster.client().text(&page).await?)?)
}

/// Whether a node that is not among `dead` owns the shard.
pub fn is_owned(shard: &api::Shard, dead: &BTreeSet<u16>) -> bool {
    let is_dead = |owner: u64| u16::try_from(owner).is_ok_and(|owner| dead.contains(&owner));
    shard.owner.is_some_and(|owner| !is_dead(owner))
}

/// Looks at all shards again and again.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    run: JoinSet<Result<Duration>>,
}

impl Watch {
    /// Begins to look at the shards as the node at `url` tells of them, now that the nodes `dead` do
    /// not live any more.
    pub fn start(client: Client, url: String, dead: BTreeSet<u16>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stop);
        let mut run = JoinSet::new();
        run.spawn(async move {
            let (mut longest, mut without) = (Duration::ZERO, BTreeMap::new());
            let mut looks = tokio::time::interval(LOOK);
            while !is_over.load(Ordering::Relaxed) {
                looks.tick().await;
                for shard in shards(&client, &url).await? {
                    if is_owned(&shard, &dead) {
                        without.remove(&shard.id);
                    } else {
                        let since = without.entry(shard.id).or_insert_with(Stopwatch::start);
                        longest = longest.max(since.elapsed());
                    }
                }
            }
            Ok(longest)
        });
        Self { stop, run }
    }

    /// Ends; the longest time that a shard was seen without an owner that lives.
    pub async fn end(mut self) -> Result<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        let longest = self.run.join_next().await.context("nobody watches")?;
        longest.context("the watch panicked")?
    }
}
