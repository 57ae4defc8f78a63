//! Applying log entries.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::time::Duration;

use quarry_types::{
    BootId, ClusterId, Epoch, MoveReason, NodeId, NodeState, NodeView, ShardId, ShardView, Slot,
    SlotRange, Space,
};

use super::{
    At, Changes, Command, Ignored, LeaseEnd, Loads, Member, Refused, Response, State,
    ownership::Entry, versions::leaves_none,
};
use crate::placement::LIGHT;
use quarry_types::planted::{Bug, is_planted};

/// The most shards a cluster can have: one per slot.
pub(super) const MAX_SHARDS: u32 = 65_536;
/// How many ended processes of a node are remembered.
const MAX_RETIRED: usize = 8;
/// The newest epoch that a store may have recorded. Stores keep epochs in signed 64-bit columns; half of
/// that leaves room to grow for ever.
pub const MAX_RECORDED: Epoch = Epoch(1 << 62);

impl State {
    /// Applies the entry that stands `at` this place of the log. Indexes only grow.
    pub fn apply(&mut self, at: impl Into<At>, command: Command) -> Response {
        let mut entry = Entry::new(self, at.into());
        let response = match command {
            Command::Initialize { cluster, shards, max_moves } => {
                self.initialize(&mut entry, cluster, shards, max_moves)
            }
            Command::Join { node } => self.join(&mut entry, node, None),
            Command::JoinFor { node, lease_ttl } => self.join(&mut entry, node, Some(lease_ttl)),
            Command::EndLease { node, boot, cause } => {
                self.end_lease(&mut entry, node, boot, cause)
            }
            Command::Drain { nodes } => self.drain(&mut entry, &nodes),
            Command::DrainSome { nodes } => self.drain_some(&mut entry, &nodes),
            Command::Undrain { nodes } => self.undrain(&mut entry, &nodes),
            Command::Release { node, boot, shards } => {
                self.release(&mut entry, node, boot, &shards)
            }
            Command::RaiseBase { refused } => self.raise_base(&mut entry, &refused),
            Command::Rebalance { loads } => self.rebalance(&mut entry, &loads),
            Command::Split { shard } => self.split(&mut entry, shard),
            Command::Found { cluster, shards, max_moves, founding } => {
                self.found(&mut entry, cluster, (shards, max_moves), founding)
            }
            Command::Bind { entity_type, group } => self.bind(&mut entry, entity_type, &group),
            Command::Use { entity_type } => self.take_into_use(entity_type),
        };
        self.remember(entry);
        debug_assert!(self.violations().is_empty(), "broken: {:?}", self.violations());
        response
    }

    fn initialize(
        &mut self,
        entry: &mut Entry,
        cluster: ClusterId,
        shards: u32,
        max_moves: u32,
    ) -> Response {
        if let Err(response) = self.may_be_made(cluster, shards, max_moves) {
            return response;
        }
        self.cluster = Some(cluster);
        self.max_moves = max_moves;
        self.shards = equal_shards(Space::DEFAULT, shards);
        self.settle(entry);
        Response::Applied(entry.changes)
    }

    /// Whether the cluster can be made of this now; else what is answered.
    pub(super) fn may_be_made(
        &self,
        cluster: ClusterId,
        shards: u32,
        max_moves: u32,
    ) -> Result<(), Response> {
        match self.cluster {
            Some(present) if present == cluster => Err(Response::Ignored(Ignored::AlreadySo)),
            Some(present) => Err(Response::Refused(Refused::OtherCluster { present })),
            None if !shards.is_power_of_two() || shards > MAX_SHARDS => {
                Err(Response::Refused(Refused::InvalidShards { shards }))
            }
            None if max_moves == 0 => Err(Response::Refused(Refused::NoMoves)),
            None => Ok(()),
        }
    }

    fn join(&mut self, entry: &mut Entry, member: Member, lease_ttl: Option<Duration>) -> Response {
        let (node, boot) = (member.id, member.boot);
        if self.retired.get(&node).is_some_and(|ended| ended.contains(&boot)) {
            return Response::Refused(Refused::BootEnded { node, boot });
        }
        let present = self.nodes.get(&node);
        let is_draining =
            present.is_some_and(|known| known.boot == boot && known.state == NodeState::Draining);
        let joined = member.seen_as(if is_draining { NodeState::Draining } else { NodeState::Up });
        if present == Some(&joined) && self.lease_ttls.get(&node) == lease_ttl.as_ref() {
            return Response::Ignored(Ignored::AlreadySo);
        }
        match lease_ttl {
            Some(ttl) => self.lease_ttls.insert(node, ttl),
            None => self.lease_ttls.remove(&node),
        };
        let replaced = present.map(|known| known.boot).filter(|old| *old != boot);
        self.nodes.insert(node, joined);
        if let Some(old) = replaced
            && !is_planted(Bug::GrantReuse)
        {
            self.retire(node, old);
            entry.grants.reason = Some(MoveReason::Restarted);
            let heir = self.takes_shards(node).then_some(node);
            self.vacate(entry, &self.owned_by(node), heir);
        }
        self.settle(entry);
        Response::Applied(entry.changes)
    }

    fn end_lease(
        &mut self,
        entry: &mut Entry,
        node: NodeId,
        boot: BootId,
        cause: LeaseEnd,
    ) -> Response {
        let Some(known) = self.nodes.get_mut(&node) else {
            return Response::Refused(Refused::UnknownNode { node });
        };
        if known.boot != boot {
            return Response::Ignored(Ignored::StaleBoot { node, boot });
        }
        entry.grants.reason = Some(cause.into());
        let was_down = known.state == NodeState::Down;
        known.state = NodeState::Down;
        match cause {
            LeaseEnd::Expired if was_down => return Response::Ignored(Ignored::AlreadySo),
            LeaseEnd::Expired => {}
            LeaseEnd::Goodbye | LeaseEnd::NewIncarnation => {
                if !self.retire(node, boot) && was_down {
                    return Response::Ignored(Ignored::AlreadySo);
                }
            }
        }
        self.vacate(entry, &self.owned_by(node), None);
        self.settle(entry);
        Response::Applied(entry.changes)
    }

    /// All of them or, where one cannot be drained, none.
    fn drain(&mut self, entry: &mut Entry, nodes: &BTreeSet<NodeId>) -> Response {
        let up = match self.in_state(nodes, NodeState::Up) {
            Ok(up) if up.is_empty() => return Response::Ignored(Ignored::AlreadySo),
            Ok(up) => up,
            Err(refused) => return Response::Refused(refused),
        };
        for node in up {
            if let Some(known) = self.nodes.get_mut(&node) {
                known.state = NodeState::Draining;
            }
        }
        self.settle(entry);
        Response::Applied(entry.changes)
    }

    /// As [`State::drain`], where a node that takes shards stays.
    fn drain_some(&mut self, entry: &mut Entry, nodes: &BTreeSet<NodeId>) -> Response {
        let can_be_drained = self.in_state(nodes, NodeState::Up).is_ok();
        if can_be_drained && leaves_none(self.nodes.values(), nodes) {
            return Response::Refused(Refused::NoRunnerLeft);
        }
        self.drain(entry, nodes)
    }

    fn undrain(&mut self, entry: &mut Entry, nodes: &BTreeSet<NodeId>) -> Response {
        let draining = match self.in_state(nodes, NodeState::Draining) {
            Ok(draining) if draining.is_empty() => return Response::Ignored(Ignored::AlreadySo),
            Ok(draining) => draining,
            Err(refused) => return Response::Refused(refused),
        };
        for node in draining {
            if let Some(known) = self.nodes.get_mut(&node) {
                known.state = NodeState::Up;
            }
            for shard in self.shards.values_mut().filter(|shard| shard.owner == Some(node)) {
                shard.moving_to = None;
            }
        }
        self.settle(entry);
        Response::Applied(entry.changes)
    }

    /// Those of `nodes` that are in `state`, where all of them are known and none is down.
    fn in_state(&self, nodes: &BTreeSet<NodeId>, state: NodeState) -> Result<Vec<NodeId>, Refused> {
        let mut found = Vec::new();
        for node in nodes {
            match self.nodes.get(node).map(|known| known.state) {
                None => return Err(Refused::UnknownNode { node: *node }),
                Some(NodeState::Down) => return Err(Refused::NodeDown { node: *node }),
                Some(known) if known == state => found.push(*node),
                Some(_) => {}
            }
        }
        Ok(found)
    }

    fn release(
        &mut self,
        entry: &mut Entry,
        node: NodeId,
        boot: BootId,
        released: &[(ShardId, Epoch)],
    ) -> Response {
        let Some(known) = self.nodes.get(&node) else {
            return Response::Refused(Refused::UnknownNode { node });
        };
        if known.boot != boot {
            return Response::Ignored(Ignored::StaleBoot { node, boot });
        }
        // Chosen before anything is granted, and each once: see `grant`.
        let closed: BTreeSet<ShardId> = released
            .iter()
            .filter(|(id, epoch)| {
                let shard = self.shards.get(id);
                shard.is_some_and(|shard| shard.owner == Some(node) && shard.epoch == *epoch)
            })
            .map(|(id, _)| *id)
            .collect();
        if closed.is_empty() {
            return Response::Ignored(Ignored::NotOwner { node });
        }
        let is_draining = known.state == NodeState::Draining;
        let reason = if is_draining { MoveReason::Drained } else { MoveReason::Balanced };
        entry.grants.reason = Some(reason);
        let closed: Vec<ShardId> = closed.into_iter().collect();
        self.vacate(entry, &closed, None);
        self.settle(entry);
        Response::Applied(entry.changes)
    }

    fn raise_base(&mut self, entry: &mut Entry, refused: &[(ShardId, Epoch)]) -> Response {
        let mut owners = BTreeMap::new();
        let mut above = Epoch(0);
        for (id, recorded) in refused {
            if *recorded > MAX_RECORDED {
                return Response::Refused(Refused::EpochOutOfBounds { epoch: *recorded });
            }
            if let Some(shard) = self.shards.get(id).filter(|shard| shard.epoch < *recorded) {
                owners.insert(*id, shard.owner);
                above = above.max(*recorded);
            }
        }
        if owners.is_empty() {
            return Response::Ignored(Ignored::AlreadySo);
        }
        self.base = self.base.max(above.0.saturating_add(1).saturating_sub(entry.at.index));
        *entry = Entry::new(self, entry.at);
        entry.grants.reason = Some(MoveReason::EpochRaised);
        for (id, owner) in owners {
            if let Some(owner) = owner {
                self.grant(entry, id, owner);
            }
        }
        Response::Applied(entry.changes)
    }

    fn rebalance(&mut self, entry: &mut Entry, loads: &Loads) -> Response {
        let is_news = self.record(loads);
        let plan = self.next_round();
        self.carry_out(entry, &plan);
        if !is_news
            && entry.changes == (Changes { waiting: entry.changes.waiting, ..Changes::default() })
        {
            return Response::Ignored(Ignored::NothingToMove);
        }
        Response::Applied(entry.changes)
    }

    /// Whether the process was not among those that ended yet.
    fn retire(&mut self, node: NodeId, boot: BootId) -> bool {
        let ended = self.retired.entry(node).or_default();
        if ended.contains(&boot) {
            return false;
        }
        ended.push(boot);
        if ended.len() > MAX_RETIRED {
            ended.remove(0);
        }
        true
    }
}

impl Member {
    fn seen_as(self, state: NodeState) -> NodeView {
        let Self { id, boot, roles, weight, groups, http, control, mesh } = self;
        NodeView { id, boot, state, roles, weight, groups, http, control, mesh }
    }
}

/// All slots in `count` equal ranges, as shards of `space`. `count` is a power of two, at most one per
/// slot; the space is one whose shards have ids.
pub(super) fn equal_shards(space: Space, count: u32) -> BTreeMap<ShardId, ShardView> {
    let width = MAX_SHARDS / count;
    let slot = |number: u32| Slot(u16::try_from(number).unwrap_or(u16::MAX));
    (0..count)
        .filter_map(|number| {
            let id = ShardId::at(space, number)?;
            let range =
                SlotRange { first: slot(number * width), last: slot(number * width + (width - 1)) };
            let (owner, moving_to) = (None, None);
            Some((id, ShardView { id, range, owner, epoch: Epoch(0), moving_to, load: LIGHT }))
        })
        .collect()
}
