//! What a lane knows of a shard that it may commit to.

use quarry_ports::{CommitError, FenceRequest, LoadedShard};
use quarry_types::{Epoch, Sequence, SlotRange, Timestamp};

/// Whether commits of a shard are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// They are.
    Serving,
    /// The fate of an earlier one is being decided; others are refused meanwhile.
    Deciding,
    /// Every one is answered with this until the shard is loaded anew.
    Lost(CommitError),
}

/// A shard under one load.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) epoch: Epoch,
    pub(crate) range: SlotRange,
    /// The last commit.
    pub(crate) sequence: Sequence,
    pub(crate) low_water: Sequence,
    /// The mark never passes this.
    pub(crate) most_low_water: Sequence,
    pub(crate) now: Timestamp,
    pub(crate) standing: Standing,
    /// Tells this load from earlier ones, whose late decisions must not touch it.
    pub(crate) load: u64,
}

impl Head {
    pub(crate) fn new(request: FenceRequest, loaded: LoadedShard, load: u64) -> Self {
        Self {
            epoch: request.epoch,
            range: request.range,
            sequence: loaded.sequence,
            low_water: loaded.low_water,
            most_low_water: Sequence(u64::MAX),
            now: loaded.now,
            standing: Standing::Serving,
            load,
        }
    }

    /// Keeps the mark below the commit `sequence`.
    pub(crate) fn hold_below(&mut self, sequence: Sequence) {
        let below = Sequence(sequence.0.saturating_sub(1)).max(self.low_water);
        self.most_low_water = self.most_low_water.min(below);
    }

    /// Why a commit under `epoch` is not to be sent.
    pub(crate) fn refusal(&self, epoch: Epoch) -> Option<CommitError> {
        match &self.standing {
            Standing::Lost(error) => Some(error.clone()),
            _ if epoch != self.epoch => Some(CommitError::Fenced { recorded: self.epoch }),
            Standing::Deciding => Some(CommitError::Unavailable {
                reason: "the fate of an earlier commit of the shard is being decided".to_owned(),
            }),
            Standing::Serving => None,
        }
    }
}
