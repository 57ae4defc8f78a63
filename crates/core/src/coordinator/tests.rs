//! What each command does.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::ToString,
    vec,
    vec::Vec,
};

use quarry_types::{BootId, ClusterId, Epoch, MoveReason, NodeId, NodeState, Role, ShardId};

use super::*;

const CLUSTER: ClusterId = ClusterId(99);

pub(super) fn member(node: u64, boot: u64) -> Member {
    Member {
        id: NodeId(node),
        boot: BootId(boot),
        roles: BTreeSet::from([Role::Runner]),
        weight: 100,
        groups: BTreeSet::new(),
        http: "127.0.0.1:1".to_string(),
        control: "127.0.0.1:2".to_string(),
        mesh: "127.0.0.1:3".to_string(),
    }
}

/// A log and what it made.
#[derive(Default)]
pub(super) struct Log {
    pub(super) index: u64,
    pub(super) state: State,
}

impl Log {
    pub(super) fn of(nodes: impl IntoIterator<Item = u64>) -> Self {
        let mut log = Self::default();
        log.initialize(16);
        for node in nodes {
            log.join(node, 1);
        }
        log.balance();
        log
    }

    pub(super) fn apply(&mut self, command: Command) -> Response {
        self.index += 1;
        self.state.apply(self.index, command)
    }

    fn initialize(&mut self, shards: u32) -> Response {
        self.apply(Command::Initialize { cluster: CLUSTER, shards, max_moves: 4 })
    }

    pub(super) fn join(&mut self, node: u64, boot: u64) -> Response {
        self.apply(Command::Join { node: member(node, boot) })
    }

    pub(super) fn end(&mut self, node: u64, boot: u64, cause: LeaseEnd) -> Response {
        self.apply(Command::EndLease { node: NodeId(node), boot: BootId(boot), cause })
    }

    fn drain(&mut self, node: u64) -> Response {
        self.apply(Command::Drain { nodes: [NodeId(node)].into() })
    }

    fn release(&mut self, node: u64, boot: u64, shards: Vec<(ShardId, Epoch)>) -> Response {
        self.apply(Command::Release { node: NodeId(node), boot: BootId(boot), shards })
    }

    fn shards(&self, select: impl Fn(&quarry_types::ShardView) -> bool) -> Vec<(ShardId, Epoch)> {
        let shards = self.state.shards().values().filter(|shard| select(shard));
        shards.map(|shard| (shard.id, shard.epoch)).collect()
    }

    pub(super) fn owned(&self, node: u64) -> Vec<(ShardId, Epoch)> {
        self.shards(|shard| shard.owner == Some(NodeId(node)))
    }

    fn moving(&self, from: u64) -> Vec<(ShardId, Epoch)> {
        self.shards(|shard| shard.owner == Some(NodeId(from)) && shard.moving_to.is_some())
    }

    /// Every owner closes what is moving, round by round.
    pub(super) fn balance(&mut self) {
        while self.state.needs_rebalance(&Loads::new()) {
            assert!(matches!(self.apply(rebalance([])), Response::Applied(_)));
            self.hand_over();
        }
    }

    pub(super) fn hand_over(&mut self) {
        let nodes: Vec<(u64, u64)> =
            self.state.nodes().values().map(|node| (node.id.0, node.boot.0)).collect();
        for (node, boot) in nodes {
            let moving = self.moving(node);
            if !moving.is_empty() {
                assert!(matches!(self.release(node, boot, moving), Response::Applied(_)));
            }
        }
    }
}

fn rebalance(loads: impl IntoIterator<Item = (u32, u32)>) -> Command {
    Command::Rebalance { loads: loads.into_iter().map(|(id, load)| (ShardId(id), load)).collect() }
}

fn applied(granted: u32, moving: u32, waiting: u32) -> Response {
    Response::Applied(Changes { granted, moving, waiting })
}

#[test]
fn a_cluster_is_made_once() {
    let mut log = Log::default();
    for (shards, max_moves, refused) in [
        (0, 4, Refused::InvalidShards { shards: 0 }),
        (3, 4, Refused::InvalidShards { shards: 3 }),
        (131_072, 4, Refused::InvalidShards { shards: 131_072 }),
        (16, 0, Refused::NoMoves),
    ] {
        let command = Command::Initialize { cluster: CLUSTER, shards, max_moves };
        assert_eq!(log.apply(command), Response::Refused(refused));
    }
    assert_eq!(log.initialize(16), applied(0, 0, 16));
    assert_eq!(log.initialize(32), Response::Ignored(Ignored::AlreadySo));
    let other = Command::Initialize { cluster: ClusterId(1), shards: 16, max_moves: 4 };
    assert_eq!(log.apply(other), Response::Refused(Refused::OtherCluster { present: CLUSTER }));
    assert_eq!(log.state.cluster(), Some(CLUSTER));
}

#[test]
fn the_ends_of_the_shard_range_are_whole() {
    for shards in [1, 2, 256, 65_536] {
        let mut log = Log::default();
        assert_eq!(log.initialize(shards), applied(0, 0, shards));
        assert_eq!(log.state.violations(), vec![]);
        assert_eq!(log.state.view(1, None).shards.len() as u64, u64::from(shards));
    }
}

#[test]
fn the_first_node_gets_everything_at_once_whatever_comes_first() {
    let mut log = Log::default();
    log.initialize(16);
    assert_eq!(log.join(1, 1), applied(16, 0, 0));
    assert!(log.owned(1).iter().all(|(_, epoch)| *epoch == Epoch(2)));

    let mut log = Log::default();
    assert_eq!(log.join(1, 1), applied(0, 0, 0));
    assert_eq!(log.initialize(16), applied(16, 0, 0));
}

#[test]
fn a_later_node_gets_its_share_in_rounds() {
    let mut log = Log::of([1]);
    assert_eq!(log.join(2, 1), applied(0, 0, 0));
    assert!(log.state.needs_rebalance(&Loads::new()));
    assert_eq!(log.apply(rebalance([])), applied(0, 4, 0));
    assert!(!log.state.needs_rebalance(&Loads::new()), "as many are moving as may");
    assert_eq!(log.apply(rebalance([])), Response::Ignored(Ignored::NothingToMove));
    assert_eq!(log.owned(1).len(), 16, "the owner keeps what it has not closed");
    let moving = log.moving(1);
    assert_eq!(log.release(1, 1, moving), applied(4, 0, 0));
    log.balance();
    assert_eq!((log.owned(1).len(), log.owned(2).len()), (8, 8));
}

#[test]
fn the_end_of_a_lease_moves_only_its_shards() {
    let mut log = Log::of([1, 2, 3]);
    let (of_2, of_3) = (log.owned(2), log.owned(3));
    let granted = u32::try_from(log.owned(1).len()).unwrap();
    assert_eq!(log.end(1, 1, LeaseEnd::Expired), applied(granted, 0, 0));
    assert!(of_2.iter().all(|shard| log.owned(2).contains(shard)), "S2");
    assert!(of_3.iter().all(|shard| log.owned(3).contains(shard)), "S2");
    assert!(!log.state.needs_rebalance(&Loads::new()));
    assert_eq!(log.end(1, 1, LeaseEnd::Expired), Response::Ignored(Ignored::AlreadySo));
}

#[test]
fn the_end_of_an_older_process_is_out_of_date() {
    let mut log = Log::of([1, 2]);
    log.join(1, 2);
    let before = log.state.clone();
    let stale = Ignored::StaleBoot { node: NodeId(1), boot: BootId(1) };
    assert_eq!(log.end(1, 1, LeaseEnd::Expired), Response::Ignored(stale));
    assert_eq!(log.state, before);
}

#[test]
fn a_restarted_process_keeps_its_shards_under_new_epochs() {
    let mut log = Log::of([1, 2]);
    let before = log.owned(1);
    assert_eq!(log.join(1, 2), applied(8, 0, 0));
    let after = log.owned(1);
    for ((shard, old), (same, new)) in before.iter().zip(&after) {
        assert_eq!(shard, same);
        assert!(new > old, "L5: the grant of the older process is not its own");
    }
    assert_eq!(log.join(1, 2), Response::Ignored(Ignored::AlreadySo));
    let ended = Refused::BootEnded { node: NodeId(1), boot: BootId(1) };
    assert_eq!(log.join(1, 1), Response::Refused(ended), "a late copy of the older one's join");
}

#[test]
fn who_said_goodbye_cannot_come_back_but_who_was_late_can() {
    let mut log = Log::of([1, 2]);
    log.end(1, 1, LeaseEnd::Expired);
    assert_eq!(log.join(1, 1), applied(0, 0, 0));
    log.end(1, 1, LeaseEnd::Goodbye);
    assert!(matches!(log.join(1, 1), Response::Refused(Refused::BootEnded { .. })));
    assert_eq!(log.join(1, 2), applied(0, 0, 0));
}

#[test]
fn a_drain_moves_every_shard_and_ends_when_it_is_undone() {
    let mut log = Log::of([1, 2]);
    assert_eq!(log.drain(1), applied(0, 8, 0));
    assert_eq!(log.drain(1), Response::Ignored(Ignored::AlreadySo));
    let (first, rest) = (log.moving(1)[0], log.moving(1).len() - 1);
    assert_eq!(log.release(1, 1, vec![first]), applied(1, 0, 0));
    assert_eq!(log.apply(Command::Undrain { nodes: [NodeId(1)].into() }), applied(0, 0, 0));
    assert_eq!(log.moving(1), vec![]);
    assert_eq!(log.owned(1).len(), rest);
    assert_eq!(log.state.nodes()[&NodeId(1)].state, NodeState::Up);
    log.drain(1);
    log.hand_over();
    assert_eq!(log.owned(1), vec![]);
    assert!(!log.state.needs_rebalance(&Loads::new()), "a draining node takes nothing back");
}

#[test]
fn nodes_that_drain_together_take_nothing_from_one_another() {
    let mut log = Log::of([1, 2, 3, 4]);
    let both: BTreeSet<NodeId> = [NodeId(1), NodeId(2)].into();
    let refused = log.apply(Command::Drain { nodes: [NodeId(1), NodeId(9)].into() });
    assert_eq!(refused, Response::Refused(Refused::UnknownNode { node: NodeId(9) }));
    assert_eq!(log.moving(1), vec![], "all or none");
    assert_eq!(log.apply(Command::Drain { nodes: both.clone() }), applied(0, 8, 0));
    let targets = log.state.shards().values().filter_map(|shard| shard.moving_to);
    assert!(targets.into_iter().all(|to| !both.contains(&to)));
    assert_eq!(log.drain(2), Response::Ignored(Ignored::AlreadySo));
    assert_eq!(log.apply(Command::Undrain { nodes: both }), applied(0, 0, 0));
    assert_eq!((log.moving(1), log.moving(2)), (vec![], vec![]));
}

fn drain_some(log: &mut Log, nodes: impl IntoIterator<Item = u64>) -> Response {
    log.apply(Command::DrainSome { nodes: nodes.into_iter().map(NodeId).collect() })
}

#[test]
fn of_two_drains_at_once_the_one_that_would_leave_no_runner_is_refused() {
    let mut log = Log::of([1, 2]);
    // Both were asked for while both nodes took shards: what counts is where the entry stands.
    assert_eq!(drain_some(&mut log, [1]), applied(0, 8, 0));
    let before = log.state.clone();
    assert_eq!(drain_some(&mut log, [2]), Response::Refused(Refused::NoRunnerLeft));
    assert_eq!(log.state, before, "nothing of it is done");
    assert_eq!(drain_some(&mut log, [1]), Response::Ignored(Ignored::AlreadySo));
    assert_eq!(log.join(3, 1), applied(0, 0, 0));
    assert!(matches!(drain_some(&mut log, [2]), Response::Applied(_)), "now another is left");
}

#[test]
fn a_drain_of_all_is_refused_but_not_that_of_nodes_that_take_nothing() {
    let mut log = Log::of([1, 2]);
    assert_eq!(drain_some(&mut log, [1, 2]), Response::Refused(Refused::NoRunnerLeft));
    let unknown = Response::Refused(Refused::UnknownNode { node: NodeId(9) });
    assert_eq!(drain_some(&mut log, [1, 2, 9]), unknown, "what is wrong with it comes first");
    log.end(2, 1, LeaseEnd::Expired);
    assert_eq!(drain_some(&mut log, [2]), Response::Refused(Refused::NodeDown { node: NodeId(2) }));
    log.apply(Command::Join { node: Member { weight: 0, ..member(3, 1) } });
    assert_eq!(drain_some(&mut log, [1]), Response::Refused(Refused::NoRunnerLeft));
    assert_eq!(drain_some(&mut log, [3]), applied(0, 0, 0), "it took none");
}

fn told(log: &Log) -> Vec<(Option<u64>, u64, MoveReason, u32)> {
    let moves = log.state.view(log.index, None).moves;
    moves
        .into_iter()
        .map(|told| (told.from.map(|from| from.0), told.to.0, told.reason, told.count))
        .collect()
}

#[test]
fn every_change_of_hands_is_told_with_its_reason() {
    let mut log = Log::of([1]);
    log.join(1, 2);
    log.join(2, 1);
    log.apply(rebalance([]));
    log.hand_over();
    log.drain(2);
    log.hand_over();
    let given_up: Vec<_> = log.owned(1).into_iter().take(3).collect();
    assert!(matches!(log.release(1, 2, given_up), Response::Applied(_)));
    log.end(1, 2, LeaseEnd::Goodbye);
    log.end(2, 1, LeaseEnd::Expired);
    log.join(3, 1);
    assert_eq!(
        told(&log),
        [
            (None, 1, MoveReason::Founded, 16),
            (Some(1), 1, MoveReason::Restarted, 16),
            (Some(1), 2, MoveReason::Balanced, 4),
            (Some(2), 1, MoveReason::Drained, 4),
            (Some(1), 1, MoveReason::LeaseOver, 3),
            (None, 3, MoveReason::Unowned, 16),
        ]
    );
    let last = log.state.view(log.index, None).moves.pop().unwrap();
    assert_eq!((last.index, last.epoch, last.shards.len()), (log.index, Epoch(log.index), 16));
}

#[test]
fn the_memory_of_changes_is_bounded() {
    let mut log = Log::default();
    log.initialize(1_024);
    for boot in 1..1_000 {
        log.join(1, boot);
    }
    let moves = log.state.view(log.index, None).moves;
    assert_eq!(moves.len(), history::MAX_MOVES);
    assert!(moves.iter().all(|told| told.count == 1_024 && told.shards.len() == 32));
    assert_eq!(moves.last().unwrap().index, log.index);
}

#[test]
fn the_last_runner_keeps_its_shards_while_it_drains_and_says_so() {
    let mut log = Log::of([1]);
    assert_eq!(log.drain(1), applied(0, 0, 16));
    assert_eq!(log.owned(1).len(), 16);
    assert_eq!(log.join(2, 1), applied(0, 16, 0), "now there is somewhere to go");
    assert_eq!(log.end(2, 1, LeaseEnd::Expired), applied(0, 0, 16));
    assert_eq!(log.moving(1), vec![], "and now there is not");
    let all = log.owned(1);
    assert_eq!(log.release(1, 1, all), applied(0, 0, 16), "closed: without an owner until");
    assert_eq!(log.join(3, 1), applied(16, 0, 0));
}

#[test]
fn a_move_to_a_node_that_goes_is_planned_anew() {
    let mut log = Log::of([1, 2, 3]);
    log.drain(1);
    let to_2 = log.shards(|shard| shard.moving_to == Some(NodeId(2)));
    assert!(!to_2.is_empty());
    log.end(2, 1, LeaseEnd::Expired);
    for (shard, _) in to_2 {
        assert_eq!(log.state.shards()[&shard].moving_to, Some(NodeId(3)));
    }
}

#[test]
fn a_shard_whose_owner_dies_on_the_way_goes_where_it_was_going() {
    let mut log = Log::of([1, 2, 3]);
    log.drain(1);
    let targets: Vec<_> =
        log.moving(1).iter().map(|(id, _)| (*id, log.state.shards()[id].moving_to)).collect();
    log.join(1, 2);
    for (id, target) in targets {
        assert_eq!(log.state.shards()[&id].owner, target);
    }
    assert_eq!(log.state.nodes()[&NodeId(1)].state, NodeState::Up, "a drain is of a process");
}

#[test]
fn only_the_owner_releases_and_only_under_its_epoch() {
    let mut log = Log::of([1, 2]);
    let (of_1, before) = (log.owned(1), log.state.clone());
    let not_owner = |node| Response::Ignored(Ignored::NotOwner { node: NodeId(node) });
    assert_eq!(log.release(2, 1, of_1.clone()), not_owner(2));
    let older = of_1.iter().map(|(id, epoch)| (*id, Epoch(epoch.0 - 1))).collect();
    assert_eq!(log.release(1, 1, older), not_owner(1));
    assert!(matches!(
        log.release(1, 7, of_1.clone()),
        Response::Ignored(Ignored::StaleBoot { .. })
    ));
    assert_eq!(log.state, before);
    // Told twice in one entry: granted once.
    let twice = [of_1.clone(), of_1.clone()].concat();
    assert_eq!(log.release(1, 1, twice), applied(8, 0, 0));
    assert_eq!(log.release(1, 1, of_1), not_owner(1));
}

#[test]
fn only_runners_with_a_weight_take_shards() {
    let mut log = Log::default();
    log.initialize(16);
    let weightless = Member { weight: 0, ..member(1, 1) };
    let gateway = Member { roles: BTreeSet::from([Role::Gateway]), ..member(2, 1) };
    assert_eq!(log.apply(Command::Join { node: weightless.clone() }), applied(0, 0, 16));
    assert_eq!(log.apply(Command::Join { node: gateway }), applied(0, 0, 16));
    assert_eq!(log.join(1, 1), applied(16, 0, 0), "it changed its weight");
    log.join(3, 1);
    log.balance();
    assert_eq!(log.apply(Command::Join { node: weightless }), applied(0, 8, 0));
}

#[test]
fn an_epoch_that_the_store_knows_and_the_log_does_not_raises_the_base() {
    let mut log = Log::of([1]);
    let (shard, epoch) = log.owned(1)[3];
    let raise = |refused| Command::RaiseBase { refused };
    assert_eq!(log.apply(raise(vec![(shard, epoch)])), Response::Ignored(Ignored::AlreadySo));
    let reported = vec![(shard, Epoch(700)), (shard, Epoch(900)), (ShardId(77), Epoch(5_000))];
    assert_eq!(log.apply(raise(reported)), applied(1, 0, 0));
    assert_eq!(log.state.shards()[&shard].epoch, Epoch(901));
    assert_eq!(log.state.shards()[&shard].owner, Some(NodeId(1)));
    assert_eq!(log.state.highest_epoch(), Epoch(901));
    log.join(1, 2);
    assert!(log.owned(1).iter().all(|(_, epoch)| *epoch == Epoch(902)), "it stays raised");
    let garbage = log.apply(raise(vec![(shard, Epoch(u64::MAX))]));
    assert!(matches!(garbage, Response::Refused(Refused::EpochOutOfBounds { .. })));
}

#[test]
fn epochs_grow_even_where_indexes_do_not() {
    let mut log = Log::of([1]);
    log.index = 40;
    log.join(1, 2);
    assert_eq!(log.state.highest_epoch(), Epoch(41));
    log.index = 2;
    log.join(1, 3);
    assert!(log.owned(1).iter().all(|(_, epoch)| *epoch == Epoch(42)), "L1");
    log.join(1, 4);
    assert!(log.owned(1).iter().all(|(_, epoch)| *epoch == Epoch(43)), "L1");
}

#[test]
fn unknown_and_dead_nodes_are_refused() {
    let mut log = Log::of([1, 2]);
    let unknown = Response::Refused(Refused::UnknownNode { node: NodeId(9) });
    assert_eq!(log.drain(9), unknown);
    assert_eq!(log.apply(Command::Undrain { nodes: [NodeId(9)].into() }), unknown);
    assert_eq!(log.end(9, 1, LeaseEnd::Expired), unknown);
    assert_eq!(log.release(9, 1, vec![]), unknown);
    log.end(1, 1, LeaseEnd::Goodbye);
    assert_eq!(log.drain(1), Response::Refused(Refused::NodeDown { node: NodeId(1) }));
}

#[test]
fn the_view_shows_shards_in_the_order_of_their_slots() {
    let log = Log::of([1, 2]);
    let view = log.state.view(log.index, Some(NodeId(2)));
    assert_eq!((view.applied, view.leader), (log.index, Some(NodeId(2))));
    assert!(view.shards.is_sorted_by_key(|shard| shard.range.first));
    assert_eq!(view.owned_by(NodeId(1)).count(), 8);
    assert_eq!(log.state.leased().count(), 2);
}

#[test]
fn a_load_is_recorded_once_and_makes_its_owner_give_light_shards_away() {
    let mut log = Log::of([1, 2]);
    let heavy = log.owned(1)[0].0;
    let loads = Loads::from([(heavy, 4)]);
    assert!(log.state.needs_rebalance(&loads));
    // 19 units: the owner of 8 + 3 keeps 10.
    assert_eq!(log.apply(rebalance([(heavy.0, 4)])), applied(0, 1, 0));
    assert_eq!(log.state.shards()[&heavy].load, 4);
    assert!(log.moving(1).iter().all(|(shard, _)| *shard != heavy), "light ones go");
    log.hand_over();
    assert_eq!((log.owned(1).len(), log.owned(2).len()), (7, 9));
    assert!(!log.state.needs_rebalance(&loads), "the same again is no news");
    assert_eq!(log.apply(rebalance([(heavy.0, 4)])), Response::Ignored(Ignored::NothingToMove));
    assert!(log.state.needs_rebalance(&Loads::new()), "that it is light again is");
    log.apply(rebalance([(heavy.0, 1_000)]));
    assert_eq!(log.state.shards()[&heavy].load, 64, "bounded");
}

#[test]
fn only_the_owner_says_what_a_shard_costs_and_before_it_does_nothing_changes() {
    let mut log = Log::of([1, 2]);
    let of_1 = log.owned(1)[0].0;
    let says = |node| BTreeMap::from([(NodeId(node), Loads::from([(of_1, 16)]))]);
    assert_eq!(log.state.reported(&says(1)), Loads::from([(of_1, 16)]));
    assert_eq!(log.state.reported(&says(2)), Loads::new());
    log.apply(rebalance([(of_1.0, 16)]));
    let nobody = BTreeMap::new();
    assert_eq!(log.state.reported(&nobody), Loads::from([(of_1, 16)]), "a leader is new");
    let light = BTreeMap::from([(NodeId(1), Loads::new())]);
    assert_eq!(log.state.reported(&light), Loads::new());
}
