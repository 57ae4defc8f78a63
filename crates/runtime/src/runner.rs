//! The runner: keeps one task per shard that this node owns.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use quarry_ports::{Coordinator, Task, crash};
use quarry_types::{ClusterView, Epoch, ShardId, ShardView};
use tokio::sync::{Notify, mpsc, watch};

use crate::{
    inbox::Inbox,
    node::Inner,
    shard::{Control, End, ShardTask, Shared},
};

/// How long the runner waits at most before it looks again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The ways into the shards that this node serves or loads.
#[derive(Clone, Default)]
pub(crate) struct Served(Arc<Inboxes>);

#[derive(Default)]
struct Inboxes {
    /// Held for a look-up or a change only, never across an await.
    by_shard: RwLock<BTreeMap<ShardId, (Epoch, Inbox)>>,
    has_begun: AtomicBool,
}

impl Served {
    pub(crate) fn get(&self, shard: ShardId) -> Option<Inbox> {
        let served = self.0.by_shard.read().unwrap_or_else(PoisonError::into_inner);
        served.get(&shard).map(|(_, inbox)| inbox.clone())
    }

    pub(crate) fn all(&self) -> Vec<(ShardId, Epoch)> {
        let served = self.0.by_shard.read().unwrap_or_else(PoisonError::into_inner);
        served.iter().map(|(shard, (epoch, _))| (*shard, *epoch)).collect()
    }

    /// Whether this process has ever served a shard.
    pub(crate) fn has_begun(&self) -> bool {
        self.0.has_begun.load(Ordering::Relaxed)
    }

    fn insert(&self, shard: ShardId, epoch: Epoch, inbox: Inbox) {
        let mut served = self.0.by_shard.write().unwrap_or_else(PoisonError::into_inner);
        served.insert(shard, (epoch, inbox));
        self.0.has_begun.store(true, Ordering::Relaxed);
    }

    fn remove(&self, shard: ShardId, epoch: Epoch) {
        let mut served = self.0.by_shard.write().unwrap_or_else(PoisonError::into_inner);
        if served.get(&shard).is_some_and(|(held, _)| *held == epoch) {
            served.remove(&shard);
        }
    }
}

/// A report that takes longer is tried again, so that the end of the lease is never missed for it.
const REPORT: Duration = Duration::from_millis(250);

struct Held {
    epoch: Epoch,
    control: watch::Sender<Control>,
    _task: Task,
}

/// A shard task that ended: which shard, under which epoch, and how.
type Ended = (ShardId, Epoch, End);

pub(crate) struct Runner {
    shared: Shared,
    coordinator: Arc<dyn Coordinator>,
    served: Served,
    /// Set when this node is told to stop: every shard is closed, whoever takes it.
    stopping: watch::Receiver<bool>,
    held: BTreeMap<ShardId, Held>,
    /// Grants that this process must not load (again): closed, lost or refused under this epoch.
    spent: BTreeMap<ShardId, Epoch>,
    releasing: BTreeMap<ShardId, Epoch>,
    /// Loads that the store refused: the epoch granted, and the one it recorded.
    refused: BTreeMap<ShardId, (Epoch, Epoch)>,
    ends: (mpsc::UnboundedSender<Ended>, mpsc::UnboundedReceiver<Ended>),
    idle: Arc<Notify>,
}

impl Runner {
    pub(crate) fn new(shared: Shared, node: &Inner, stopping: watch::Receiver<bool>) -> Self {
        Self {
            shared,
            coordinator: Arc::clone(&node.ports.coordinator),
            served: node.served.clone(),
            stopping,
            idle: Arc::clone(&node.idle),
            held: BTreeMap::new(),
            spent: BTreeMap::new(),
            releasing: BTreeMap::new(),
            refused: BTreeMap::new(),
            // One entry per ended shard task: bounded by the number of shards.
            ends: mpsc::unbounded_channel(),
        }
    }

    /// Runs until the coordinator is gone.
    pub(crate) async fn run(mut self) {
        let mut view = self.coordinator.view();
        loop {
            let current = Arc::clone(&view.borrow_and_update());
            self.follow(&current);
            self.coordinator.report(self.shared.loads.all());
            self.report().await;
            let wait = self.wait();
            tokio::select! {
                biased;
                changed = view.changed() => if changed.is_err() { break },
                Some(ended) = self.ends.1.recv() => {
                    self.ended(ended);
                    // What ended meanwhile goes with it in one report.
                    while let Ok(ended) = self.ends.1.try_recv() {
                        self.ended(ended);
                    }
                }
                stopping = self.stopping.changed() => if stopping.is_err() { break },
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.abandon_all();
    }

    /// Until the lease may end, or something is to be reported again.
    fn wait(&self) -> Duration {
        if !self.releasing.is_empty() || !self.refused.is_empty() {
            return Duration::from_millis(50);
        }
        if !self.shared.lease.is_held() {
            return Duration::from_millis(20);
        }
        let left = self.shared.lease.deadline().since(self.shared.host.now());
        left.clamp(Duration::from_millis(1), LOOK_AGAIN)
    }

    fn follow(&mut self, view: &ClusterView) {
        if !self.shared.lease.is_held() {
            return self.abandon_all();
        }
        let mine: BTreeMap<ShardId, &ShardView> =
            view.owned_by(self.shared.node).map(|shard| (shard.id, shard)).collect();
        for (shard, held) in &self.held {
            if mine.get(shard).is_none_or(|granted| granted.epoch != held.epoch) {
                tell(&held.control, Control::Abandon);
            }
        }
        self.releasing
            .retain(|shard, epoch| mine.get(shard).is_some_and(|granted| granted.epoch == *epoch));
        self.refused.retain(|shard, (epoch, _)| {
            mine.get(shard).is_some_and(|granted| granted.epoch == *epoch)
        });
        self.spent
            .retain(|shard, epoch| mine.get(shard).is_some_and(|granted| granted.epoch == *epoch));
        let is_stopping = *self.stopping.borrow();
        for granted in mine.values() {
            let must_close = is_stopping || granted.moving_to.is_some();
            match self.held.get(&granted.id) {
                Some(held) if held.epoch == granted.epoch && must_close => {
                    tell(&held.control, Control::Close);
                }
                Some(_) => {}
                None if self.spent.get(&granted.id) == Some(&granted.epoch) => {}
                None if must_close => {
                    self.spent.insert(granted.id, granted.epoch);
                    self.releasing.insert(granted.id, granted.epoch);
                }
                None => self.start(granted),
            }
        }
    }

    fn start(&mut self, granted: &ShardView) {
        let (inbox, lanes) = Inbox::new();
        let (control, controlled) = watch::channel(Control::Serve);
        let (shard, epoch) = (granted.id, granted.epoch);
        let task = ShardTask {
            shared: self.shared.clone(),
            shard,
            range: granted.range,
            epoch,
            lanes,
            control: controlled,
        };
        let ends = self.ends.0.clone();
        let task = self.shared.host.spawn("shard", async move {
            let end = task.run().await;
            // The runner is gone only when the process ends.
            let _ = ends.send((shard, epoch, end));
        });
        self.served.insert(shard, epoch, inbox);
        self.held.insert(shard, Held { epoch, control, _task: task });
    }

    fn ended(&mut self, (shard, epoch, end): Ended) {
        self.served.remove(shard, epoch);
        self.held.remove(&shard);
        self.spent.insert(shard, epoch);
        match end {
            // A lost shard that is still ours by the view needs a new epoch: release asks for one.
            End::Closed | End::Lost => {
                self.releasing.insert(shard, epoch);
            }
            End::Refused(recorded) => {
                self.refused.insert(shard, (epoch, recorded));
            }
        }
    }

    /// Tells the coordinator what was closed or refused; repeated until the view shows it.
    async fn report(&mut self) {
        if self.held.is_empty() {
            self.idle.notify_waiters();
        }
        if !self.shared.lease.is_held() {
            return;
        }
        let released: Vec<(ShardId, Epoch)> =
            self.releasing.iter().map(|(s, e)| (*s, *e)).collect();
        if !released.is_empty() {
            let reported = tokio::time::timeout(REPORT, self.coordinator.release(released)).await;
            match reported {
                Ok(Ok(())) => crash::point("released"),
                Ok(Err(error)) => tracing::debug!(%error, "shards could not be released yet"),
                Err(_) => tracing::debug!("shards could not be released in time"),
            }
        }
        for (shard, (_, recorded)) in self.refused.clone() {
            let reported = self.coordinator.fence_refused(shard, recorded);
            if !matches!(tokio::time::timeout(REPORT, reported).await, Ok(Ok(()))) {
                tracing::debug!(%shard, "a refused fence could not be reported yet");
                return;
            }
        }
    }

    fn abandon_all(&self) {
        for held in self.held.values() {
            tell(&held.control, Control::Abandon);
        }
    }
}

fn tell(control: &watch::Sender<Control>, what: Control) {
    control.send_if_modified(|current| {
        let is_news = *current != what && *current != Control::Abandon;
        if is_news {
            *current = what;
        }
        is_news
    });
}
