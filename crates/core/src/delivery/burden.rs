//! What there is to do in a shard, for the planner.

use core::time::Duration;

use quarry_types::Timestamp;

use super::{Shard, message::Phase};
use crate::placement::Burden;

impl<W> Shard<W> {
    /// The handlers that run, and how long the first of the messages that wait for their turn has
    /// waited. What is delayed, backs off or is being stored waits for something else.
    #[must_use]
    pub fn burden(&self, now: Timestamp) -> Burden {
        let running = self.entities.values().filter_map(|entity| entity.running.as_ref());
        let running: usize = running.map(super::entity::Running::count).sum();
        let waiting = self.messages.values().filter(|message| message.phase == Phase::Queued);
        let oldest = waiting.map(|message| message.order.0).min();
        let waited = oldest.map_or(0, |since| now.0.saturating_sub(since.0));
        Burden {
            running: u32::try_from(running).unwrap_or(u32::MAX),
            oldest_wait: Duration::from_millis(u64::try_from(waited).unwrap_or(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use quarry_types::{Due, Envelope};

    use super::*;
    use crate::delivery::tests::{NOW, activate, admit, message, run_of, shard};

    #[test]
    fn what_waits_for_its_turn_is_the_backlog_and_not_what_waits_for_its_time() {
        let mut shard = shard();
        assert_eq!(shard.burden(NOW), Burden::default());
        let hour = Timestamp(NOW.0 + 3_600_000);
        admit(&mut shard, Envelope { due: Due::At(hour), ..message("c2", "k0") }, 1);
        admit(&mut shard, message("c1", "k1"), 1);
        run_of(&activate(&mut shard, "c1"));
        let later = Timestamp(NOW.0 + 40_000);
        let alone = Burden { running: 1, oldest_wait: Duration::ZERO };
        assert_eq!(shard.burden(later), alone);
        admit(&mut shard, message("c1", "k2"), 2);
        let behind = Burden { running: 1, oldest_wait: Duration::from_secs(40) };
        assert_eq!(shard.burden(later), behind);
    }
}
