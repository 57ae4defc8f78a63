//! The workload `splits`: shards are halved while everything else goes on.

use std::sync::Arc;

use quarry_ports::Administration;
use quarry_types::{Monotonic, ShardId};

use crate::world::World;

/// Of 100 runs, in how many shards are split.
const SPLITTING: u64 = 40;
/// Splits that are asked for in a run, at most.
const MOST: u64 = 6;

impl World {
    /// Asks for splits until `end`: of shards that are there, at any moment, some of them twice.
    pub(crate) async fn split_shards(self: Arc<Self>, end: Monotonic) {
        let dice = &self.splits;
        if !dice.hits(SPLITTING) {
            return;
        }
        let mut last = None;
        for _ in 0..=dice.below(MOST) {
            tokio::time::sleep(dice.milliseconds(100, 6_000)).await;
            if self.host.now() >= end {
                return;
            }
            let Some(shard) = last.filter(|_| dice.hits(20)).or_else(|| self.any_shard()) else {
                continue;
            };
            last = Some(shard);
            self.chronicle.note(&format!("ask to split {shard}"));
            self.administer(Administration::Split(shard));
        }
    }

    fn any_shard(&self) -> Option<ShardId> {
        let (node, _) = self.any_node()?;
        let view = node.view();
        let at = usize::try_from(self.splits.below(u64::try_from(view.shards.len()).ok()?)).ok()?;
        view.shards.get(at).map(|shard| shard.id)
    }
}
