//! Checks what voters decide of the cluster, at each log entry, and what nodes believe of it, at each
//! change of that.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use quarry_consensus::Witness;
use quarry_core::coordinator::{Command, Ownership, Response, State, audit};
use quarry_ports::watch;
use quarry_types::{ClusterView, Epoch, NodeId, ShardId, ShardView};

use crate::chronicle::{Chronicle, Point};

/// What all nodes said so far.
#[derive(Default)]
struct Said {
    /// Who was granted a shard under an epoch.
    grants: BTreeMap<(ShardId, Epoch), NodeId>,
    /// The view at each index.
    views: BTreeMap<u64, Arc<ClusterView>>,
    leader: Option<NodeId>,
}

/// See the module.
pub(crate) struct Beliefs {
    chronicle: Arc<Chronicle>,
    said: Mutex<Said>,
}

impl Beliefs {
    pub(crate) fn new(chronicle: Arc<Chronicle>) -> Self {
        Self { chronicle, said: Mutex::default() }
    }

    /// Follows the view of `node` for as long as its process runs.
    pub(crate) async fn follow(&self, node: NodeId, mut view: watch::Receiver<Arc<ClusterView>>) {
        let mut last: Option<Arc<ClusterView>> = None;
        loop {
            let current = Arc::clone(&view.borrow_and_update());
            self.check(node, last.as_deref(), &current);
            last = Some(current);
            if view.changed().await.is_err() {
                return;
            }
        }
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, node: NodeId, last: Option<&ClusterView>, view: &Arc<ClusterView>) {
        let chronicle = &self.chronicle;
        if view.shards.is_empty() {
            return;
        }
        let mut said = self.said();
        if view.leader.is_some() && view.leader != said.leader {
            chronicle.note(&format!("node {node} says that {:?} leads", view.leader));
            if said.leader.is_some() {
                chronicle.reach(Point::LeaderChange);
            }
            said.leader = view.leader;
        }
        let is_newer = last.is_none_or(|last| last.applied <= view.applied);
        chronicle.expect(is_newer, || format!("node {node} went back to index {}", view.applied));
        let other = said.views.entry(view.applied).or_insert_with(|| Arc::clone(view));
        let agree = other.shards == view.shards && other.nodes == view.nodes;
        chronicle.expect(agree, || format!("S1: two states at index {}", view.applied));
        check_slots(chronicle, view);
        for shard in &view.shards {
            said.check_grant(chronicle, shard);
            let before = last.and_then(|last| last.shards.iter().find(|old| old.id == shard.id));
            chronicle.expect(before.is_none_or(|before| before.epoch <= shard.epoch), || {
                format!("L1: the epoch of shard {} went back", shard.id)
            });
        }
        // What all are past is not compared any more.
        while said.views.len() > 400 {
            said.views.pop_first();
        }
    }
}

impl Said {
    /// L1: an epoch of a shard is granted once, whichever node says so.
    fn check_grant(&mut self, chronicle: &Chronicle, shard: &ShardView) {
        let Some(owner) = shard.owner else { return };
        let granted = *self.grants.entry((shard.id, shard.epoch)).or_insert(owner);
        chronicle.expect(granted == owner, || {
            format!("L1: epoch {} of shard {} has two owners", shard.epoch, shard.id)
        });
    }
}

impl Witness for Beliefs {
    /// S1, S2, L1, L2, L5: each entry, on each voter, does to the shards what it may.
    fn applied(
        &self,
        index: u64,
        before: &Ownership,
        command: &Command,
        response: &Response,
        after: &State,
    ) {
        for breach in audit(before, command, response, after) {
            let what = format!("{}: entry {index}: {} by {command:?}", breach.id, breach.what);
            self.chronicle.violation(&what);
        }
        let mut said = self.said();
        for shard in after.shards().values() {
            said.check_grant(&self.chronicle, shard);
        }
    }
}

/// S1: the shards' ranges are every slot, once.
fn check_slots(chronicle: &Chronicle, view: &ClusterView) {
    let mut next = Some(0_u16);
    for shard in &view.shards {
        chronicle.expect(next == Some(shard.range.first.0), || {
            format!("S1: shard {} does not begin where the one before ends", shard.id)
        });
        next = shard.range.last.0.checked_add(1);
    }
    chronicle.expect(next.is_none(), || "S1: the last slots are of no shard".to_owned());
}

#[cfg(test)]
mod tests {
    use quarry_core::coordinator::{Changes, Loads};
    use quarry_types::{ClusterId, Slot, SlotRange};

    use super::*;

    /// One shard, of `owner` under `epoch`, as it is at index `applied`.
    fn view(applied: u64, owner: u64, epoch: u64) -> ClusterView {
        let shard = ShardView {
            id: ShardId(0),
            range: SlotRange::ALL,
            owner: Some(NodeId(owner)),
            epoch: Epoch(epoch),
            moving_to: None,
            load: 1,
        };
        ClusterView { applied, shards: vec![shard], ..ClusterView::default() }
    }

    fn broken(look: impl FnOnce(&Beliefs)) -> Vec<String> {
        let chronicle = Arc::new(Chronicle::new(quarry_sim::host(1)));
        look(&Beliefs::new(Arc::clone(&chronicle)));
        let found = chronicle.close(1).violations;
        found.into_iter().map(|what| what.split(':').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn views_that_follow_one_another_break_nothing() {
        let found = broken(|beliefs| {
            let (first, second) = (view(1, 1, 1), view(2, 2, 2));
            beliefs.check(NodeId(1), None, &Arc::new(first.clone()));
            beliefs.check(NodeId(1), Some(&first), &Arc::new(second.clone()));
            beliefs.check(NodeId(2), None, &Arc::new(second));
        });
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn two_states_and_slots_of_no_shard_or_of_two_are_found() {
        let two = broken(|beliefs| {
            beliefs.check(NodeId(1), None, &Arc::new(view(1, 1, 1)));
            beliefs.check(NodeId(2), None, &Arc::new(view(1, 1, 2)));
        });
        assert_eq!(two, ["S1"]);
        let with_range = |first, last| {
            let mut view = view(1, 1, 1);
            let range = SlotRange { first: Slot(first), last: Slot(last) };
            view.shards.iter_mut().for_each(|shard| shard.range = range);
            broken(|beliefs| beliefs.check(NodeId(1), None, &Arc::new(view)))
        };
        assert_eq!(with_range(1, u16::MAX), ["S1"]);
        assert_eq!(with_range(0, 7), ["S1"]);
    }

    #[test]
    fn an_epoch_of_two_owners_and_one_that_goes_back_are_found() {
        let shared = broken(|beliefs| {
            beliefs.check(NodeId(1), None, &Arc::new(view(1, 1, 1)));
            beliefs.check(NodeId(2), None, &Arc::new(view(2, 2, 1)));
        });
        assert_eq!(shared, ["L1"]);
        let back = broken(|beliefs| {
            let first = view(1, 1, 2);
            beliefs.check(NodeId(1), Some(&first), &Arc::new(view(2, 1, 1)));
        });
        assert_eq!(back, ["L1"]);
    }

    #[test]
    fn an_entry_that_does_what_it_may_not_is_found() {
        let found = broken(|beliefs| {
            let before = State::default().ownership();
            let mut after = State::default();
            let cluster = ClusterId(1);
            after.apply(1, Command::Initialize { cluster, shards: 4, max_moves: 1 });
            let command = Command::Rebalance { loads: Loads::new() };
            let split = Command::Split { shard: ShardId(0) };
            let response = Response::Applied(Changes::default());
            beliefs.applied(1, &before, &command, &response, &after);
            beliefs.applied(2, &after.ownership(), &split, &response, &State::default());
        });
        assert!(found.iter().all(|id| id == "S1") && !found.is_empty(), "{found:?}");
    }
}
