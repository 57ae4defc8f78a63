//! What this node knows of the cluster, told to all who follow it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quarry_core::coordinator::State;
use quarry_types::{ClusterId, ClusterView, NodeId};
use tokio::sync::watch;

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

    /// Tells the state at `applied`, as this node applied it.
    pub(crate) fn publish(&self, applied: u64, state: &State) {
        let mut inner = self.inner();
        inner.cluster = state.cluster();
        let view = state.view(applied, inner.leader);
        self.replace(view);
    }

    /// Takes over the view of a voter, if it is newer than what is known.
    pub(crate) fn follow(&self, cluster: Option<ClusterId>, view: ClusterView) {
        let mut inner = self.inner();
        inner.leader = view.leader;
        inner.cluster = cluster.or(inner.cluster);
        self.replace(view);
    }

    /// Tells who leads; whether that is news.
    pub(crate) fn lead_by(&self, leader: Option<NodeId>) -> bool {
        let mut inner = self.inner();
        if inner.leader == leader {
            return false;
        }
        inner.leader = leader;
        self.view.send_modify(|view| Arc::make_mut(view).leader = leader);
        true
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
