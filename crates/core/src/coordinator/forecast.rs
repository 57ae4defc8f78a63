//! What would change hands, without changing anything.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use quarry_types::{ClusterId, ClusterView, Epoch, MoveReason, NodeId, NodeState, ShardId};

use super::{State, ownership::Entry};

/// One change of hands to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreseen {
    /// The shard.
    pub shard: ShardId,
    /// Who owns it now.
    pub from: Option<NodeId>,
    /// Who is to own it.
    pub to: NodeId,
    /// Why.
    pub reason: MoveReason,
    /// Whether its owner is asked to hand it over; else it changes hands in the entry that ends the
    /// lease.
    pub is_handed_over: bool,
}

/// All changes of hands to come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// By shard.
    pub moves: Vec<Foreseen>,
    /// Shards that nobody could own, or that stay with a node that is drained.
    pub waiting: Vec<ShardId>,
}

/// A node that the view does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node {0} is not known")]
pub struct Unknown(pub NodeId);

/// What would change hands in a cluster that looks like `view` if the leases of all of `lost` ended
/// now, until it is at rest again; with none lost, what is still to come of itself.
///
/// # Errors
/// [`Unknown`] names one of `lost` that the view does not hold.
pub fn forecast(view: &ClusterView, lost: &BTreeSet<NodeId>) -> Result<Forecast, Unknown> {
    let mut state = State::seen(view);
    let mut entry = Entry::new(&state, state.highest.0.saturating_add(1).into());
    entry.grants.reason = Some(MoveReason::LeaseOver);
    for node in lost {
        let known = state.nodes.get_mut(node).ok_or(Unknown(*node))?;
        known.state = NodeState::Down;
    }
    for node in lost {
        state.vacate(&mut entry, &state.owned_by(*node), None);
    }
    state.settle(&mut entry);
    let plan = state.next_round();
    state.carry_out(&mut entry, &plan);
    Ok(compare(view, &state))
}

fn compare(view: &ClusterView, after: &State) -> Forecast {
    let mut forecast = Forecast::default();
    let before: BTreeMap<ShardId, Option<NodeId>> =
        view.shards.iter().map(|shard| (shard.id, shard.owner)).collect();
    for (id, shard) in &after.shards {
        let from = before.get(id).copied().flatten();
        let is_handed_over = shard.moving_to.is_some();
        let stays =
            shard.moving_to.is_none() && shard.owner.is_none_or(|owner| !after.takes(owner, *id));
        if stays {
            forecast.waiting.push(*id);
        }
        let Some(to) = shard.moving_to.or(shard.owner).filter(|to| from != Some(*to)) else {
            continue;
        };
        let is_draining = from.and_then(|from| after.nodes.get(&from)).map(|node| node.state);
        let reason = match is_draining {
            None => MoveReason::Unowned,
            Some(NodeState::Down) => MoveReason::LeaseOver,
            Some(NodeState::Draining) => MoveReason::Drained,
            Some(NodeState::Up) => MoveReason::Balanced,
        };
        forecast.moves.push(Foreseen { shard: *id, from, to, reason, is_handed_over });
    }
    forecast
}

impl State {
    /// As far as a view shows it; moves are not limited.
    fn seen(view: &ClusterView) -> Self {
        Self {
            cluster: Some(ClusterId(0)),
            max_moves: u32::MAX,
            highest: view.shards.iter().map(|shard| shard.epoch).max().unwrap_or(Epoch(0)),
            nodes: view.nodes.clone(),
            shards: view.shards.iter().map(|shard| (shard.id, shard.clone())).collect(),
            bindings: view.bindings.clone(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::{Command, LeaseEnd, tests::Log};

    fn lost(nodes: &[u64]) -> BTreeSet<NodeId> {
        nodes.iter().copied().map(NodeId).collect()
    }

    #[test]
    fn the_loss_of_a_node_goes_as_foreseen() {
        let mut log = Log::of([1, 2, 3]);
        let view = log.state.view(log.index, None);
        let foreseen = forecast(&view, &lost(&[1])).unwrap();
        assert_eq!(foreseen.moves.len(), log.owned(1).len(), "only its own shards (S2)");
        assert!(foreseen.moves.iter().all(|change| {
            change.from == Some(NodeId(1))
                && change.reason == MoveReason::LeaseOver
                && !change.is_handed_over
        }));
        log.end(1, 1, LeaseEnd::Expired);
        let came = |change: &Foreseen| log.state.shards()[&change.shard].owner == Some(change.to);
        assert!(foreseen.moves.iter().all(came));
        assert_eq!(foreseen.waiting, []);
    }

    #[test]
    fn the_loss_of_all_leaves_every_shard_waiting() {
        let log = Log::of([1, 2]);
        let view = log.state.view(log.index, None);
        let foreseen = forecast(&view, &lost(&[1, 2])).unwrap();
        assert_eq!((foreseen.moves.len(), foreseen.waiting.len()), (0, 16));
        assert_eq!(forecast(&view, &lost(&[1, 9])), Err(Unknown(NodeId(9))));
    }

    #[test]
    fn what_comes_of_itself_is_foreseen_to_the_end() {
        let mut log = Log::of([1, 2]);
        let at_rest = forecast(&log.state.view(log.index, None), &lost(&[])).unwrap();
        assert_eq!(at_rest, Forecast::default());
        log.join(3, 1);
        let view = log.state.view(log.index, None);
        let foreseen = forecast(&view, &lost(&[])).unwrap();
        let to_3 = |change: &&Foreseen| {
            change.to == NodeId(3) && change.reason == MoveReason::Balanced && change.is_handed_over
        };
        assert_eq!(foreseen.moves.iter().filter(to_3).count(), 5);
        log.balance();
        for change in &foreseen.moves {
            assert_eq!(log.state.shards()[&change.shard].owner, Some(NodeId(3)));
        }
        log.apply(Command::Drain { nodes: lost(&[3]) });
        let drained = forecast(&log.state.view(log.index, None), &lost(&[])).unwrap();
        assert_eq!(drained.moves.len(), 5);
        assert!(drained.moves.iter().all(|change| change.reason == MoveReason::Drained));
    }
}
