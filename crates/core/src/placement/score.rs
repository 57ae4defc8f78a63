//! Weighted rendezvous hashing in whole numbers.
//!
//! Rendezvous hashing (Thaler and Ravishankar, "Using name-based mappings to increase hit rates",
//! 1998) gives a shard to the runner with the highest hash of the pair. With weights (Schindelhauer
//! and Schomaker, "Weighted distributed hash tables", 2005) the score is `-w / ln(h)` for a hash
//! `h` in (0, 1): each runner is then preferred in proportion to its weight, and changing one
//! runner moves shards to or from that runner alone. Here the reciprocal is used, `-log2(h) / w`,
//! lowest first: the same order, computed in fixed point.

use alloc::vec::Vec;
use core::cmp::Reverse;

use quarry_types::{NodeId, ShardId};
use xxhash_rust::xxh3::xxh3_64;

/// How little a runner suits a shard: the lowest is the preferred home.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cost(u64);

impl Cost {
    /// For people: `-log2(h) · 100 / w` of a hash `h` in (0, 1) and a weight `w`, in millionths.
    #[must_use]
    pub fn millionths(self) -> u64 {
        let scaled = u128::from(self.0).saturating_mul(100_000_000) >> (FRACTION_BITS + 24);
        u64::try_from(scaled).unwrap_or(u64::MAX)
    }
}

/// The table's index bits: 1,024 intervals make the interpolated logarithm good to about 2e-7.
const INDEX_BITS: u32 = 10;
const INTERVALS: usize = 1 << INDEX_BITS;
/// Fraction bits of the fixed-point logarithm.
const FRACTION_BITS: u32 = 32;

/// `log2(1 + i / 1024)` with 32 fraction bits, for i in 0..=1024.
static LOG2: [u64; INTERVALS + 1] = log2_table();

/// Repeated squaring: each squaring of a mantissa in [1, 2) yields one bit of its logarithm.
const fn log2_of_mantissa(mantissa: u64) -> u64 {
    // 1.0 is 2^62 here, so that a square fits u128 and 2.0 fits u64.
    let mut value = mantissa as u128;
    let mut log = 0;
    let mut bit = 0;
    while bit < FRACTION_BITS {
        value = (value * value) >> 62;
        log <<= 1;
        if value >= 1 << 63 {
            value >>= 1;
            log |= 1;
        }
        bit += 1;
    }
    log
}

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which checks it")]
const fn log2_table() -> [u64; INTERVALS + 1] {
    let mut table = [0; INTERVALS + 1];
    let mut index = 0;
    while index < INTERVALS {
        table[index] = log2_of_mantissa((1 << 62) + ((index as u64) << (62 - INDEX_BITS)));
        index += 1;
    }
    table[INTERVALS] = 1 << FRACTION_BITS;
    table
}

/// `-log2(hash / 2^64)` with 32 fraction bits; at least 1.
fn negative_log2(hash: u64) -> u64 {
    let hash = hash.max(1);
    let zeros = hash.leading_zeros();
    // The bits below the leading one, moved to the top: the mantissa's fraction.
    let fraction = (hash << zeros) << 1;
    let index = usize::from(u16::try_from(fraction >> (64 - INDEX_BITS)).unwrap_or(0));
    let within = (fraction << INDEX_BITS) >> 32;
    let low = LOG2.get(index).copied().unwrap_or(0);
    let high = LOG2.get(index + 1).copied().unwrap_or(1 << FRACTION_BITS);
    let log = low + (((high - low) * within) >> 32);
    // log2(hash) = 63 - zeros + log; its distance from 64:
    ((u64::from(zeros) + 1) << FRACTION_BITS).saturating_sub(log).max(1)
}

/// A runner that may take a shard, hashed once for all shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) node: NodeId,
    weight: u32,
    hash: u64,
}

impl Candidate {
    /// A weight of 0 counts as 1.
    pub(super) fn new(node: NodeId, weight: u32) -> Self {
        Self { node, weight: weight.max(1), hash: xxh3_64(&node.0.to_le_bytes()) }
    }

    fn cost_for(self, pair: u64) -> Cost {
        // At most 64 << 32, so the shift by 24 stays within 63 bits.
        Cost((negative_log2(pair) << 24) / u64::from(self.weight))
    }
}

/// The hash of a shard and a runner, from those of both: the finalizer of Steele, Lea and Flood,
/// "Fast splittable pseudorandom number generators", 2014, in the variant known as splitmix64.
const fn pair_hash(shard: u64, node: u64) -> u64 {
    let mixed = shard ^ node;
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn shard_hash(shard: ShardId) -> u64 {
    xxh3_64(&shard.0.to_le_bytes())
}

/// Where the candidate stands that `shard` prefers. In which order they stand does not matter: of
/// equal costs the higher hash wins, then the lower id.
pub(super) fn preferred(shard: ShardId, candidates: &[Candidate]) -> Option<usize> {
    let shard = shard_hash(shard);
    let mut best: Option<(Cost, Reverse<u64>, Candidate, usize)> = None;
    for (position, candidate) in candidates.iter().enumerate() {
        let pair = pair_hash(shard, candidate.hash);
        // Of equal weights a lower hash never costs less: most need no logarithm.
        if best.is_some_and(|(_, top, other, _)| other.weight == candidate.weight && top.0 > pair) {
            continue;
        }
        let cost = candidate.cost_for(pair);
        let is_better = best.is_none_or(|(lowest, top, other, _)| {
            (cost, Reverse(pair), candidate.node) < (lowest, top, other.node)
        });
        if is_better {
            best = Some((cost, Reverse(pair), *candidate, position));
        }
    }
    best.map(|(.., position)| position)
}

/// The cost of `shard` at `node`; `weight` counts as at least 1.
#[must_use]
pub fn cost(shard: ShardId, node: NodeId, weight: u32) -> Cost {
    let candidate = Candidate::new(node, weight);
    candidate.cost_for(pair_hash(shard_hash(shard), candidate.hash))
}

/// The runners in the order in which `shard` prefers them, best first.
#[must_use]
pub fn preference(shard: ShardId, runners: impl IntoIterator<Item = (NodeId, u32)>) -> Vec<NodeId> {
    let shard = shard_hash(shard);
    let mut ranked: Vec<(Cost, Reverse<u64>, NodeId)> = runners
        .into_iter()
        .map(|(node, weight)| {
            let candidate = Candidate::new(node, weight);
            let pair = pair_hash(shard, candidate.hash);
            (candidate.cost_for(pair), Reverse(pair), node)
        })
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().map(|(.., node)| node).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;

    /// Voters of different versions apply the same log: these never change.
    const GOLDEN: [(u32, u64, u32, u64); 4] = [
        (0, 0, 100, 550_861_393_834_803),
        (17, 3, 100, 655_275_497_692_856),
        (255, 1 << 40, 250, 113_792_847_412_461),
        (65_535, u64::MAX, 1, 34_580_363_976_114_176),
    ];

    #[test]
    fn golden_costs_are_the_same_on_every_node() {
        let costs =
            GOLDEN.map(|(shard, node, weight, _)| cost(ShardId(shard), NodeId(node), weight));
        assert_eq!(costs, GOLDEN.map(|(.., golden)| Cost(golden)));
        assert_eq!(cost(ShardId(0), NodeId(0), 100).millionths(), 764_473);
    }

    #[test]
    #[expect(clippy::cast_precision_loss, reason = "the model is floating point")]
    fn the_logarithm_is_that_of_the_model() {
        let mut hash = 1_u64;
        for step in 0..10_000_u64 {
            hash = hash.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step);
            let model = -libm_log2(hash);
            let fixed = negative_log2(hash) as f64 / (1_u64 << FRACTION_BITS) as f64;
            assert!((model - fixed).abs() < 1e-6, "{hash}: {model} {fixed}");
        }
        assert_eq!(negative_log2(0), 64 << FRACTION_BITS);
        assert_eq!(negative_log2(1 << 63), 1 << FRACTION_BITS);
        assert_eq!(negative_log2(u64::MAX), 1);
    }

    #[expect(clippy::cast_precision_loss, reason = "the model is floating point")]
    fn libm_log2(hash: u64) -> f64 {
        extern crate std;
        (hash as f64).log2() - 64.0
    }

    #[test]
    fn the_logarithm_falls_as_the_hash_grows() {
        let step = u64::MAX / 100_000;
        let mut last = u64::MAX;
        for hash in (0..100_000_u64).map(|n| n * step) {
            let log = negative_log2(hash);
            assert!(log <= last, "{hash}");
            last = log;
        }
    }

    #[test]
    fn runners_are_preferred_in_proportion_to_their_weight() {
        let runners = [(NodeId(1), 100), (NodeId(2), 200), (NodeId(3), 100)];
        let mut first = BTreeMap::new();
        for shard in 0..20_000 {
            let ranked = preference(ShardId(shard), runners);
            *first.entry(ranked[0]).or_insert(0_u32) += 1;
        }
        assert!((4_700..5_300).contains(&first[&NodeId(1)]), "{first:?}");
        assert!((9_600..10_400).contains(&first[&NodeId(2)]), "{first:?}");
        assert!((4_700..5_300).contains(&first[&NodeId(3)]), "{first:?}");
    }

    #[test]
    fn the_preferred_candidate_is_the_first_in_order_wherever_it_stands() {
        let runners = [(1, 100), (2, 100), (3, 37), (4, 100), (5, 250), (6, 37)]
            .map(|(node, weight)| (NodeId(node), weight));
        let mut candidates = runners.map(|(node, weight)| Candidate::new(node, weight));
        for shard in (0..2_000).map(ShardId) {
            candidates.rotate_left(1);
            let position = preferred(shard, &candidates).unwrap();
            assert_eq!(candidates[position].node, preference(shard, runners)[0]);
        }
        assert_eq!(preferred(ShardId(0), &[]), None);
    }

    #[test]
    fn a_leaving_runner_changes_no_other_preference() {
        let all = [(NodeId(1), 100), (NodeId(2), 50), (NodeId(3), 70)];
        for shard in 0..1_000 {
            let with: Vec<NodeId> = preference(ShardId(shard), all)
                .into_iter()
                .filter(|node| *node != NodeId(2))
                .collect();
            assert_eq!(with, preference(ShardId(shard), [all[0], all[2]]));
        }
    }
}
