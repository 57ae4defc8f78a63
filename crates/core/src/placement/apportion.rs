//! Shares: how many shards each runner is to have.

use alloc::{collections::BTreeMap, vec::Vec};
use core::cmp::Reverse;
use quarry_types::NodeId;

/// One runner's place in a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    /// The runner's weight, at least 1.
    pub(super) weight: u32,
    /// How many units of load it has, or is to have by moves under way.
    pub(super) count: u64,
    /// How many it should have.
    pub(super) share: u64,
}

/// Divides `shards`, which are units of load, among the seats by weight: everyone's exact quota
/// rounded down or up, so that the sum is exact. Those that have the unit already are rounded up
/// first: that makes the excess, and so the moves, as few as they can be. Then the largest remainder
/// counts (Hamilton's method), then the lower id.
pub(super) fn apportion(shards: u64, seats: &mut BTreeMap<NodeId, Seat>) {
    let total: u64 = seats.values().map(|seat| u64::from(seat.weight)).sum();
    if total == 0 {
        return;
    }
    let mut left = shards;
    let mut fractional = Vec::new();
    for (node, seat) in seats.iter_mut() {
        // Below 2^17 shards times a weight of 32 bits.
        let quota = shards.saturating_mul(u64::from(seat.weight));
        seat.share = quota / total;
        left = left.saturating_sub(seat.share);
        if quota % total > 0 {
            let needs_no_shard = seat.count > seat.share;
            fractional.push((Reverse(needs_no_shard), Reverse(quota % total), *node));
        }
    }
    fractional.sort_unstable();
    for (_, _, node) in fractional.into_iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
        if let Some(seat) = seats.get_mut(&node) {
            seat.share += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(given: &[(u32, u64)]) -> BTreeMap<NodeId, Seat> {
        (0..)
            .zip(given)
            .map(|(id, &(weight, count))| (NodeId(id), Seat { weight, count, share: 0 }))
            .collect()
    }

    #[test]
    fn shares_add_up_and_follow_the_weights() {
        /// Weight and count of each.
        type Given = &'static [(u32, u64)];
        // given, when so many shards are divided, then these shares
        let table: &[(Given, u64, &[u64])] = &[
            (&[(100, 0)], 256, &[256]),
            (&[(100, 0), (100, 0), (100, 0)], 256, &[86, 85, 85]),
            (&[(100, 85), (100, 85), (100, 86)], 256, &[85, 85, 86]),
            (&[(100, 0), (200, 0), (100, 0)], 256, &[64, 128, 64]),
            (&[(1, 0), (1_000, 0)], 256, &[0, 256]),
            (&[(1, 1), (1_000, 255)], 256, &[1, 255]),
            (&[(100, 2), (100, 1), (100, 0)], 2, &[1, 1, 0]),
            (&[(u32::MAX, 0), (u32::MAX, 0)], 65_536, &[32_768, 32_768]),
        ];
        for (given, shards, then) in table {
            let mut seats = seats(given);
            apportion(*shards, &mut seats);
            let shares: Vec<u64> = seats.values().map(|seat| seat.share).collect();
            assert_eq!(shares, *then, "{given:?}");
            assert_eq!(shares.iter().sum::<u64>(), *shards);
        }
    }
}
