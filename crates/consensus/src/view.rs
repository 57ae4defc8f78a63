//! What this node knows of the cluster, told to all who follow it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use quarry_core::coordinator::State;
use quarry_ports::watch;
use quarry_types::{ClusterId, ClusterView, NodeId};

/// The voters, with the addresses of their control planes.
pub(crate) type Voters = BTreeMap<NodeId, String>;

/// The newest view of this node. Its applied index only grows.
#[derive(Debug)]
pub(crate) struct Views {
    inner: Mutex<Inner>,
    view: watch::Sender<Arc<ClusterView>>,
}

#[derive(Debug, Default)]
struct Inner {
    leader: Option<NodeId>,
    cluster: Option<ClusterId>,
    /// As of the newest view; none before the first.
    voters: Option<Arc<Voters>>,
    /// Up to which index the leader has applied, as it said last.
    promised: u64,
}

impl Views {
    pub(crate) fn new() -> Self {
        Self { inner: Mutex::default(), view: watch::Sender::new(Arc::default()) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows the view.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<ClusterView>> {
        self.view.subscribe()
    }

    /// The newest view.
    pub(crate) fn newest(&self) -> Arc<ClusterView> {
        self.view.borrow().clone()
    }

    /// Whose view it is; unknown before the cluster is made.
    pub(crate) fn cluster_id(&self) -> Option<ClusterId> {
        self.inner().cluster
    }

    /// Who votes, as of the newest view; nothing before the first.
    pub(crate) fn voters(&self) -> Option<Arc<Voters>> {
        self.inner().voters.clone()
    }

    /// Tells the state at `applied`, as this node applied it, and who voted then.
    pub(crate) fn publish(&self, applied: u64, state: &State, voters: Voters) {
        let mut inner = self.inner();
        // A voter that catches up applies entries older than the view it followed meanwhile.
        inner.cluster = state.cluster().or(inner.cluster);
        self.take_voters(&mut inner, applied, voters);
        let view = state.view(applied, inner.leader);
        self.replace(view);
    }

    fn take_voters(&self, inner: &mut Inner, applied: u64, voters: Voters) {
        if applied >= self.view.borrow().applied
            && !voters.is_empty()
            && inner.voters.as_deref() != Some(&voters)
        {
            inner.voters = Some(Arc::new(voters));
        }
    }

    /// Takes over the view of a voter at `node`, unless it is older than what is known. Who leads, a
    /// node that votes knows from Raft: what another one says of it may be out of date.
    pub(crate) fn follow(
        &self,
        node: NodeId,
        cluster: Option<ClusterId>,
        mut view: ClusterView,
        voters: Voters,
    ) {
        let mut inner = self.inner();
        if view.applied < self.view.borrow().applied {
            return;
        }
        if voters.contains_key(&node) {
            view.leader = inner.leader;
        } else {
            inner.leader = view.leader;
        }
        self.take_voters(&mut inner, view.applied, voters);
        inner.cluster = cluster.or(inner.cluster);
        // Not told; a voter knows them of what it has applied itself.
        view.lease_ttls.clone_from(&self.view.borrow().lease_ttls);
        self.replace(view);
    }

    /// The leader has applied up to `applied`: a view of that is to come.
    pub(crate) fn promise(&self, applied: u64) {
        let mut inner = self.inner();
        inner.promised = inner.promised.max(applied);
    }

    /// The index of a view that is to come, as long as it has not.
    pub(crate) fn awaited(&self) -> Option<u64> {
        let promised = self.inner().promised;
        (self.view.borrow().applied < promised).then_some(promised)
    }

    /// How many entries the leader has applied that this view lacks, as it said last.
    pub(crate) fn behind(&self) -> u64 {
        let promised = self.inner().promised;
        promised.saturating_sub(self.view.borrow().applied)
    }

    /// Tells who leads; whether that is news.
    pub(crate) fn lead_by(&self, leader: Option<NodeId>) -> bool {
        let mut inner = self.inner();
        if inner.leader == leader {
            return false;
        }
        inner.leader = leader;
        self.view.send_if_modified(|view| {
            Arc::make_mut(view).leader = leader;
            true
        })
    }

    /// Who leads, as far as this node knows.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        self.inner().leader
    }

    /// Called with the lock held, so that views are told in the order of their indexes.
    fn replace(&self, view: ClusterView) {
        self.view.send_if_modified(|current| {
            let newer = view.applied > current.applied
                || view.applied == current.applied && view != **current;
            if newer {
                *current = Arc::new(view);
            }
            newer
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NODES: [NodeId; 2] = [NodeId(1), NodeId(2)];

    fn voters(nodes: &[NodeId]) -> Voters {
        nodes.iter().map(|node| (*node, String::new())).collect()
    }

    fn view(applied: u64, leader: u64) -> ClusterView {
        ClusterView { applied, leader: Some(NodeId(leader)), ..ClusterView::default() }
    }

    #[test]
    fn a_voter_takes_nobody_elses_word_of_who_leads() {
        let views = Views::new();
        assert!(views.lead_by(Some(NodeId(1))));
        for applied in [0, 7, 7, 9] {
            views.follow(NodeId(1), None, view(applied, 2), voters(&NODES));
            assert_eq!(views.leader(), Some(NodeId(1)));
            let newest = views.newest();
            assert_eq!((newest.applied, newest.leader), (applied, Some(NodeId(1))));
        }
    }

    #[test]
    fn who_does_not_vote_takes_the_word_of_the_newest_view() {
        let views = Views::new();
        assert!(views.lead_by(Some(NodeId(1))));
        views.follow(NodeId(3), None, view(7, 2), voters(&NODES));
        assert_eq!(views.leader(), Some(NodeId(2)));
        views.follow(NodeId(3), None, view(6, 1), voters(&NODES));
        assert_eq!((views.leader(), views.newest().leader), (Some(NodeId(2)), Some(NodeId(2))));
        views.follow(NodeId(3), None, view(7, 1), voters(&NODES));
        assert_eq!((views.leader(), views.newest().leader), (Some(NodeId(1)), Some(NodeId(1))));
    }

    #[test]
    fn whose_cluster_it_is_is_not_forgotten_by_a_voter_that_catches_up() {
        let views = Views::new();
        views.follow(NodeId(1), Some(ClusterId(5)), view(7, 2), voters(&NODES));
        views.publish(2, &State::default(), voters(&NODES));
        assert_eq!((views.cluster_id(), views.newest().applied), (Some(ClusterId(5)), 7));
    }

    #[test]
    fn times_to_live_are_known_of_what_was_applied_and_not_of_what_is_told() {
        let views = Views::new();
        let ttls: BTreeMap<NodeId, Duration> = [(NODES[1], Duration::from_secs(10))].into();
        let state = State::default().counting_by(ttls.clone());
        views.publish(7, &state, voters(&NODES));
        for applied in [7, 9] {
            views.follow(NODES[0], None, view(applied, 2), voters(&NODES));
            assert_eq!(views.newest().lease_ttls, ttls);
        }
        views.publish(9, &State::default(), voters(&NODES));
        assert!(views.newest().lease_ttls.is_empty());
    }
}
