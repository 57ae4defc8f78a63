//! What a log entry may do to those who own shards. Random logs are held against it here, and
//! simulations hold every entry against it that a voter applies.

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};

use quarry_types::{BootId, NodeId, NodeState, NodeView, ShardId, ShardView, Space};

use super::{
    Command, Response, State,
    ownership::{homes, runners, takes_shards},
};
use crate::{
    invariant::InvariantId,
    placement::{Input, explain},
};

/// Who was there, and who owned what, before an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership {
    nodes: BTreeMap<NodeId, NodeView>,
    shards: BTreeMap<ShardId, ShardView>,
}

/// An invariant that an entry broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Which.
    pub id: InvariantId,
    /// How, for people.
    pub what: String,
}

impl State {
    /// Who is there, and who owns what.
    #[must_use]
    pub fn ownership(&self) -> Ownership {
        Ownership { nodes: self.nodes.clone(), shards: self.shards.clone() }
    }
}

/// The invariants that an entry broke: it was `command`, was answered by `response`, and made `after`
/// of `before`. None, unless the program is wrong.
#[must_use]
pub fn audit(
    before: &Ownership,
    command: &Command,
    response: &Response,
    after: &State,
) -> Vec<Breach> {
    let mut audit = Audit { before, command, after, found: Vec::new() };
    for id in after.violations() {
        audit.found.push(Breach { id, what: "the state that it left".to_string() });
    }
    if matches!(response, Response::Applied(_)) {
        audit.look();
    } else if before.nodes != after.nodes || before.shards != after.shards {
        audit.breach(InvariantId::S1, || format!("{response:?} changed who owns what"));
    }
    audit.found
}

struct Audit<'a> {
    before: &'a Ownership,
    command: &'a Command,
    after: &'a State,
    found: Vec<Breach>,
}

impl Audit<'_> {
    fn breach(&mut self, id: InvariantId, what: impl FnOnce() -> String) {
        self.found.push(Breach { id, what: what() });
    }

    fn expect(&mut self, holds: bool, id: InvariantId, what: impl FnOnce() -> String) {
        if !holds {
            self.breach(id, what);
        }
    }

    fn look(&mut self) {
        let (before, after) = (self.before, self.after);
        for old in before.shards.values() {
            match after.shards.get(&old.id) {
                Some(new) => {
                    self.look_at_grant(old, new);
                    self.look_at_place(old, new);
                }
                None => self.look_at_halves(old),
            }
        }
        if matches!(self.command, Command::Rebalance { .. }) {
            self.look_at_round();
        }
    }

    /// Epochs grow with every grant and for every new process (L1, L5), and nobody is deprived who
    /// may still commit (L2).
    fn look_at_grant(&mut self, old: &ShardView, new: &ShardView) {
        let id = old.id;
        let is_granted = new.owner.is_some() && new.owner != old.owner;
        let grows = new.epoch > old.epoch || !is_granted && new.epoch == old.epoch;
        self.expect(grows, InvariantId::L1, || {
            format!("shard {id} is granted under {} after {}", new.epoch, old.epoch)
        });
        let boot = |nodes: &BTreeMap<NodeId, NodeView>| {
            old.owner.and_then(|owner| nodes.get(&owner)).map(|node| node.boot)
        };
        let is_same_process = boot(&self.before.nodes) == boot(&self.after.nodes);
        let is_inherited = new.owner == old.owner && !is_same_process && new.epoch == old.epoch;
        self.expect(!is_inherited, InvariantId::L5, || {
            format!("a new process of {:?} goes on under {} of shard {id}", new.owner, new.epoch)
        });
        let stays = new.owner == old.owner && is_same_process;
        self.expect(stays || self.is_closed(old), InvariantId::L2, || {
            format!("shard {id} is taken from {:?}, which may still commit", old.owner)
        });
    }

    /// Whether the entry shows that the owner of `shard` commits nothing more in it.
    fn is_closed(&self, shard: &ShardView) -> bool {
        let Some(owner) = shard.owner else { return true };
        let boot = self.before.nodes.get(&owner).map(|node| node.boot);
        match self.command {
            Command::Join { node } | Command::JoinFor { node, .. } => {
                let is_heir =
                    |of: BootId| of != node.boot && of.directory() == node.boot.directory();
                node.id == owner && boot.is_some_and(is_heir)
            }
            Command::EndLease { node, boot: ended, .. } => *node == owner && Some(*ended) == boot,
            Command::Release { node, boot: of, shards } => {
                *node == owner && Some(*of) == boot && shards.contains(&(shard.id, shard.epoch))
            }
            Command::Initialize { .. }
            | Command::Drain { .. }
            | Command::DrainSome { .. }
            | Command::Undrain { .. }
            | Command::RaiseBase { .. }
            | Command::Split { .. }
            | Command::Found { .. }
            | Command::Bind { .. }
            | Command::Use { .. }
            | Command::Rebalance { .. } => false,
        }
    }

    /// S2: a shard stays where it is, or goes on to where it was going, unless its owner leaves, gives
    /// it up, or has more than its share.
    fn look_at_place(&mut self, old: &ShardView, new: &ShardView) {
        let Some(place) = self.place(old) else { return };
        let is_to_be = new.moving_to.or(new.owner);
        let may_be_given = matches!(self.command, Command::Rebalance { .. })
            && old.moving_to.is_none()
            && new.moving_to.is_some();
        self.expect(is_to_be == Some(place) || may_be_given, InvariantId::S2, || {
            format!("shard {} of node {place} is moved to {is_to_be:?}", old.id)
        });
    }

    /// Where the entry has to leave a shard; none where whoever has it leaves it.
    fn place(&self, shard: &ShardView) -> Option<NodeId> {
        let owner = shard.owner?;
        let was_draining =
            self.before.nodes.get(&owner).is_some_and(|node| node.state == NodeState::Draining);
        let (gives_up, stays_after_all) = match self.command {
            Command::Release { .. } => (self.is_closed(shard), false),
            Command::Undrain { nodes } => (false, was_draining && nodes.contains(&owner)),
            _ => (false, false),
        };
        let going = shard.moving_to.filter(|_| !stays_after_all);
        let staying = Some(owner).filter(|_| !gives_up);
        let takes = |node: &NodeId| self.after.takes(*node, shard.id);
        going.filter(takes).or(staying.filter(takes))
    }

    /// The halves of a shard that was split are its owner's, under a new epoch; nothing else replaces
    /// a shard.
    fn look_at_halves(&mut self, whole: &ShardView) {
        let id = whole.id;
        let is_split = matches!(self.command, Command::Split { shard } if *shard == id);
        self.expect(is_split, InvariantId::S1, || format!("shard {id} is gone"));
        let halves: Vec<ShardView> =
            self.after.shards.values().filter(|shard| shard.is_part_of(id)).cloned().collect();
        self.expect(halves.len() == 2, InvariantId::S1, || {
            format!("shard {id} is in {} parts", halves.len())
        });
        for half in halves {
            self.expect(half.owner == whole.owner, InvariantId::S2, || {
                format!("half {} of {:?}'s shard {id} is {:?}'s", half.id, whole.owner, half.owner)
            });
            let is_newer = half.owner.is_none() || half.epoch > whole.epoch;
            self.expect(is_newer, InvariantId::L1, || {
                format!("half {} is granted under {} after {}", half.id, half.epoch, whole.epoch)
            });
        }
    }

    /// S2: in a round of moves for balance nobody gives what is within its share.
    fn look_at_round(&mut self) {
        let (before, after) = (self.before, self.after);
        let mut leaving: BTreeMap<(NodeId, Space), (ShardId, u64)> = BTreeMap::new();
        let now_marked = |old: &&ShardView| old.moving_to.is_none();
        for old in before.shards.values().filter(now_marked) {
            let is_taker = |owner: &NodeId| before.nodes.get(owner).is_some_and(takes_shards);
            let Some(giver) = old.owner.filter(is_taker) else { continue };
            let Some(new) = after.shards.get(&old.id) else { continue };
            if new.moving_to.is_some() {
                let (shard, load) = leaving.entry((giver, old.id.space())).or_insert((old.id, 0));
                *shard = old.id;
                *load += u64::from(new.load.max(1));
            }
        }
        if leaving.is_empty() {
            return;
        }
        // Loads count as the entry recorded them.
        let recorded: Vec<ShardView> = before
            .shards
            .values()
            .map(|old| ShardView {
                load: after.shards.get(&old.id).map_or(old.load, |new| new.load),
                ..old.clone()
            })
            .collect();
        let shards = homes(recorded.iter(), &after.bindings);
        let input = Input { runners: runners(before.nodes.values()), shards };
        for ((giver, _), (shard, load)) in leaving {
            let seat = explain(&input, shard).into_iter().find(|seat| seat.node == giver);
            let (count, share) = seat.map_or((0, 0), |seat| (seat.count, seat.share));
            self.expect(count >= share.saturating_add(load), InvariantId::S2, || {
                format!(
                    "node {giver} with {count} of {share} gives {load} away, as of shard {shard}"
                )
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeSet, vec};

    use quarry_types::{BootId, Epoch};

    use super::*;
    use crate::coordinator::{
        Changes, Ignored, LeaseEnd, Loads, Member,
        tests::{Log, member},
    };

    const APPLIED: Response = Response::Applied(Changes { granted: 0, moving: 0, waiting: 0 });

    /// What breaks where `command` is applied to `log` and `then` goes wrong beside it.
    fn broken(mut log: Log, command: &Command, then: impl FnOnce(&mut State)) -> Vec<InvariantId> {
        let before = log.state.ownership();
        let response = log.apply(command.clone());
        assert_eq!(audit(&before, command, &response, &log.state), []);
        then(&mut log.state);
        let found = audit(&before, command, &APPLIED, &log.state);
        let found: BTreeSet<InvariantId> = found.into_iter().map(|breach| breach.id).collect();
        found.into_iter().collect()
    }

    fn end(node: u64) -> Command {
        Command::EndLease { node: NodeId(node), boot: BootId(1), cause: LeaseEnd::Expired }
    }

    fn rebalance() -> Command {
        Command::Rebalance { loads: Loads::new() }
    }

    fn of(state: &mut State, node: u64) -> &mut ShardView {
        let mut shards = state.shards.values_mut();
        shards.find(|shard| shard.owner == Some(NodeId(node)) && shard.moving_to.is_none()).unwrap()
    }

    #[test]
    fn a_node_that_leaves_moves_its_own_shards_only() {
        let found = broken(Log::of([1, 2, 3]), &end(1), |state| {
            of(state, 2).moving_to = Some(NodeId(3));
        });
        assert_eq!(found, [InvariantId::S2]);
    }

    #[test]
    fn a_drain_moves_its_own_shards_only() {
        let drain = Command::Drain { nodes: [NodeId(1)].into() };
        let found = broken(Log::of([1, 2, 3]), &drain, |state| {
            of(state, 2).moving_to = Some(NodeId(3));
        });
        assert_eq!(found, [InvariantId::S2]);
    }

    #[test]
    fn a_round_takes_nothing_from_a_node_that_is_within_its_share() {
        let mut log = Log::of([1, 2]);
        log.join(3, 1);
        let found = broken(log, &rebalance(), |state| {
            of(state, 1).moving_to = Some(NodeId(3));
            of(state, 1).moving_to = Some(NodeId(3));
            of(state, 1).moving_to = Some(NodeId(3));
        });
        assert_eq!(found, [InvariantId::S2]);
    }

    #[test]
    fn a_shard_under_way_is_not_sent_elsewhere() {
        let mut log = Log::of([1, 2, 3]);
        log.apply(Command::Drain { nodes: [NodeId(1)].into() });
        let found = broken(log, &Command::Join { node: member(4, 1) }, |state| {
            let shard = state.shards.values_mut().find(|shard| shard.moving_to.is_some()).unwrap();
            shard.moving_to = Some(NodeId(4));
        });
        assert_eq!(found, [InvariantId::S2]);
    }

    #[test]
    fn the_shards_of_one_that_may_still_commit_are_nobody_elses() {
        let found = broken(Log::of([1, 2, 3]), &end(1), |state| {
            let epoch = Epoch(state.highest.0 + 1);
            state.highest = epoch;
            let shard = of(state, 2);
            (shard.owner, shard.epoch) = (Some(NodeId(3)), epoch);
        });
        assert_eq!(found, [InvariantId::S2, InvariantId::L2]);
    }

    #[test]
    fn a_process_over_another_directory_is_no_proof_of_the_end_of_the_first() {
        let heir = |directory| {
            let boot = BootId(2).over(directory);
            Command::Join { node: Member { boot, ..member(1, 2) } }
        };
        let breaches = |mut log: Log, command: Command| {
            let before = log.state.ownership();
            let response = log.apply(command.clone());
            let found = audit(&before, &command, &response, &log.state);
            found.into_iter().map(|breach| breach.id).collect::<BTreeSet<_>>()
        };
        assert_eq!(breaches(Log::of([1, 2]), heir(0)), BTreeSet::new());
        assert_eq!(breaches(Log::of([1, 2]), heir(7)), [InvariantId::L2].into());
        let mut ended = Log::of([1, 2]);
        ended.apply(end(1));
        assert_eq!(breaches(ended, heir(7)), BTreeSet::new());
    }

    #[test]
    fn a_grant_needs_a_new_epoch_and_so_does_a_new_process() {
        let log = Log::of([1, 2]);
        let owned = log.owned(1);
        let (shard, epoch) = owned[0];
        let found = broken(log, &end(1), |state| {
            state.shards.get_mut(&shard).unwrap().epoch = epoch;
        });
        assert_eq!(found, [InvariantId::L1]);
        let again = Command::Join { node: member(1, 2) };
        let found = broken(Log::of([1, 2]), &again, |state| {
            state.shards.get_mut(&shard).unwrap().epoch = epoch;
        });
        assert_eq!(found, [InvariantId::L5]);
    }

    #[test]
    fn what_is_split_stays_with_its_owner_and_whole() {
        let split = Command::Split { shard: ShardId(3) };
        let log = Log::of([1, 2]);
        let owner = log.state.shards[&ShardId(3)].owner;
        let other = if owner == Some(NodeId(1)) { NodeId(2) } else { NodeId(1) };
        let found = broken(log, &split, |state| {
            state.shards.get_mut(&ShardId(22)).unwrap().owner = Some(other);
        });
        assert_eq!(found, [InvariantId::S2]);
        let found = broken(Log::of([1, 2]), &split, |state| {
            state.shards.remove(&ShardId(23));
        });
        assert_eq!(found, [InvariantId::S1]);
    }

    #[test]
    fn what_is_refused_changes_nothing() {
        let log = Log::of([1, 2]);
        let before = log.state.ownership();
        let mut after = log.state;
        of(&mut after, 1).moving_to = Some(NodeId(2));
        let ignored = Response::Ignored(Ignored::AlreadySo);
        let found = audit(&before, &rebalance(), &ignored, &after);
        assert_eq!(found.iter().map(|breach| breach.id).collect::<Vec<_>>(), vec![InvariantId::S1]);
    }
}
