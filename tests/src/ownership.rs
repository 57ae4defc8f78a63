//! How long shards are without an owner that lives, as a node tells it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use quarry_types::api;
use tokio::task::JoinSet;

use crate::{client::Client, wait::Stopwatch};

/// How often the shards are looked at.
const LOOK: Duration = Duration::from_millis(50);

/// The shards as the node at `url` knows them.
pub async fn shards(client: &Client, url: &str) -> Result<Vec<api::Shard>> {
    let page: api::Shards =
        serde_json::from_str(&client.text(&format!("{url}/v1/cluster/shards")).await?)?;
    Ok(page.shards)
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
