//! The clocks of owned shards.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use quarry_ports::{ClockRead, Host, LoadedShard};
use quarry_types::{Epoch, ShardAge, ShardId, Timestamp};

const MILLISECOND: Duration = Duration::from_millis(1);

/// Store time and age of one shard: what was recorded at the takeover, and this host's monotonic
/// clock since. It may be behind the store's clock, by no more than [`ShardClock::lag`], and is
/// never ahead of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShardClock {
    time: Timestamp,
    age: ShardAge,
    read: ClockRead,
}

impl ShardClock {
    /// The clock of a shard that was loaded.
    pub(crate) const fn of(loaded: &LoadedShard) -> Self {
        Self { time: loaded.now, age: loaded.age, read: loaded.read }
    }

    /// By how much the store's clock may be ahead of this one: it was read before its answer came,
    /// and both times are cut to whole milliseconds.
    pub(crate) fn lag(self) -> Duration {
        self.read.answered.since(self.read.asked) + 2 * MILLISECOND
    }

    /// Store time now.
    pub(crate) fn now(self, host: &Host) -> Timestamp {
        self.time.after(host.now().since(self.read.answered))
    }

    /// The shard's age now.
    pub(crate) fn age(self, host: &Host) -> ShardAge {
        self.age.after(host.now().since(self.read.answered))
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
