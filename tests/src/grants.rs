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
