//! The shards that a node owned at one moment, and what was committed under those grants.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, ensure};
use quarry_types::api;

use crate::{
    cluster::Cluster,
    ledger::{CommitRow, Ledger},
    wait::until,
};

/// Epochs by shard.
#[derive(Debug, Clone)]
pub struct Grants(BTreeMap<i64, i64>);

impl Grants {
    /// The grants of `node`, as it knows them itself.
    pub async fn of(cluster: &Cluster, node: u16) -> Result<Self> {
        let grants = granted(cluster, node).await?;
        ensure!(!grants.is_empty(), "node {node} owns no shard");
        Ok(Self(grants))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Waits until every one of the shards was loaded under a newer epoch.
    pub async fn superseded(&self, ledger: &mut Ledger, within: Duration) -> Result<()> {
        let what = format!("{} shards are loaded under newer epochs", self.count());
        until(&what, within, async || match ledger.fences().await {
            Ok(fences) => {
                let newer = |(shard, old): (&i64, &i64)| fences.get(shard).is_some_and(|e| e > old);
                self.0.iter().all(newer).then_some(Ok(()))
            }
            Err(error) => Some(Err(error)),
        })
        .await?
    }

    /// Everything that was ever committed to these shards under these grants, or older ones.
    pub async fn commits(&self, ledger: &mut Ledger) -> Result<Vec<CommitRow>> {
        let mut commits = ledger.commits().await?;
        commits.retain(|row| self.0.get(&row.shard).is_some_and(|epoch| row.epoch <= *epoch));
        Ok(commits)
    }
}

/// The shards that a node serves at one moment, as it counts them.
#[derive(Debug, Clone, Copy)]
pub struct Served {
    now: u64,
    loaded: u64,
}

impl Served {
    /// Those of `node`.
    pub async fn by(cluster: &Cluster, node: u16) -> Result<Self> {
        let page = cluster.metrics(node).await?;
        let loaded = page.sum("quarry_shard_load_seconds_count");
        Ok(Self { now: page.sum("active_shards"), loaded })
    }

    /// How many of these the same process still serves under the same grants when it serves `later`, at
    /// least: every other one it has loaded since.
    pub const fn kept(self, later: Self) -> u64 {
        later.now.saturating_sub(later.loaded.saturating_sub(self.loaded))
    }
}

async fn granted(cluster: &Cluster, node: u16) -> Result<BTreeMap<i64, i64>> {
    let page = format!("{}/v1/cluster/shards", cluster.url(node)?);
    let page: api::Shards = serde_json::from_str(&cluster.client().text(&page).await?)?;
    let mut granted = BTreeMap::new();
    for shard in page.shards.iter().filter(|shard| shard.owner == Some(u64::from(node))) {
        granted.insert(i64::from(shard.id), i64::try_from(shard.epoch)?);
    }
    Ok(granted)
}

/// Waits until `node` owns and serves shards.
pub async fn takes_part(cluster: &Cluster, node: u16, within: Duration) -> Result<()> {
    let what = format!("node {node} serves shards");
    until(&what, within, async || {
        let served = cluster.metrics(node).await.map(|page| page.sum("active_shards"));
        match (served, granted(cluster, node).await) {
            (Ok(served), Ok(granted)) => (served > 0 && !granted.is_empty()).then_some(Ok(())),
            (Err(error), _) | (_, Err(error)) => Some(Err(error)),
        }
    })
    .await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_loaded_since_was_kept() {
        let before = Served { now: 8, loaded: 20 };
        for ((now, loaded), kept) in [((8, 20), 8), ((0, 20), 0), ((3, 23), 0), ((5, 23), 2)] {
            assert_eq!(before.kept(Served { now, loaded }), kept, "{now} of {loaded}");
        }
    }
}
