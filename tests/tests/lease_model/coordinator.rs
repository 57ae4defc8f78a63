//! The real coordinator's state machine under every log of some length: it grants as the model of
//! lease and fence says that it does (L1). There, any node may be granted the shard at any moment;
//! all that is assumed is that no epoch is granted twice, and that they grow.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{Hash, Hasher},
};

use quarry_core::coordinator::{Command, LeaseEnd, Member, State};
use quarry_ports::Host;
use quarry_types::{BootId, ClusterId, Epoch, NodeId, Role, ShardId};
use stateright::{Checker, Model, Property};

const NODES: u64 = 3;
const SHARDS: u32 = 2;
/// Processes of a node, one after the other.
const BOOTS: u64 = 2;
/// How far a store is ahead of a coordinator that lost its log.
const AHEAD: u64 = 7;

/// The state after some log, with what it granted on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cluster {
    state: State,
    index: u64,
    /// The newest epoch under which each shard was ever granted.
    granted: BTreeMap<ShardId, Epoch>,
    /// A shard got an owner without an epoch above all of its earlier ones.
    is_granted_again: bool,
    /// A shard went from one owner to another through the end of a lease.
    has_moved: bool,
    /// A store that was ahead made the coordinator jump over epochs.
    has_jumped: bool,
}

impl Hash for Cluster {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        format!("{self:?}").hash(hasher);
    }
}

struct Log {
    entries: u64,
}

fn member(node: NodeId, boot: BootId) -> Member {
    Member {
        id: node,
        boot,
        roles: BTreeSet::from([Role::Runner]),
        weight: 100,
        groups: BTreeSet::new(),
        http: String::new(),
        control: String::new(),
        mesh: String::new(),
    }
}

impl Model for Log {
    type State = Cluster;
    type Action = Command;

    fn init_states(&self) -> Vec<Cluster> {
        let mut state = State::default();
        let _ = state
            .apply(1, Command::Initialize { cluster: ClusterId(1), shards: SHARDS, max_moves: 1 });
        vec![Cluster {
            state,
            index: 1,
            granted: BTreeMap::new(),
            is_granted_again: false,
            has_moved: false,
            has_jumped: false,
        }]
    }

    fn actions(&self, cluster: &Cluster, commands: &mut Vec<Command>) {
        if cluster.index > self.entries {
            return;
        }
        for node in (0..NODES).map(NodeId) {
            let nodes = BTreeSet::from([node]);
            commands.extend([Command::Drain { nodes: nodes.clone() }, Command::Undrain { nodes }]);
            for boot in (1..=BOOTS).map(BootId) {
                let ends = [LeaseEnd::Expired, LeaseEnd::Goodbye, LeaseEnd::NewIncarnation];
                commands.push(Command::Join { node: member(node, boot) });
                commands.extend(ends.map(|cause| Command::EndLease { node, boot, cause }));
                let shards: Vec<_> =
                    cluster.granted.iter().map(|(id, epoch)| (*id, *epoch)).collect();
                commands.push(Command::Release { node, boot, shards });
            }
        }
        for (shard, epoch) in &cluster.granted {
            let refused = vec![(*shard, Epoch(epoch.0 + AHEAD))];
            commands.push(Command::RaiseBase { refused });
        }
        commands.push(Command::Rebalance { loads: BTreeMap::new() });
    }

    fn next_state(&self, cluster: &Cluster, command: Command) -> Option<Cluster> {
        let mut next = cluster.clone();
        next.index += 1;
        next.has_jumped |= matches!(command, Command::RaiseBase { .. });
        let _ = next.state.apply(next.index, command);
        next.state.forget_moves();
        for (id, shard) in next.state.shards() {
            let before = cluster.state.shards().get(id);
            let is_same = before
                .is_some_and(|before| (before.owner, before.epoch) == (shard.owner, shard.epoch));
            if is_same || shard.owner.is_none() {
                continue;
            }
            let newest = next.granted.insert(*id, shard.epoch).unwrap_or_default();
            next.is_granted_again |= shard.epoch <= newest;
            let owner = before.and_then(|before| before.owner);
            next.has_moved |= owner.is_some() && owner != shard.owner;
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "L1: no two grants of a shard share an epoch, and they grow",
                |_, c| {
                    let c: &Cluster = c;
                    !c.is_granted_again
                },
            ),
            Property::always("the state machine finds itself sound", |_, cluster: &Cluster| {
                cluster.state.violations().is_empty()
            }),
            Property::sometimes("a shard moves", |_, cluster: &Cluster| cluster.has_moved),
            Property::sometimes("epochs jump and a shard moves", |_, cluster: &Cluster| {
                cluster.has_jumped && cluster.has_moved
            }),
        ]
    }
}

/// Visits the state after every log of at most so many entries, and panics where L1 is broken.
pub(crate) fn exhaust(entries: u64) -> String {
    let host = Host::system();
    let began = host.now();
    let checker = Log { entries }.checker().threads(2).spawn_dfs().join();
    checker.assert_properties();
    format!(
        "coordinator, {entries} entries: {} states, {} steps, in {:.1?}",
        checker.unique_state_count(),
        checker.state_count(),
        host.now().since(began),
    )
}
