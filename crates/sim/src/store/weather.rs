//! Faults of the in-memory store by chance, from a seed: slow answers, refusals, lost answers.

use std::{sync::Arc, time::Duration};

use quarry_ports::{Commit, FenceRequest, Host, LoadedShard};
use quarry_types::{Epoch, Sequence, SlotRange};

use super::Entered;
use crate::host::SeededRandom;

/// What may befall what is asked of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weather {
    /// The least time of each way, to the database and back.
    pub latency_min: Duration,
    /// The most, where nothing is slow.
    pub latency_max: Duration,
    /// Of 1000 commits, how many are slow on their way to the database.
    pub slow_per_mille: u16,
    /// The most time that a slow one takes.
    pub slow: Duration,
    /// Of 1000 commits, how many the database refuses.
    pub refused_per_mille: u16,
    /// Of 1000 commits, how many are done or not, and not answered.
    pub lost_per_mille: u16,
}

/// What becomes of one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Answered,
    Refused,
    /// Written, and the answer is lost.
    LostAnswer,
    /// Lost on its way.
    LostRequest,
}

/// The weather of a database, with its randomness.
pub(super) struct Sky {
    pub(super) host: Host,
    weather: Weather,
    random: SeededRandom,
}

impl Sky {
    pub(super) fn new(host: Host, weather: Weather) -> Arc<Self> {
        let random = SeededRandom::new(host.random.next_u64());
        Arc::new(Self { host, weather, random })
    }

    fn hits(&self, per_mille: u16) -> bool {
        per_mille > 0 && self.random.below(1000) < u64::from(per_mille)
    }

    fn between(&self, min: Duration, max: Duration) -> Duration {
        let spread = u64::try_from(max.saturating_sub(min).as_micros()).unwrap_or(u64::MAX);
        min.saturating_add(Duration::from_micros(self.random.below(spread)))
    }

    /// How long one way takes.
    pub(super) fn way(&self) -> Duration {
        self.between(self.weather.latency_min, self.weather.latency_max)
    }

    /// How long the way of a commit to the database takes.
    pub(super) fn way_of_commit(&self) -> Duration {
        if self.hits(self.weather.slow_per_mille) {
            return self.between(self.weather.latency_max, self.weather.slow);
        }
        self.way()
    }

    pub(super) fn fate(&self) -> Fate {
        if self.hits(self.weather.refused_per_mille) {
            return Fate::Refused;
        }
        if self.hits(self.weather.lost_per_mille) {
            return if self.random.below(2) == 0 { Fate::LostAnswer } else { Fate::LostRequest };
        }
        Fate::Answered
    }
}

/// Sees all that the database does, at the instant at which it does it.
pub trait Witness: Send + Sync + 'static {
    /// A shard was loaded: its fence stands.
    fn loaded(&self, request: &FenceRequest, loaded: &LoadedShard);
    /// `commit` left its process.
    fn left(&self, commit: &Commit);
    /// Rows of `range` are read for its owner, which has loaded the shard where `is_loaded`.
    fn read(&self, range: SlotRange, is_loaded: bool);
    /// `commit` was written as `sequence` of its shard, and `entered` these entries into journals.
    fn committed(&self, commit: &Commit, sequence: Sequence, entered: &[Entered]);
    /// `commit` was refused, because `recorded` stands or the sequence was not the next.
    fn fenced(&self, commit: &Commit, recorded: Epoch);
    /// `commit` has arrived, whatever became of it; the answer is lost where `is_lost`.
    fn arrived(&self, commit: &Commit, is_lost: bool);
}
