//! The newest commits that this process was acknowledged.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use quarry_ports::KnownCommit;
use quarry_types::{Epoch, Sequence, ShardId};

use crate::group::Part;

/// The commits of all lanes, by shard. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known(Arc<Mutex<BTreeMap<ShardId, (Epoch, Sequence)>>>);

impl Known {
    /// Held for a look or a change only, never across an await.
    fn commits(&self) -> MutexGuard<'_, BTreeMap<ShardId, (Epoch, Sequence)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A part is durable.
    pub(crate) fn written(&self, part: &Part) {
        self.commits().insert(part.shard, (part.epoch, part.sequence));
    }

    /// The store does not have what it acknowledged before this part.
    pub(crate) fn gone(&self, part: &Part) {
        self.commits().insert(part.shard, (part.epoch, Sequence(0)));
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<KnownCommit> {
        let commits = self.commits();
        let known = commits.iter();
        known
            .map(|(shard, (epoch, sequence))| KnownCommit {
                shard: *shard,
                epoch: *epoch,
                sequence: *sequence,
            })
            .collect()
    }
}
