//! Bounds of delivery, and the back-off.

use alloc::collections::BTreeMap;
use core::time::Duration;

use quarry_types::{
    EntityType,
    planted::{Bug, is_planted},
};

use super::{BacklogLimits, ChunkLimits};
use crate::outbox::OutboxLimits;

/// What an entity does with its later messages while one is in quarantine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AfterQuarantine {
    /// It handles them: progress outranks order.
    #[default]
    GoOn,
    /// They wait until an operator redrives or drops it: order outranks progress.
    Wait,
}

/// Bounds of one entity type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeLimits {
    /// Messages waiting for one entity; one more is refused.
    pub mailbox: usize,
    /// Attempts until a message is quarantined (D4).
    pub attempts: u32,
    /// Queries of one entity that run side by side, at least 1; the next ones wait.
    pub concurrency: usize,
    /// Entities of the type in memory on one node, at least 1; beyond, those that rest make room.
    pub residents: usize,
    /// What becomes of an entity's later messages then.
    pub after_quarantine: AfterQuarantine,
    /// An entity idle for this long is passivated.
    pub idle_after: Duration,
    /// How long an outcome is kept, and its key known (G5).
    pub retention: Duration,
}

impl Default for TypeLimits {
    fn default() -> Self {
        Self {
            mailbox: 1_000,
            attempts: 10,
            concurrency: 16,
            residents: 100_000,
            after_quarantine: AfterQuarantine::GoOn,
            idle_after: Duration::from_mins(1),
            retention: Duration::from_hours(24),
        }
    }
}

/// Bounds of one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Unfinished messages of the shard in memory; one more is refused.
    pub pending: usize,
    /// Handled messages of one entity that wait for their commit; the next handler waits.
    pub ahead: usize,
    /// Messages in one commit.
    pub batch_messages: usize,
    /// Bytes of payloads and states in one commit, beyond its first message.
    pub batch_bytes: usize,
    /// A handler that runs for longer than this gets its message's row committed meanwhile.
    pub accept_after: Duration,
    /// Error texts kept per message, oldest dropped first.
    pub errors: usize,
    /// How much of what is open is held in memory.
    pub backlog: BacklogLimits,
    /// How much of chunks is held in memory.
    pub chunks: ChunkLimits,
    /// Bounds of the outbox.
    pub outbox: OutboxLimits,
    /// Bounds of types that differ from the default.
    pub types: BTreeMap<EntityType, TypeLimits>,
    /// Bounds of all other types.
    pub default_type: TypeLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pending: 10_000,
            ahead: 64,
            batch_messages: 512,
            batch_bytes: 4 * 1024 * 1024,
            accept_after: Duration::from_millis(5),
            errors: 10,
            backlog: BacklogLimits::default(),
            chunks: ChunkLimits::default(),
            outbox: OutboxLimits::default(),
            types: BTreeMap::new(),
            default_type: TypeLimits::default(),
        }
    }
}

impl Limits {
    /// The bounds of `entity_type`.
    #[must_use]
    pub fn of(&self, entity_type: &EntityType) -> &TypeLimits {
        self.types.get(entity_type).unwrap_or(&self.default_type)
    }

    /// Attempts until a message of `entity_type` is set aside (D4).
    pub(super) fn most_attempts(&self, entity_type: &EntityType) -> u32 {
        if is_planted(Bug::AttemptsUnbounded) { u32::MAX } else { self.of(entity_type).attempts }
    }
}

/// How long to wait after the `attempt`-th attempt failed: 100 ms doubling up to 12.8 s, so that
/// ten attempts are over within 40 s.
pub(super) fn back_off(attempt: u32) -> Duration {
    Duration::from_millis(100 << attempt.saturating_sub(1).min(7))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_attempts_are_over_within_forty_seconds() {
        let total: Duration = (1..10).map(back_off).sum();
        assert_eq!(total, Duration::from_millis(38_300));
    }
}
