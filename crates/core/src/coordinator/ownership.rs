//! How ownership changes: grants, moves and what follows from a node's coming or going.

use alloc::{borrow::ToOwned, collections::BTreeMap, vec::Vec};
use quarry_types::{
    Bindings, ClusterView, Epoch, NodeId, NodeState, NodeView, Role, ShardId, ShardView,
};

use super::{At, Changes, State, history::Grants};
use crate::placement::{self, Input, Limits, Plan, Runner, Shard};

/// One log entry while it is applied.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) at: At,
    /// The epoch of all its grants: base plus index, and above all earlier ones (L1).
    pub(super) epoch: Epoch,
    pub(super) changes: Changes,
    pub(super) grants: Grants,
}

impl Entry {
    pub(super) fn new(state: &State, at: At) -> Self {
        let epoch = state.base.saturating_add(at.index).max(state.highest.0.saturating_add(1));
        let (changes, grants) = (Changes::default(), Grants::default());
        Self { at, epoch: Epoch(epoch), changes, grants }
    }
}

impl State {
    /// Grants a shard. No shard is granted twice in one entry: its epoch would be the same.
    pub(super) fn grant(&mut self, entry: &mut Entry, shard: ShardId, owner: NodeId) {
        let Some(shard) = self.shards.get_mut(&shard) else { return };
        debug_assert!(entry.epoch > shard.epoch, "L1: {shard:?} granted again at {}", entry.epoch);
        entry.grants.grant(shard, owner);
        shard.owner = Some(owner);
        shard.epoch = entry.epoch;
        shard.moving_to = shard.moving_to.filter(|to| *to != owner);
        self.base = self.base.max(entry.epoch.0.saturating_sub(entry.at.index));
        self.highest = self.highest.max(entry.epoch);
        entry.changes.granted += 1;
    }

    /// Takes these shards from whoever owned them, who commits nothing more in them: they go where
    /// they were going, else to `heir`, else they wait for [`State::settle`].
    pub(super) fn vacate(&mut self, entry: &mut Entry, shards: &[ShardId], heir: Option<NodeId>) {
        for id in shards {
            let Some(shard) = self.shards.get_mut(id) else { continue };
            entry.grants.vacate(shard);
            shard.owner = None;
            let target = shard.moving_to.take();
            let takes = |node: &NodeId| self.takes(*node, *id);
            if let Some(next) = target.filter(takes).or(heir.filter(takes)) {
                self.grant(entry, *id, next);
            }
        }
    }

    /// The shards that `node` owns.
    pub(super) fn owned_by(&self, node: NodeId) -> Vec<ShardId> {
        self.shards
            .values()
            .filter(|shard| shard.owner == Some(node))
            .map(|shard| shard.id)
            .collect()
    }

    /// Repairs what a change of nodes or owners left open, and nothing else (S2): moves to nodes
    /// that take no shards any more are forgotten; shards without an owner are granted; shards
    /// whose owner takes none any more are marked to move.
    pub(super) fn settle(&mut self, entry: &mut Entry) {
        let runners = self.runners();
        for shard in self.shards.values_mut() {
            let group = self.bindings.group(shard.id.space());
            let takes = |runner: &Runner| group.is_none_or(|group| runner.groups.contains(group));
            shard.moving_to = shard.moving_to.filter(|to| runners.get(to).is_some_and(takes));
        }
        let input = Input { runners, shards: homes(self.shards.values(), &self.bindings) };
        let plan = placement::plan(&input, Limits { max_moves: 0 });
        self.carry_out(entry, &plan);
    }

    /// What the next round of moves would be: as many as are allowed at a time, less those under
    /// way. Moves away from nodes that take no shards any more do not count.
    pub(super) fn next_round(&self) -> Plan {
        let under_way = self.shards.values().filter(|shard| self.moves_for_balance(shard)).count();
        let under_way = u32::try_from(under_way).unwrap_or(u32::MAX);
        let limits = Limits { max_moves: self.max_moves.saturating_sub(under_way) };
        placement::plan(&self.input(), limits)
    }

    pub(super) fn carry_out(&mut self, entry: &mut Entry, plan: &Plan) {
        for change in &plan.moves {
            let Some(shard) = self.shards.get_mut(&change.shard) else { continue };
            if shard.owner.is_some() {
                shard.moving_to = Some(change.to);
                entry.changes.moving += 1;
            } else {
                self.grant(entry, change.shard, change.to);
            }
        }
        entry.changes.waiting += u32::try_from(plan.unplaced.len()).unwrap_or(u32::MAX);
    }

    fn moves_for_balance(&self, shard: &ShardView) -> bool {
        shard.moving_to.is_some() && shard.owner.is_some_and(|owner| self.takes(owner, shard.id))
    }

    fn input(&self) -> Input {
        Input { runners: self.runners(), shards: homes(self.shards.values(), &self.bindings) }
    }

    fn runners(&self) -> BTreeMap<NodeId, Runner> {
        runners(self.nodes.values())
    }
}

/// What the planner is told of a cluster that looks like this.
#[must_use]
pub fn planner_input(view: &ClusterView) -> Input {
    let shards = homes(view.shards.iter(), &view.bindings);
    Input { runners: runners(view.nodes.values()), shards }
}

pub(super) fn runners<'a>(nodes: impl Iterator<Item = &'a NodeView>) -> BTreeMap<NodeId, Runner> {
    nodes
        .filter(|node| takes_shards(node))
        .map(|node| (node.id, Runner { weight: node.weight, groups: node.groups.clone() }))
        .collect()
}

/// Whether the node may be given shards now.
pub(super) fn takes_shards(node: &NodeView) -> bool {
    node.state == NodeState::Up && node.weight > 0 && node.roles.contains(&Role::Runner)
}

pub(super) fn homes<'a>(
    shards: impl Iterator<Item = &'a ShardView>,
    bindings: &Bindings,
) -> BTreeMap<ShardId, Shard> {
    shards
        .map(|shard| {
            let home = shard.moving_to.or(shard.owner);
            let is_moving = shard.moving_to.is_some();
            let group = bindings.group(shard.id.space()).map(ToOwned::to_owned);
            (shard.id, Shard { home, is_moving, group, load: shard.load })
        })
        .collect()
}
