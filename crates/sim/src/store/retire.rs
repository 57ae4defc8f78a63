//! The end of what is past its retention.

use quarry_ports::Retired;
use quarry_types::{MessageId, ShardAge, ShardId, SlotRange};

use super::tables::Tables;

impl Tables {
    /// Records that `shard` has this age, if it keeps any outcome.
    pub(super) fn record_age(&mut self, shard: ShardId, range: SlotRange, age: ShardAge) {
        if self.outcomes.keys().any(|id| range.contains(id.slot())) {
            let recorded = self.ages.entry(shard).or_default();
            *recorded = age.max(*recorded);
        }
    }

    /// Removes at most `limit` messages of `range` whose outcome is kept until `age` at most.
    pub(super) fn retire(&mut self, range: SlotRange, age: ShardAge, limit: usize) -> Retired {
        let due = self.kept.iter().take_while(|(until, _)| *until <= age);
        let mut due = due.filter(|(_, id)| range.contains(id.slot())).copied();
        let gone: Vec<(ShardAge, MessageId)> = due.by_ref().take(limit).collect();
        let more = due.next().is_some();
        for (until, id) in &gone {
            self.kept.remove(&(*until, *id));
            self.outcomes.remove(id);
            self.chunks.remove(id);
            if let Some((_, row)) = self.messages.remove(id) {
                self.keys.remove(&(row.address, row.method, row.key));
            }
        }
        Retired { messages: u64::try_from(gone.len()).unwrap_or(u64::MAX), more }
    }
}
