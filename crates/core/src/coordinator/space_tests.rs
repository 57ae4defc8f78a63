//! Entity types that are bound to groups: what the log may do with their spaces.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
    vec::Vec,
};

use proptest::prelude::*;
use quarry_types::{
    BootId, ClusterId, DEFAULT_GROUP, EntityType, Epoch, NodeId, NodeState, ShardId, ShardView,
    Space,
};

use super::{
    tests::{Log, member},
    *,
};

const SHARDS: u32 = 8;
const MAX_MOVES: u32 = 3;
const GROUPS: [&str; 3] = [DEFAULT_GROUP, "gpu", "big"];

fn named(entity_type: &str) -> EntityType {
    EntityType::new(entity_type).unwrap()
}

fn found(bindings: &[(&str, &str)]) -> Command {
    let bindings = bindings.iter().map(|(of, group)| (named(of), (*group).to_string())).collect();
    made_with(Founding { bindings, ..Founding::default() })
}

fn made_with(founding: Founding) -> Command {
    Command::Found { cluster: ClusterId(1), shards: SHARDS, max_moves: MAX_MOVES, founding }
}

fn bind(entity_type: &str, group: &str) -> Command {
    Command::Bind { entity_type: named(entity_type), group: group.to_string() }
}

fn take_into_use(entity_type: &str) -> Command {
    Command::Use { entity_type: named(entity_type) }
}

fn labelled(node: u64, boot: u64, groups: &[&str]) -> Member {
    let groups = groups.iter().map(|group| (*group).to_string()).collect();
    Member { groups, ..member(node, boot) }
}

fn join(node: u64, groups: &[&str]) -> Command {
    Command::Join { node: labelled(node, 1, groups) }
}

/// A cluster in which the type `Heavy` is bound to `gpu`, with one such node and one without.
fn bound() -> Log {
    let mut log = Log::default();
    log.apply(found(&[("Heavy", "gpu")]));
    log.apply(join(1, &[]));
    log.apply(join(2, &["gpu"]));
    log.balance();
    log
}

fn of_space(state: &State, space: u16) -> Vec<ShardView> {
    let shards = state.shards().values().filter(|shard| shard.id.space() == Space(space));
    shards.cloned().collect()
}

#[test]
fn a_group_has_shards_of_its_own_that_only_its_runners_own() {
    let log = bound();
    let (free, own) = (of_space(&log.state, 0), of_space(&log.state, 1));
    assert_eq!((free.len(), own.len()), (8, 8));
    assert!(own.iter().all(|shard| shard.owner == Some(NodeId(2))));
    let of_node = |node| free.iter().filter(|shard| shard.owner == Some(NodeId(node))).count();
    assert_eq!((of_node(1), of_node(2)), (4, 4), "what is bound to none lives on all runners");
    assert_eq!(log.state.violations(), []);
    let view = log.state.view(log.index, None);
    let found = own.iter().all(|shard| view.shard_at(Space(1), shard.range.first) == Some(shard));
    assert!(found && free.iter().all(|shard| view.shard_of(shard.range.last) == Some(shard)));
}

#[test]
fn while_no_runner_of_the_group_is_up_its_shards_wait_and_others_do_not() {
    let mut log = bound();
    log.end(2, 1, LeaseEnd::Expired);
    assert!(of_space(&log.state, 1).iter().all(|shard| shard.owner.is_none()));
    assert!(of_space(&log.state, 0).iter().all(|shard| shard.owner == Some(NodeId(1))));
    log.apply(join(3, &["big", "gpu"]));
    assert!(of_space(&log.state, 1).iter().all(|shard| shard.owner == Some(NodeId(3))));
    let again = Command::Join { node: labelled(3, 2, &[]) };
    log.apply(again);
    assert!(of_space(&log.state, 1).iter().all(|shard| shard.owner.is_none()), "no heir");
}

#[test]
fn a_type_is_bound_until_it_is_used() {
    let mut log = bound();
    let refused = |refused| Response::Refused(refused);
    assert!(matches!(log.apply(bind("Other", "big")), Response::Applied(_)));
    assert_eq!(of_space(&log.state, 2).len(), 8);
    assert_eq!(log.apply(bind("Other", "big")), Response::Ignored(Ignored::AlreadySo));
    assert!(matches!(log.apply(bind("Other", "gpu")), Response::Applied(_)), "not used yet");
    assert!(matches!(log.apply(take_into_use("Other")), Response::Applied(_)));
    assert_eq!(log.apply(take_into_use("Other")), Response::Ignored(Ignored::AlreadySo));
    assert_eq!(log.apply(bind("Other", DEFAULT_GROUP)), refused(Refused::TypeUsed));
    assert_eq!(log.apply(bind("Other", "gpu")), Response::Ignored(Ignored::AlreadySo));
    log.apply(take_into_use("Free"));
    assert_eq!(log.apply(bind("Free", "gpu")), refused(Refused::TypeUsed));
    assert_eq!(log.apply(bind("New", "not a name")), refused(Refused::InvalidGroup));
    let bindings = log.state.bindings();
    assert_eq!(bindings.space_of(&named("Other")), Some(Space(1)));
    assert_eq!(bindings.space_of(&named("Free")), Some(Space::DEFAULT));
    assert_eq!(bindings.space_of(&named("New")), None);
}

#[test]
fn a_cluster_that_recorded_no_uses_binds_nothing() {
    let mut log = Log::of([1]);
    let before = log.state.clone();
    assert_eq!(log.apply(bind("Heavy", "gpu")), Response::Refused(Refused::UsesUnknown));
    assert_eq!(log.apply(take_into_use("Heavy")), Response::Ignored(Ignored::AlreadySo));
    assert_eq!(log.state, before);
    assert_eq!(before.bindings().space_of(&named("Heavy")), Some(Space::DEFAULT));
}

#[test]
fn a_cluster_that_is_made_anew_knows_the_spaces_and_uses_of_its_store() {
    let mut log = Log::default();
    let bindings = [(named("Heavy"), "gpu".to_string()), (named("Wide"), "big".to_string())].into();
    let groups = ["big".to_string(), "gpu".to_string()].to_vec();
    let used = [named("Heavy"), named("Free")].into();
    log.apply(made_with(Founding { bindings, groups, used }));
    let bindings = log.state.bindings();
    assert_eq!(bindings.space_of(&named("Heavy")), Some(Space(2)));
    assert_eq!(bindings.bound_to(&named("Wide")), Space(1));
    assert_eq!(bindings.space_of(&named("Wide")), None);
    assert_eq!(log.apply(bind("Free", "gpu")), Response::Refused(Refused::TypeUsed));
    let per_space = usize::try_from(SHARDS).unwrap();
    assert_eq!(log.state.view(log.index, None).shards.len(), 3 * per_space);
}

#[test]
fn there_are_no_more_shards_than_a_cluster_can_begin_with() {
    let mut log = Log::default();
    let (cluster, shards, max_moves) = (ClusterId(1), 16_384, MAX_MOVES);
    let bound = |number: u32| (named(&format!("T{number}")), format!("g{number}"));
    let founding = Founding { bindings: (0..4).map(bound).collect(), ..Founding::default() };
    let response = log.apply(Command::Found { cluster, shards, max_moves, founding });
    let refused = Refused::TooManyGroups { groups: 4, shards };
    assert_eq!(response, Response::Refused(refused));
    assert_eq!(log.state, State::default());
}

#[test]
fn a_node_that_knows_no_bindings_stays_out_of_a_cluster_that_has_some() {
    let log = bound();
    let view = log.state.view(log.index, None);
    let command = join(3, &[]);
    let too_old = Unfit::TooOld { node: NodeId(3), speaks: 3, needed: 4 };
    assert_eq!(fit(command.clone(), 3, &view, &Versions::new()), Err(too_old));
    assert_eq!(fit(command.clone(), 4, &view, &Versions::new()), Ok(command));
    let without = Log::of([1]);
    let view = without.state.view(without.index, None);
    let command = join(3, &["gpu"]);
    assert_eq!(fit(command.clone(), 1, &view, &Versions::new()), Ok(command));
}

#[test]
fn a_forecast_leaves_the_shards_of_a_group_to_its_runners() {
    let log = bound();
    let view = log.state.view(log.index, None);
    let foreseen = forecast(&view, &[NodeId(2)].into()).unwrap();
    assert_eq!(foreseen.waiting.len(), 8);
    assert!(foreseen.waiting.iter().all(|shard| shard.space() == Space(1)));
    assert!(foreseen.moves.iter().all(|change| change.shard.space() == Space::DEFAULT));
}

/// A command whose details are filled in from the state that it meets.
#[derive(Clone, Debug)]
enum Intent {
    Join { node: u64, boot: u64 },
    End { node: u64, cause: LeaseEnd },
    Drain(u64),
    Undrain(u64),
    Release { node: u64, shards: u64 },
    Rebalance,
    Split { at: u32 },
    Bind { entity_type: u8, group: usize },
    Use { entity_type: u8 },
}

fn intent() -> impl Strategy<Value = Intent> {
    let node = 0..6_u64;
    let cause = prop_oneof![Just(LeaseEnd::Expired), Just(LeaseEnd::Goodbye)];
    prop_oneof![
        5 => (node.clone(), 0..9_u64).prop_map(|(node, boot)| Intent::Join { node, boot }),
        2 => (node.clone(), cause).prop_map(|(node, cause)| Intent::End { node, cause }),
        1 => node.clone().prop_map(Intent::Drain),
        1 => node.clone().prop_map(Intent::Undrain),
        4 => (node, any::<u64>()).prop_map(|(node, shards)| Intent::Release { node, shards }),
        3 => Just(Intent::Rebalance),
        1 => any::<u32>().prop_map(|at| Intent::Split { at }),
        2 => (0..5_u8, 0..3_usize)
            .prop_map(|(entity_type, group)| Intent::Bind { entity_type, group }),
        1 => (0..5_u8).prop_map(|entity_type| Intent::Use { entity_type }),
    ]
}

/// What a process of a node says of its groups: always the same.
fn groups_of(node: u64, boot: u64) -> Vec<&'static str> {
    let bits = node.wrapping_mul(7).wrapping_add(boot / 3);
    GROUPS
        .iter()
        .enumerate()
        .filter(|(at, _)| bits & (1 << at) != 0)
        .map(|(_, name)| *name)
        .collect()
}

fn command(state: &State, intent: &Intent) -> Command {
    let boot = |node: u64| state.nodes().get(&NodeId(node)).map_or(BootId(99), |known| known.boot);
    match *intent {
        Intent::Join { node, boot } => {
            Command::Join { node: labelled(node, boot, &groups_of(node, boot)) }
        }
        Intent::End { node, cause } => {
            Command::EndLease { node: NodeId(node), boot: boot(node), cause }
        }
        Intent::Drain(node) => Command::Drain { nodes: [NodeId(node)].into() },
        Intent::Undrain(node) => Command::Undrain { nodes: [NodeId(node)].into() },
        Intent::Release { node, shards } => {
            let chosen = |shard: &&ShardView| {
                shard.owner == Some(NodeId(node)) && shards & (1 << (shard.id.place() % 64)) != 0
            };
            let owned = state.shards().values().filter(chosen);
            let shards = owned.map(|shard| (shard.id, shard.epoch)).collect();
            Command::Release { node: NodeId(node), boot: boot(node), shards }
        }
        Intent::Rebalance => Command::Rebalance { loads: Loads::new() },
        Intent::Split { at } => {
            let shards: Vec<ShardId> = state.shards().keys().copied().collect();
            let there = shards.get(at as usize % shards.len().max(1)).copied();
            Command::Split { shard: there.unwrap_or_default() }
        }
        Intent::Bind { entity_type, group } => bind(&format!("T{entity_type}"), GROUPS[group]),
        Intent::Use { entity_type } => take_into_use(&format!("T{entity_type}")),
    }
}

/// Every shard is where its group lets it be, and waits only where nobody may have it.
fn lives_on_its_group(state: &State) -> Result<(), TestCaseError> {
    for shard in state.shards().values() {
        let group = state.bindings().group(shard.id.space());
        for node in shard.owner.iter().chain(&shard.moving_to) {
            let groups: &BTreeSet<String> = &state.nodes()[node].groups;
            prop_assert!(
                group.is_none_or(|group| groups.contains(group)),
                "{:?} of {:?}",
                shard,
                group
            );
        }
        let has_taker = state.nodes().keys().any(|node| state.takes(*node, shard.id));
        prop_assert!(shard.owner.is_some() || !has_taker, "{:?} waits for nothing", shard);
        let owner = shard.owner.map(|owner| state.nodes()[&owner].state);
        prop_assert!(owner != Some(NodeState::Draining) || shard.moving_to.is_some() || !has_taker);
    }
    Ok(())
}

/// The home of a type that was used never changes.
fn stays(before: &State, after: &State) -> Result<(), TestCaseError> {
    for used in &before.bindings().used {
        let home = |state: &State| state.bindings().space_of(used);
        prop_assert_eq!(home(before), home(after), "{} moved", used);
        prop_assert!(home(after).is_some());
    }
    Ok(())
}

/// With honest owners the cluster comes to rest, each space evenly divided among its runners.
fn comes_to_rest(mut state: State, mut index: u64) -> Result<(), TestCaseError> {
    for _ in 0..4 * state.shards().len() {
        index += 1;
        state.apply(index, Command::Rebalance { loads: Loads::new() });
        let nodes: Vec<(NodeId, BootId)> = state.leased().collect();
        for (node, boot) in nodes {
            let of = state.shards().values().filter(|shard| shard.owner == Some(node));
            let moving = of.filter(|shard| shard.moving_to.is_some());
            let shards = moving.map(|shard| (shard.id, shard.epoch)).collect();
            index += 1;
            state.apply(index, Command::Release { node, boot, shards });
        }
    }
    prop_assert!(!state.needs_rebalance(&Loads::new()));
    for space in state.bindings().spaces() {
        let shards = of_space(&state, space.0);
        let first = shards[0].id;
        let takers: Vec<NodeId> =
            state.nodes().keys().copied().filter(|node| state.takes(*node, first)).collect();
        for taker in &takers {
            let owned = shards.iter().filter(|shard| shard.owner == Some(*taker)).count();
            let share = (shards.len() / takers.len())..=shards.len().div_ceil(takers.len());
            prop_assert!(share.contains(&owned), "{:?} has {} of {:?}", taker, owned, space);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn random_logs_with_bound_types_keep_every_promise(
        intents in proptest::collection::vec(intent(), 1..60),
    ) {
        let (mut state, mut index) = (State::default(), 1);
        state.apply(index, found(&[("T0", "gpu"), ("T1", "big"), ("T2", DEFAULT_GROUP)]));
        let mut granted: BTreeMap<(ShardId, Epoch), NodeId> = BTreeMap::new();
        for intent in &intents {
            index += 1;
            let (before, command) = (state.clone(), command(&state, intent));
            let response = state.apply(index, command.clone());
            prop_assert_eq!(audit(&before.ownership(), &command, &response, &state), []);
            prop_assert!(matches!(response, Response::Applied(_)) || before == state);
            lives_on_its_group(&state)?;
            stays(&before, &state)?;
            for shard in state.shards().values() {
                let Some(owner) = shard.owner else { continue };
                let known = *granted.entry((shard.id, shard.epoch)).or_insert(owner);
                prop_assert_eq!(known, owner, "one epoch, two owners (L1)");
            }
        }
        comes_to_rest(state, index)?;
    }
}
