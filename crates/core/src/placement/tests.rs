//! Plans against naive models.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::{String, ToString},
    vec,
    vec::Vec,
};

use proptest::prelude::*;
use quarry_types::{NodeId, ShardId};

use super::*;

const UNLIMITED: Limits = Limits { max_moves: u32::MAX };

fn runners(weights: impl IntoIterator<Item = (u64, u32)>) -> BTreeMap<NodeId, Runner> {
    let groups = BTreeSet::new();
    let runner = |weight| Runner { weight, groups: groups.clone() };
    weights.into_iter().map(|(id, weight)| (NodeId(id), runner(weight))).collect()
}

fn homes(homes: impl IntoIterator<Item = Option<u64>>) -> BTreeMap<ShardId, Shard> {
    let shard = |home: Option<u64>| Shard { home: home.map(NodeId), ..Shard::default() };
    (0..).map(ShardId).zip(homes.into_iter().map(shard)).collect()
}

fn equal(nodes: u64, shards: u64) -> Input {
    let homes = homes((0..shards).map(|shard| Some(shard % nodes)));
    Input { runners: runners((0..nodes).map(|id| (id, 100))), shards: homes }
}

fn counts(input: &Input) -> BTreeMap<NodeId, u64> {
    let mut counts: BTreeMap<NodeId, u64> = input.runners.keys().map(|id| (*id, 0)).collect();
    for home in input.shards.values().filter_map(|shard| shard.home) {
        if let Some(count) = counts.get_mut(&home) {
            *count += 1;
        }
    }
    counts
}

fn carry_out(input: &mut Input, plan: &Plan) {
    for change in &plan.moves {
        input.shards.get_mut(&change.shard).unwrap().home = Some(change.to);
    }
}

#[test]
fn a_balanced_cluster_stays_as_it_is() {
    for nodes in [1, 2, 3, 7, 64, 256, 300] {
        assert_eq!(plan(&equal(nodes, 256), UNLIMITED), Plan::default(), "{nodes} nodes");
    }
}

#[test]
fn an_empty_cluster_is_divided_evenly_at_once() {
    let input =
        Input { runners: runners([(1, 100), (2, 100), (3, 200)]), shards: homes([None; 256]) };
    let mut after = input.clone();
    let plan = plan(&input, Limits { max_moves: 0 });
    carry_out(&mut after, &plan);
    assert_eq!(counts(&after).into_values().collect::<Vec<_>>(), [64, 64, 128]);
}

#[test]
fn without_a_runner_nothing_is_placed() {
    let input = Input { runners: runners([(1, 0)]), shards: homes([None, Some(7)]) };
    let plan = plan(&input, UNLIMITED);
    assert_eq!(plan, Plan { moves: vec![], unplaced: vec![ShardId(0), ShardId(1)] });
}

#[test]
fn a_leaving_runner_moves_only_its_own_shards() {
    for nodes in 2..40 {
        for leaving in [0, nodes / 2, nodes - 1] {
            let mut input = equal(nodes, 256);
            input.runners.remove(&NodeId(leaving));
            let plan = plan(&input, UNLIMITED);
            assert!(plan.moves.iter().all(|change| change.from == Some(NodeId(leaving))));
            let own = (0..256).filter(|shard| shard % nodes == leaving).count();
            assert_eq!(plan.moves.len(), own, "{leaving} of {nodes}");
        }
    }
}

#[test]
fn a_large_cluster_moves_as_little_as_a_small_one() {
    let mut joined = equal(1_000, 65_536);
    joined.runners.extend(runners([(1_000, 100)]));
    let join = plan(&joined, UNLIMITED);
    assert_eq!(join.moves.len(), 65, "65,536 / 1,001, rounded down");
    assert!(join.moves.iter().all(|change| change.to == NodeId(1_000)));

    let mut left = equal(1_000, 65_536);
    left.runners.remove(&NodeId(999));
    let leave = plan(&left, UNLIMITED);
    assert_eq!(leave.moves.len(), 65);
    assert!(leave.moves.iter().all(|change| change.from == Some(NodeId(999))));
}

#[test]
fn a_shard_under_way_is_not_moved_again() {
    let mut input = equal(1, 8);
    input.runners.extend(runners([(1, 100)]));
    for shard in input.shards.values_mut() {
        shard.is_moving = true;
    }
    assert_eq!(plan(&input, UNLIMITED), Plan::default());
}

#[test]
fn shards_of_a_group_stay_among_its_runners() {
    let mut input = Input {
        runners: runners([(1, 100), (2, 100), (3, 100)]),
        shards: homes([None, None, None, None, Some(1), Some(1)]),
    };
    for shard in input.shards.values_mut() {
        shard.group = Some("gpu".to_string());
    }
    for id in [2, 3] {
        input.runners.get_mut(&NodeId(id)).unwrap().groups.insert("gpu".to_string());
    }
    let plan = plan(&input, UNLIMITED);
    carry_out(&mut input, &plan);
    assert_eq!(counts(&input), BTreeMap::from([(NodeId(1), 0), (NodeId(2), 3), (NodeId(3), 3)]));
}

fn any_input() -> impl Strategy<Value = Input> {
    let runner = (0..4_u32, any::<bool>());
    let shard = (proptest::option::of(0..10_u64), 0..12_u8, 0..4_u8);
    (
        proptest::collection::btree_map(0..8_u64, runner, 0..8),
        proptest::collection::vec(shard, 0..120),
    )
        .prop_map(|(runners, shards)| Input {
            runners: runners
                .into_iter()
                .map(|(id, (weight, is_labelled))| {
                    let groups = is_labelled.then(label).into_iter().collect();
                    (NodeId(id), Runner { weight: weight * 50, groups })
                })
                .collect(),
            shards: (0..)
                .zip(shards)
                .map(|(id, (home, moving, group))| {
                    let home = home.map(NodeId);
                    let is_moving = home.is_some() && moving == 0;
                    let group = (group == 0).then(label);
                    (ShardId(id), Shard { home, is_moving, group, load: 1 })
                })
                .collect(),
        })
}

fn label() -> String {
    "gpu".to_string()
}

fn may_take(runner: &Runner, shard: &Shard) -> bool {
    runner.weight > 0 && shard.group.as_ref().is_none_or(|group| runner.groups.contains(group))
}

/// The fewest moves after which every runner has its quota rounded down or up.
fn fewest_moves(input: &Input) -> u64 {
    let size = input.shards.len() as u64;
    let total: u64 = input.runners.values().map(|runner| u64::from(runner.weight)).sum();
    let counts = counts(input);
    let homeless = size - counts.values().sum::<u64>();
    let (mut too_many, mut too_few) = (0, 0);
    for (id, runner) in input.runners.iter().filter(|(_, runner)| runner.weight > 0) {
        let quota = size * u64::from(runner.weight);
        too_many += counts[id].saturating_sub(quota.div_ceil(total));
        too_few += (quota / total).saturating_sub(counts[id]);
    }
    too_many.max(too_few.saturating_sub(homeless))
}

proptest! {
    #[test]
    fn every_shard_ends_on_one_runner_that_may_take_it(
        input in any_input(),
        max_moves in 0..200_u32,
    ) {
        let plan = plan(&input, Limits { max_moves });
        let mut after = input.clone();
        carry_out(&mut after, &plan);
        let moved: BTreeSet<ShardId> = plan.moves.iter().map(|change| change.shard).collect();
        prop_assert_eq!(moved.len(), plan.moves.len(), "no shard moves twice (S1)");
        for change in &plan.moves {
            prop_assert_eq!(change.from, input.shards[&change.shard].home);
            prop_assert_ne!(change.from, Some(change.to));
        }
        for (id, shard) in &after.shards {
            let home = shard.home.and_then(|home| input.runners.get(&home));
            let is_home = home.is_some_and(|runner| may_take(runner, shard));
            prop_assert_eq!(is_home, !plan.unplaced.contains(id));
            let has_taker = input.runners.values().any(|runner| may_take(runner, shard));
            prop_assert_eq!(is_home, has_taker);
        }
        let is_at_home = |change: &&Move| {
            let runner = change.from.and_then(|from| input.runners.get(&from));
            runner.is_some_and(|runner| may_take(runner, &input.shards[&change.shard]))
        };
        let balancing: Vec<&Move> = plan.moves.iter().filter(is_at_home).collect();
        prop_assert!(balancing.len() <= max_moves as usize);
        prop_assert!(balancing.iter().all(|change| !input.shards[&change.shard].is_moving));
    }

    #[test]
    fn moves_are_as_few_as_they_can_be(mut input in any_input()) {
        for shard in input.shards.values_mut() {
            *shard = Shard { is_moving: false, group: None, load: 1, ..shard.clone() };
        }
        input.runners.retain(|_, runner| runner.weight > 0);
        let first = plan(&input, UNLIMITED);
        let at_home =
            |change: &&Move| change.from.is_some_and(|from| input.runners.contains_key(&from));
        let moved = first.moves.iter().filter(at_home).count() as u64;
        if !input.runners.is_empty() {
            prop_assert_eq!(moved, fewest_moves(&input), "S2");
        }
        let mut after = input.clone();
        carry_out(&mut after, &first);
        prop_assert_eq!(plan(&after, UNLIMITED).moves, vec![], "what is balanced stays");
    }

    #[test]
    fn small_rounds_reach_balance_with_as_few_moves(
        mut input in any_input(),
        max_moves in 1..5_u32,
    ) {
        for shard in input.shards.values_mut() {
            shard.is_moving = false;
        }
        let at_once = plan(&input, UNLIMITED).moves.len();
        let mut moved = 0;
        loop {
            let round = plan(&input, Limits { max_moves });
            if round.moves.is_empty() {
                break;
            }
            moved += round.moves.len();
            prop_assert!(moved <= at_once);
            carry_out(&mut input, &round);
        }
        prop_assert_eq!(moved, at_once);
    }

    #[test]
    fn the_order_in_which_things_are_told_does_not_matter(input in any_input()) {
        let told_backwards = Input {
            runners: input.runners.clone().into_iter().rev().collect(),
            shards: input.shards.clone().into_iter().rev().collect(),
        };
        prop_assert_eq!(plan(&input, UNLIMITED), plan(&told_backwards, UNLIMITED));
    }
}

/// The load that each runner has.
fn loads(input: &Input) -> BTreeMap<NodeId, u64> {
    let mut loads: BTreeMap<NodeId, u64> = input.runners.keys().map(|id| (*id, 0)).collect();
    for shard in input.shards.values() {
        if let Some(load) = shard.home.and_then(|home| loads.get_mut(&home)) {
            *load += u64::from(shard.load.max(1));
        }
    }
    loads
}

#[test]
fn a_runner_with_a_heavy_shard_gives_light_ones_away() {
    let mut input = equal(4, 64);
    input.shards.get_mut(&ShardId(0)).unwrap().load = 8;
    let plan = plan(&input, UNLIMITED);
    assert!(plan.moves.iter().all(|change| change.from == Some(NodeId(0))), "S2");
    assert!(plan.moves.iter().all(|change| change.shard != ShardId(0)), "the heavy one stays");
    carry_out(&mut input, &plan);
    // 71 units among four.
    assert_eq!(loads(&input).into_values().collect::<Vec<_>>(), [18, 18, 18, 17]);
    assert_eq!(super::plan(&input, UNLIMITED), Plan::default());
}

#[test]
fn a_shard_that_is_heavier_than_any_share_has_a_runner_for_itself() {
    let mut input =
        Input { runners: runners([(1, 100), (2, 100), (3, 100)]), shards: homes([None; 9]) };
    input.shards.get_mut(&ShardId(4)).unwrap().load = 100;
    let plan = plan(&input, UNLIMITED);
    carry_out(&mut input, &plan);
    assert_eq!(plan.unplaced, vec![]);
    assert_eq!(plan.moves[0].shard, ShardId(4), "the heaviest first");
    let home = input.shards[&ShardId(4)].home;
    let beside = input.shards.values().filter(|shard| shard.home == home).count();
    assert_eq!(beside, 1, "{:?}", loads(&input));
}

fn loaded_input() -> impl Strategy<Value = Input> {
    let load = prop_oneof![6 => Just(1_u32), 1 => Just(2), 1 => Just(4), 1 => Just(8)];
    (any_input(), proptest::collection::vec(load, 120)).prop_map(|(mut input, loads)| {
        for (shard, load) in input.shards.values_mut().zip(loads) {
            *shard = Shard { is_moving: false, group: None, load, ..shard.clone() };
        }
        input.runners.retain(|_, runner| runner.weight > 0);
        input
    })
}

/// What each runner should have, rounded up.
fn quotas(input: &Input) -> BTreeMap<NodeId, u64> {
    let size: u64 = input.shards.values().map(|shard| u64::from(shard.load.max(1))).sum();
    let total: u64 = input.runners.values().map(|runner| u64::from(runner.weight)).sum();
    let quota = |runner: &Runner| (size * u64::from(runner.weight)).div_ceil(total);
    input.runners.iter().map(|(id, runner)| (*id, quota(runner))).collect()
}

proptest! {
    #[test]
    fn under_any_load_only_runners_above_their_share_give_and_none_gets_above_it(
        input in loaded_input(),
        max_moves in 1..50_u32,
    ) {
        prop_assume!(!input.runners.is_empty());
        let mut current = input;
        for _ in 0..200 {
            let quotas = quotas(&current);
            let before = loads(&current);
            let round = plan(&current, Limits { max_moves });
            prop_assert_eq!(&round.unplaced, &vec![]);
            let mut after = current.clone();
            carry_out(&mut after, &round);
            let later = loads(&after);
            for change in &round.moves {
                match change.from.filter(|from| current.runners.contains_key(from)) {
                    // S2: nobody gives what is within its share.
                    Some(from) => prop_assert!(later[&from] + 1 >= quotas[&from]),
                    None => continue,
                }
                prop_assert!(later[&change.to] <= before[&change.to].max(quotas[&change.to] + 8));
            }
            current = after;
            if round.moves.is_empty() {
                return Ok(());
            }
        }
        prop_assert!(false, "it never comes to rest");
    }

    #[test]
    fn a_storm_of_joins_and_leaves_moves_little_more_than_it_must(
        storm in proptest::collection::vec((0..12_u64, 1..4_u32), 1..40),
    ) {
        let mut input = equal(4, 256);
        let (mut moved, mut ideal) = (0_u64, 0_u64);
        for (node, weight) in storm {
            let is_there = input.runners.contains_key(&NodeId(node));
            if is_there && input.runners.len() > 1 {
                input.runners.remove(&NodeId(node));
            } else {
                input.runners.extend(runners([(node, weight * 50)]));
            }
            let lost = |shard: &&Shard| {
                shard.home.is_none_or(|home| !input.runners.contains_key(&home))
            };
            ideal += input.shards.values().filter(lost).count() as u64 + fewest_moves(&input);
            let plan = plan(&input, UNLIMITED);
            moved += plan.moves.len() as u64;
            carry_out(&mut input, &plan);
        }
        prop_assert!(moved * 10 <= ideal * 11, "{moved} moves, {ideal} at least");
    }
}
