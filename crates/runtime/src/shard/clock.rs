//! The clocks of owned shards.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use quarry_ports::{Host, LoadedShard};
use quarry_types::{Epoch, Monotonic, ShardAge, ShardId, Timestamp};

/// Store time and age of one shard: what was recorded at the takeover, and this host's monotonic
/// clock since.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShardClock {
    time: Timestamp,
    age: ShardAge,
    at: Monotonic,
}

impl ShardClock {
    /// The clock of a shard that was loaded just now.
    pub(crate) fn at(loaded: &LoadedShard, host: &Host) -> Self {
        Self { time: loaded.now, age: loaded.age, at: host.now() }
    }

    /// Store time now.
    pub(crate) fn now(self, host: &Host) -> Timestamp {
        self.time.after(host.now().since(self.at))
    }

    /// The shard's age now.
    pub(crate) fn age(self, host: &Host) -> ShardAge {
        self.age.after(host.now().since(self.at))
    }
}

/// The clocks of all shards that this node serves. The lock is held for a look or a change only,
/// never across an await.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clocks(Arc<Mutex<BTreeMap<ShardId, (Epoch, ShardClock)>>>);

impl Clocks {
    fn clocks(&self) -> MutexGuard<'_, BTreeMap<ShardId, (Epoch, ShardClock)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn insert(&self, shard: ShardId, epoch: Epoch, clock: ShardClock) {
        self.clocks().insert(shard, (epoch, clock));
    }

    pub(crate) fn remove(&self, shard: ShardId, epoch: Epoch) {
        let mut clocks = self.clocks();
        if clocks.get(&shard).is_some_and(|(held, _)| *held == epoch) {
            clocks.remove(&shard);
        }
    }

    pub(crate) fn all(&self) -> Vec<(ShardId, Epoch, ShardClock)> {
        let clocks = self.clocks();
        clocks.iter().map(|(shard, (epoch, clock))| (*shard, *epoch, *clock)).collect()
    }
}
