//! What the shards of this node cost to serve.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use quarry_core::placement::LIGHT;
use quarry_types::{Epoch, ShardId};

/// The loads of all shards that this node serves and that are not light. The lock is held for a look
/// or a change only, never across an await.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loads(Arc<Mutex<BTreeMap<ShardId, (Epoch, u32)>>>);

impl Loads {
    fn loads(&self) -> MutexGuard<'_, BTreeMap<ShardId, (Epoch, u32)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, shard: ShardId, epoch: Epoch, load: u32) {
        if load > LIGHT {
            self.loads().insert(shard, (epoch, load));
        } else {
            self.remove(shard, epoch);
        }
    }

    pub(crate) fn remove(&self, shard: ShardId, epoch: Epoch) {
        let mut loads = self.loads();
        if loads.get(&shard).is_some_and(|(held, _)| *held == epoch) {
            loads.remove(&shard);
        }
    }

    pub(crate) fn all(&self) -> BTreeMap<ShardId, u32> {
        self.loads().iter().map(|(shard, (_, load))| (*shard, *load)).collect()
    }
}
