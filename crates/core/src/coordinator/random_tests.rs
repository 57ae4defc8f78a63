//! Random logs against what must hold after every entry.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use proptest::prelude::*;
use quarry_types::{BootId, ClusterId, Epoch, NodeId, NodeState, Role, ShardId, ShardView};

use super::{tests::member, *};

const SHARDS: u32 = 16;
const MAX_MOVES: u32 = 3;

/// A command whose details are filled in from the state that it meets.
#[derive(Clone, Debug)]
enum Intent {
    Join { node: u64, boot: u64, weight: u32, is_runner: bool },
    End { node: u64, boot: Option<u64>, cause: LeaseEnd },
    Drain(u64),
    DrainSome { nodes: u32 },
    Undrain(u64),
    Release { by: u64, of: u64, shards: u32, age: u64 },
    Raise { shard: u32, by: u64 },
    Rebalance { heavy: u32 },
    Split { at: u32 },
    Initialize(u64),
}

fn intent() -> impl Strategy<Value = Intent> {
    let node = 0..5_u64;
    let cause = prop_oneof![
        Just(LeaseEnd::Expired),
        Just(LeaseEnd::Goodbye),
        Just(LeaseEnd::NewIncarnation)
    ];
    prop_oneof![
        4 => (node.clone(), 0..12_u64, 0..4_u32, 0..8_u8).prop_map(|(node, boot, weight, dice)| {
            Intent::Join { node, boot, weight: weight * 50, is_runner: dice > 0 }
        }),
        3 => (node.clone(), proptest::option::weighted(0.3, 0..12_u64), cause)
            .prop_map(|(node, boot, cause)| Intent::End { node, boot, cause }),
        1 => node.clone().prop_map(Intent::Drain),
        1 => any::<u32>().prop_map(|nodes| Intent::DrainSome { nodes }),
        1 => node.clone().prop_map(Intent::Undrain),
        4 => (node.clone(), node, any::<u32>(), 0..8_u64).prop_map(|(by, of, shards, age)| {
            // Mostly what is true, sometimes of another's shards or of an older epoch.
            Intent::Release { by, of: if age == 1 { of } else { by }, shards, age: age / 7 }
        }),
        1 => (0..SHARDS, 0..50_u64).prop_map(|(shard, by)| Intent::Raise { shard, by }),
        3 => prop_oneof![2 => Just(0), 1 => any::<u32>()]
            .prop_map(|heavy| Intent::Rebalance { heavy }),
        1 => (0..2_u64).prop_map(Intent::Initialize),
        2 => any::<u32>().prop_map(|at| Intent::Split { at }),
    ]
}

fn command(state: &State, intent: &Intent) -> Command {
    let present =
        |node: u64| state.nodes().get(&NodeId(node)).map_or(BootId(u64::MAX), |known| known.boot);
    match *intent {
        Intent::Join { node, boot, weight, is_runner } => {
            let role = if is_runner { Role::Runner } else { Role::Gateway };
            let roles = BTreeSet::from([role]);
            Command::Join { node: Member { roles, weight, ..member(node, boot) } }
        }
        Intent::End { node, boot, cause } => {
            let boot = boot.map_or_else(|| present(node), BootId);
            Command::EndLease { node: NodeId(node), boot, cause }
        }
        Intent::Drain(node) => Command::Drain { nodes: [NodeId(node)].into() },
        Intent::DrainSome { nodes } => {
            let chosen = |node: &&NodeId| nodes & (1 << (node.0 % 32)) != 0;
            Command::DrainSome { nodes: state.nodes().keys().filter(chosen).copied().collect() }
        }
        Intent::Undrain(node) => Command::Undrain { nodes: [NodeId(node)].into() },
        Intent::Release { by, of, shards, age } => {
            let chosen = |shard: &&ShardView| {
                shard.owner == Some(NodeId(of)) && shards & (1 << (shard.id.0 % 32)) != 0
            };
            let pair = |shard: &ShardView| (shard.id, Epoch(shard.epoch.0.saturating_sub(age)));
            let shards = state.shards().values().filter(chosen).map(pair).collect();
            Command::Release { node: NodeId(by), boot: present(by), shards }
        }
        Intent::Raise { shard, by } => {
            let known = state.shards().get(&ShardId(shard)).map_or(0, |shard| shard.epoch.0);
            Command::RaiseBase { refused: [(ShardId(shard), Epoch(known + by))].into() }
        }
        Intent::Rebalance { heavy } => Command::Rebalance { loads: loads(heavy) },
        Intent::Split { at } => {
            // Mostly one that is there, sometimes one that was, or none at all.
            let shards: Vec<ShardId> = state.shards().keys().copied().collect();
            let there = shards.get(at as usize % (shards.len() + 1)).copied();
            Command::Split { shard: there.unwrap_or(ShardId(at % (3 * SHARDS))) }
        }
        Intent::Initialize(cluster) => Command::Initialize {
            cluster: ClusterId(cluster),
            shards: SHARDS,
            max_moves: MAX_MOVES,
        },
    }
}

/// Every shard whose bit is set weighs 4.
fn loads(heavy: u32) -> Loads {
    (0..SHARDS).filter(|shard| heavy & (1 << shard) != 0).map(|shard| (ShardId(shard), 4)).collect()
}

fn check_step(
    before: &State,
    command: &Command,
    response: &Response,
    after: &State,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(audit(&before.ownership(), command, response, after), []);
    let is_applied = matches!(response, Response::Applied(_));
    prop_assert!(is_applied || before == after, "{:?} changed the state", response);
    let takers: Vec<NodeId> =
        after.nodes().keys().copied().filter(|id| after.takes_shards(*id)).collect();
    for (id, shard) in after.shards() {
        prop_assert!(shard.owner.is_some() || takers.is_empty(), "{:?} waits for nothing", id);
        let owner = shard.owner.map(|owner| &after.nodes()[&owner]);
        if owner.is_some_and(|node| node.state == NodeState::Draining) && !takers.is_empty() {
            prop_assert!(shard.moving_to.is_some(), "{:?} stays on a draining node", id);
        }
    }
    if matches!(command, Command::DrainSome { .. }) {
        let had_takers = before.nodes().keys().any(|id| before.takes_shards(*id));
        prop_assert!(!had_takers || !takers.is_empty(), "it left no runner");
    }
    let balancing = after.shards().values().filter(|shard| {
        shard.moving_to.is_some() && shard.owner.is_some_and(|owner| after.takes_shards(owner))
    });
    let had = before.shards().values().filter(|shard| shard.moving_to.is_some()).count();
    prop_assert!(balancing.count() <= had.max(MAX_MOVES as usize));
    if let (Command::Split { shard }, true) = (command, is_applied) {
        prop_assert_eq!(after.shards().len(), before.shards().len() + 1);
        for (id, shard) in before.shards().iter().filter(|(id, _)| *id != shard) {
            prop_assert_eq!(&after.shards()[id], shard, "S2");
        }
    }
    Ok(())
}

/// With one more runner and honest owners the cluster comes to rest, evenly divided.
fn comes_to_rest(mut state: State, mut index: u64) -> Result<(), TestCaseError> {
    let mut apply = |state: &mut State, command| {
        index += 1;
        state.apply(index, command)
    };
    let make = Command::Initialize { cluster: ClusterId(0), shards: SHARDS, max_moves: MAX_MOVES };
    apply(&mut state, make);
    apply(&mut state, Command::Join { node: member(7, 1) });
    let shards = u32::try_from(state.shards().len()).unwrap();
    for _ in 0..4 * shards {
        apply(&mut state, Command::Rebalance { loads: Loads::new() });
        let nodes: Vec<(NodeId, BootId)> = state.leased().collect();
        for (node, boot) in nodes {
            let moving =
                |shard: &&ShardView| shard.owner == Some(node) && shard.moving_to.is_some();
            let shards: Vec<_> = state.shards().values().filter(moving).collect();
            let shards = shards.into_iter().map(|shard| (shard.id, shard.epoch)).collect();
            apply(&mut state, Command::Release { node, boot, shards });
        }
    }
    prop_assert!(!state.needs_rebalance(&Loads::new()));
    let takers: Vec<_> =
        state.nodes().values().filter(|node| state.takes_shards(node.id)).collect();
    let total: u32 = takers.iter().map(|node| node.weight).sum();
    for node in takers {
        let owned = state.shards().values().filter(|shard| shard.owner == Some(node.id)).count();
        let quota = shards * node.weight;
        let share = (quota / total)..=quota.div_ceil(total);
        prop_assert!(share.contains(&u32::try_from(owned).unwrap()), "{:?} has {}", node.id, owned);
    }
    Ok(())
}

proptest! {
    #[test]
    fn random_logs_keep_every_promise(
        intents in proptest::collection::vec(intent(), 1..80),
        is_made_first in any::<bool>(),
    ) {
        let mut state = State::default();
        let mut index = 0;
        let mut granted: BTreeMap<(ShardId, Epoch), NodeId> = BTreeMap::new();
        let first = is_made_first.then_some(Intent::Initialize(0));
        for intent in first.iter().chain(&intents) {
            index += 1;
            let command = command(&state, intent);
            let before = state.clone();
            let response = state.apply(index, command.clone());
            check_step(&before, &command, &response, &state)?;
            for shard in state.shards().values() {
                let Some(owner) = shard.owner else { continue };
                let known = *granted.entry((shard.id, shard.epoch)).or_insert(owner);
                prop_assert_eq!(known, owner, "one epoch, two owners (L1)");
            }
            let settled = state.clone();
            let is_once_only = matches!(
                command,
                Command::Join { .. }
                    | Command::EndLease { .. }
                    | Command::Drain { .. }
                    | Command::DrainSome { .. }
                    | Command::Split { .. }
            );
            if is_once_only {
                index += 1;
                let again = state.apply(index, command);
                prop_assert!(!matches!(again, Response::Applied(_)), "{:?} twice", intent);
                prop_assert_eq!(&state, &settled);
            }
        }
        let text = serde_json::to_string(&state).unwrap();
        prop_assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state.clone());
        comes_to_rest(state, index)?;
    }
}
