//! How a shard becomes two.

use quarry_types::{Division, MoveReason, ShardId, ShardView};

use super::{Ignored, Refused, Response, State, ownership::Entry};
use crate::placement::LIGHT;

impl State {
    /// Puts its halves in the place of `id`: every slot stays in exactly one shard (S1), and each
    /// half is granted under an epoch above all that were granted of the whole (L1).
    pub(super) fn split(&mut self, entry: &mut Entry, id: ShardId) -> Response {
        let halves = match self.halves_of(id) {
            Ok(Some(halves)) => halves,
            Ok(None) => return Response::Ignored(Ignored::AlreadySo),
            Err(refused) => return Response::Refused(refused),
        };
        let Some(whole) = self.shards.remove(&id) else {
            return Response::Ignored(Ignored::AlreadySo);
        };
        entry.grants.reason = Some(MoveReason::Split);
        // Until their owner says what each of them costs.
        let load = (whole.load / 2).max(LIGHT);
        for half in halves {
            let shard = ShardView { id: half.id, range: half.range, load, ..whole.clone() };
            entry.grants.vacate(&shard);
            self.shards.insert(half.id, ShardView { owner: None, ..shard });
            if let Some(owner) = whole.owner {
                self.grant(entry, half.id, owner);
            }
        }
        self.settle(entry);
        Response::Applied(entry.changes)
    }

    /// The halves that `id` would be split into; none where it was split already.
    ///
    /// # Errors
    /// Why it cannot be split.
    pub fn halves_of(&self, id: ShardId) -> Result<Option<[Division; 2]>, Refused> {
        let Some(whole) = self.shards.get(&id) else {
            let was_split = self.shards.values().any(|shard| shard.is_part_of(id));
            return if was_split { Ok(None) } else { Err(Refused::UnknownShard { shard: id }) };
        };
        if let Some(to) = whole.moving_to {
            return Err(Refused::ShardMoving { shard: id, to });
        }
        whole.division().halves().map(Some).ok_or(Refused::IndivisibleShard { shard: id })
    }
}

#[cfg(test)]
mod tests {
    use alloc::{vec, vec::Vec};

    use quarry_types::{Epoch, NodeId, Slot};

    use super::*;
    use crate::coordinator::{Changes, Command, LeaseEnd, Loads, tests::Log};

    fn split(log: &mut Log, shard: u32) -> Response {
        log.apply(Command::Split { shard: ShardId(shard) })
    }

    fn granted(granted: u32) -> Response {
        Response::Applied(Changes { granted, ..Changes::default() })
    }

    #[test]
    fn the_halves_take_the_place_of_the_whole_with_its_owner() {
        let mut log = Log::of([1, 2]);
        let whole = log.state.shards()[&ShardId(3)].clone();
        let others = log.state.shards().clone();
        assert_eq!(split(&mut log, 3), granted(2));
        let epoch = log.state.highest_epoch();
        assert!(epoch > whole.epoch, "L1");
        let [lower, upper] = [22, 23].map(|id| log.state.shards()[&ShardId(id)].clone());
        assert_eq!((lower.owner, upper.owner), (whole.owner, whole.owner));
        assert_eq!((lower.epoch, upper.epoch), (epoch, epoch));
        assert_eq!((lower.range.first, upper.range.last), (whole.range.first, whole.range.last));
        assert_eq!(Slot(lower.range.last.0 + 1), upper.range.first, "S1");
        assert_eq!(log.state.violations(), []);
        let stayed = others.iter().filter(|(id, _)| **id != ShardId(3));
        assert!(stayed.clone().all(|(id, shard)| log.state.shards()[id] == *shard), "S2");
        let told = log.state.view(log.index, None).moves.pop().unwrap();
        assert_eq!((told.reason, told.epoch, told.from), (MoveReason::Split, epoch, whole.owner));
        assert_eq!((told.count, told.shards), (2, vec![ShardId(22), ShardId(23)]));
    }

    #[test]
    fn a_second_split_of_the_same_shard_changes_nothing() {
        let mut log = Log::of([1]);
        split(&mut log, 0);
        let settled = log.state.clone();
        assert_eq!(split(&mut log, 0), Response::Ignored(Ignored::AlreadySo));
        assert_eq!(log.state, settled);
        assert_eq!(split(&mut log, 16), granted(2), "halves are split on");
        assert_eq!(split(&mut log, 16), Response::Ignored(Ignored::AlreadySo));
        assert_eq!(split(&mut log, 0), Response::Ignored(Ignored::AlreadySo));
    }

    #[test]
    fn what_cannot_be_split_is_told_why() {
        let mut log = Log::of([1]);
        let unknown = |id| Response::Refused(Refused::UnknownShard { shard: ShardId(id) });
        assert_eq!(split(&mut log, 99), unknown(99));
        assert_eq!(split(&mut log, 48), unknown(48), "a half of a half that was not made");
        log.join(2, 1);
        log.apply(Command::Rebalance { loads: Loads::new() });
        let moving = log.state.shards().values().find(|shard| shard.moving_to.is_some());
        let moving = moving.unwrap().id;
        let refused = Refused::ShardMoving { shard: moving, to: NodeId(2) };
        assert_eq!(split(&mut log, moving.0), Response::Refused(refused));
        log.balance();
        let mut last = ShardId(5);
        for _ in 0..12 {
            let [lower, _] = log.state.halves_of(last).unwrap().unwrap();
            assert!(matches!(split(&mut log, last.0), Response::Applied(_)));
            last = lower.id;
            log.balance();
        }
        let refused = Refused::IndivisibleShard { shard: last };
        assert_eq!(split(&mut log, last.0), Response::Refused(refused));
        assert_eq!(log.state.violations(), []);
    }

    #[test]
    fn a_shard_without_an_owner_is_split_and_its_halves_wait() {
        let mut log = Log::of([1]);
        log.end(1, 1, LeaseEnd::Goodbye);
        let epoch = log.state.shards()[&ShardId(3)].epoch;
        let waiting = Response::Applied(Changes { waiting: 17, ..Changes::default() });
        assert_eq!(split(&mut log, 3), waiting);
        let half = log.state.shards()[&ShardId(22)].clone();
        assert_eq!((half.owner, half.epoch), (None, epoch));
        log.join(1, 2);
        let half = log.state.shards()[&ShardId(22)].clone();
        assert!(half.owner == Some(NodeId(1)) && half.epoch > epoch);
    }

    #[test]
    fn the_release_of_a_whole_that_was_split_is_too_late() {
        let mut log = Log::of([1]);
        let epoch = log.state.shards()[&ShardId(3)].epoch;
        split(&mut log, 3);
        let shards = vec![(ShardId(3), epoch)];
        let release = Command::Release { node: NodeId(1), boot: quarry_types::BootId(1), shards };
        let refused = Response::Ignored(Ignored::NotOwner { node: NodeId(1) });
        assert_eq!(log.apply(release), refused);
        let raised = Command::RaiseBase { refused: vec![(ShardId(3), Epoch(1_000))] };
        assert_eq!(log.apply(raised), Response::Ignored(Ignored::AlreadySo));
    }

    #[test]
    fn the_halves_weigh_half_until_their_owner_speaks_of_them() {
        let mut log = Log::of([1, 2]);
        let owner = log.state.shards()[&ShardId(3)].owner.unwrap();
        let reports = [(owner, Loads::from([(ShardId(3), 64)]))].into();
        let heavy = log.state.reported(&reports);
        log.apply(Command::Rebalance { loads: heavy });
        log.hand_over();
        split(&mut log, 3);
        let halves = Loads::from([(ShardId(22), 32), (ShardId(23), 32)]);
        assert_eq!(log.state.reported(&reports), halves, "it speaks of the whole yet");
        let reports = [(owner, Loads::from([(ShardId(22), 16)]))].into();
        assert_eq!(log.state.reported(&reports), Loads::from([(ShardId(22), 16)]));
    }

    #[test]
    fn an_owner_that_is_drained_gives_the_halves_away() {
        let mut log = Log::of([1, 2]);
        let own = log.owned(1)[0].0;
        log.apply(Command::Drain { nodes: [NodeId(2)].into() });
        assert!(matches!(split(&mut log, own.0), Response::Applied(_)));
        log.apply(Command::Undrain { nodes: [NodeId(2)].into() });
        log.apply(Command::Drain { nodes: [NodeId(1)].into() });
        let left: Vec<_> = log.owned(1);
        let moves = |id: ShardId| log.state.shards()[&id].moving_to == Some(NodeId(2));
        assert!(left.iter().all(|(id, _)| moves(*id)));
    }

    #[test]
    fn after_a_split_only_the_node_with_too_many_gives_shards_away() {
        let mut log = Log::of([1, 2, 3]);
        for shard in 0..16 {
            let owner = log.state.shards()[&ShardId(shard)].owner;
            split(&mut log, shard);
            let before = log.state.shards().clone();
            log.apply(Command::Rebalance { loads: Loads::new() });
            let moving: Vec<_> =
                log.state.shards().values().filter(|shard| shard.moving_to.is_some()).collect();
            assert!(moving.len() <= 1, "one more shard: at most one moves");
            assert!(moving.iter().all(|shard| shard.owner == owner), "of its own only (S2)");
            assert!(before.keys().eq(log.state.shards().keys()));
            log.balance();
            log.hand_over();
        }
        assert_eq!(log.state.shards().len(), 32);
    }
}
