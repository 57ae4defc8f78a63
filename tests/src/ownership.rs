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

/// What looks at all shards showed so far of who was granted what.
#[derive(Debug, Default)]
struct Grants {
    newest: BTreeMap<u32, u64>,
    owners: BTreeMap<(u32, u64), u64>,
}

impl Grants {
    /// Fails where these shards are not every slot of each space once (S1), where an epoch has two
    /// owners, or where one shrank (L1).
    fn see(&mut self, shards: &[api::Shard]) -> Result<()> {
        let mut next: BTreeMap<u16, u32> = BTreeMap::new();
        for shard in shards {
            let id = shard.id;
            let expected = next.entry(shard.space).or_default();
            let is_range = u32::from(shard.first) == *expected && shard.first <= shard.last;
            ensure!(is_range, "S1: {shard:?} does not begin at slot {expected}");
            *expected = u32::from(shard.last) + 1;
            let newest = self.newest.entry(id).or_insert(shard.epoch);
            ensure!(shard.epoch >= *newest, "L1: {shard:?} was under epoch {newest} before");
            *newest = shard.epoch;
            let Some(owner) = shard.owner else { continue };
            let first = *self.owners.entry((id, shard.epoch)).or_insert(owner);
            ensure!(first == owner, "L1: {shard:?} was node {first}'s under the same epoch");
        }
        let ends = |end: &u32| *end == u32::from(u16::MAX) + 1;
        ensure!(!next.is_empty() && next.values().all(ends), "S1: the last slots are of no shard");
        Ok(())
    }
}

/// Looks at all shards again and again.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    run: JoinSet<Result<Duration>>,
}

impl Watch {
    /// Begins to look at the shards as the node at `url` tells of them, now that the nodes `dead` do
    /// not live any more. Each look has to show every slot in one shard, and each shard under epochs
    /// that grow and have one owner (S1, L1).
    pub fn start(client: Client, url: String, dead: BTreeSet<u16>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stop);
        let mut run = JoinSet::new();
        run.spawn(async move {
            let (mut longest, mut without) = (Duration::ZERO, BTreeMap::new());
            let (mut looks, mut grants) = (tokio::time::interval(LOOK), Grants::default());
            while !is_over.load(Ordering::Relaxed) {
                looks.tick().await;
                let shards = shards(&client, &url).await?;
                grants.see(&shards)?;
                for shard in shards {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: u32, (first, last): (u16, u16), owner: Option<u64>, epoch: u64) -> api::Shard {
        api::Shard { id, space: 0, first, last, owner, epoch, moving_to: None, load: 1 }
    }

    #[test]
    fn looks_that_break_an_invariant_are_found() {
        let (low, high) = ((0, 32_767), (32_768, u16::MAX));
        let good = [shard(0, low, Some(1), 5), shard(1, high, None, 6)];
        let broken: [(&str, [api::Shard; 2]); 5] = [
            ("a gap", [shard(0, (0, 9), Some(1), 5), shard(1, high, None, 6)]),
            ("twice", [shard(0, low, Some(1), 5), shard(1, (32_767, u16::MAX), None, 6)]),
            ("no end", [shard(0, low, Some(1), 5), shard(1, (32_768, 40_000), None, 6)]),
            ("two owners", [shard(0, low, Some(2), 5), shard(1, high, None, 6)]),
            ("it shrank", [shard(0, low, Some(1), 4), shard(1, high, None, 6)]),
        ];
        for (how, shards) in broken {
            let mut grants = Grants::default();
            grants.see(&good).unwrap();
            grants.see(&good).unwrap();
            assert!(grants.see(&shards).is_err(), "{how}");
        }
        let mut grants = Grants::default();
        grants.see(&good).unwrap();
        grants.see(&[shard(0, low, Some(2), 7), shard(1, high, Some(1), 8)]).unwrap();
        assert!(grants.see(&[]).is_err());
    }
}
