//! The runner: keeps one task per shard that this node owns.

use std::{
    collections::BTreeMap,
    iter,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use quarry_ports::{Coordinator, Host, LeaseGuard, Task};
use quarry_types::{BootId, ClusterView, Epoch, Monotonic, ShardId, ShardView, SlotRange};
use tokio::sync::{Notify, mpsc, watch};

use crate::{
    inbox::Inbox,
    node::Inner,
    reports::{Refused, Reports},
    shard::{Control, End, Ended, ShardTask, Shared},
};

/// How long the runner waits at most before it looks again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How often it is looked whether the lease was ended, or may be held again.
const LEASE_LOOK: Duration = Duration::from_millis(20);

/// The ways into the shards that this node serves or loads. The lock is held for a look-up or a change
/// only, never across an await.
#[derive(Clone, Default)]
pub(crate) struct Served(Arc<RwLock<BTreeMap<ShardId, (Epoch, Inbox)>>>);

impl Served {
    /// The way to `shard`, or to the shard that it is a part of and that is being closed for it.
    pub(crate) fn of(&self, shard: &ShardView) -> Option<Inbox> {
        let served = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut wholes = iter::successors(Some(shard.division()), |part| part.whole());
        wholes.find_map(|division| served.get(&division.id)).map(|(_, inbox)| inbox.clone())
    }

    pub(crate) fn all(&self) -> Vec<(ShardId, Epoch)> {
        let served = self.0.read().unwrap_or_else(PoisonError::into_inner);
        served.iter().map(|(shard, (epoch, _))| (*shard, *epoch)).collect()
    }

    fn insert(&self, shard: ShardId, epoch: Epoch, inbox: Inbox) {
        let mut served = self.0.write().unwrap_or_else(PoisonError::into_inner);
        served.insert(shard, (epoch, inbox));
    }

    fn remove(&self, shard: ShardId, epoch: Epoch) {
        let mut served = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if served.get(&shard).is_some_and(|(held, _)| *held == epoch) {
            served.remove(&shard);
        }
    }
}

struct Held {
    epoch: Epoch,
    range: SlotRange,
    control: watch::Sender<Control>,
    _task: Task,
}

/// A shard task that ended: which shard, under which epoch, and how.
type TaskEnd = (ShardId, Epoch, Ended);

pub(crate) struct Runner {
    shared: Shared,
    /// This process.
    boot: BootId,
    coordinator: Arc<dyn Coordinator>,
    served: Served,
    /// Set when this node is told to stop: every shard is closed by then, whoever takes it.
    stopping: watch::Receiver<Option<Monotonic>>,
    held: BTreeMap<ShardId, Held>,
    /// Grants that this process must not load (again): closed, lost or refused under this epoch.
    spent: BTreeMap<ShardId, Epoch>,
    reports: Reports,
    ends: (mpsc::UnboundedSender<TaskEnd>, mpsc::UnboundedReceiver<TaskEnd>),
    idle: Arc<Notify>,
}

impl Runner {
    pub(crate) fn new(
        shared: Shared,
        node: &Inner,
        stopping: watch::Receiver<Option<Monotonic>>,
    ) -> Self {
        Self {
            shared,
            boot: node.config.boot,
            coordinator: Arc::clone(&node.ports.coordinator),
            served: node.served.clone(),
            stopping,
            idle: Arc::clone(&node.idle),
            held: BTreeMap::new(),
            spent: BTreeMap::new(),
            reports: Reports::default(),
            // One entry per ended shard task: bounded by the number of shards.
            ends: mpsc::unbounded_channel(),
        }
    }

    /// Runs until the coordinator is gone.
    pub(crate) async fn run(mut self) {
        let mut view = self.coordinator.view();
        loop {
            // Before the view: what is told changes it, and must not keep what ended from being told.
            while let Ok(ended) = self.ends.1.try_recv() {
                self.ended(ended);
            }
            let current = Arc::clone(&view.borrow_and_update());
            self.follow(&current);
            self.coordinator.report(self.shared.loads.all());
            self.report().await;
            let wait = self.wait();
            tokio::select! {
                biased;
                changed = view.changed() => if changed.is_err() { break },
                Some(ended) = self.ends.1.recv() => self.ended(ended),
                stopping = self.stopping.changed() => if stopping.is_err() { break },
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.abandon_all();
    }

    /// Until the lease may end, or something is to be reported again.
    fn wait(&self) -> Duration {
        let now = self.shared.host.now();
        if !self.shared.lease.is_held() {
            return LEASE_LOOK;
        }
        let again = self.reports.wait(now).unwrap_or(LOOK_AGAIN);
        let left = self.shared.lease.deadline().since(now).min(again);
        left.clamp(Duration::from_millis(1), LOOK_AGAIN)
    }

    fn follow(&mut self, view: &ClusterView) {
        // What is granted to another process of this node's number is not this one's (L5).
        let own = view.nodes.get(&self.shared.node).map(|node| node.boot);
        if !self.shared.lease.is_held() || own != Some(self.boot) {
            return self.abandon_all();
        }
        let mine: BTreeMap<ShardId, &ShardView> =
            view.owned_by(self.shared.node).map(|shard| (shard.id, shard)).collect();
        for (shard, held) in &self.held {
            match mine.get(shard) {
                Some(granted) if granted.epoch == held.epoch => {}
                None if is_split_here((*shard, held.range), view, &mine) => {
                    if tell(&held.control, Control::Close) {
                        self.shared.metrics.shard_splits.inc();
                    }
                }
                _ => {
                    tell(&held.control, Control::Abandon);
                }
            }
        }
        let is_mine = |shard, epoch| {
            mine.get(&shard).is_some_and(|granted: &&ShardView| granted.epoch == epoch)
        };
        self.reports.forget_past(self.shared.host.now(), &self.shared.metrics, is_mine);
        self.spent.retain(|shard, epoch| is_mine(*shard, *epoch));
        let stop_by = *self.stopping.borrow();
        for granted in mine.values() {
            let must_close = stop_by.is_some() || granted.moving_to.is_some();
            match self.held.get(&granted.id) {
                Some(held) if held.epoch == granted.epoch && must_close => {
                    tell(&held.control, stop_by.map_or(Control::Close, Control::CloseBy));
                }
                Some(_) => {}
                // The shard that it is a part of is being closed.
                None if self.overlaps_held(granted) => {}
                None if self.spent.get(&granted.id) == Some(&granted.epoch) => {
                    // One that is moving is not split; its next owner has it done.
                    if must_close && self.reports.is_in_parts(granted.id) {
                        self.reports.release(granted.id, granted.epoch, None);
                    }
                }
                None if must_close => {
                    self.spent.insert(granted.id, granted.epoch);
                    self.reports.release(granted.id, granted.epoch, None);
                }
                None => self.start(granted),
            }
        }
    }

    fn overlaps_held(&self, granted: &ShardView) -> bool {
        self.held.iter().any(|(shard, held)| overlaps(*shard, held.range, granted))
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
            load: granted.load,
        };
        let ends = self.ends.0.clone();
        let task = self.shared.host.spawn("shard", async move {
            let ended = task.run().await;
            // The runner is gone only when the process ends.
            let _ = ends.send((shard, epoch, ended));
        });
        self.served.insert(shard, epoch, inbox);
        self.held.insert(shard, Held { epoch, range: granted.range, control, _task: task });
    }

    fn ended(&mut self, (shard, epoch, ended): TaskEnd) {
        self.served.remove(shard, epoch);
        self.held.remove(&shard);
        self.spent.insert(shard, epoch);
        match ended.end {
            // A lost shard that is still ours by the view needs a new epoch: release asks for one.
            End::Closed | End::Lost => {
                self.reports.release(shard, epoch, ended.silent_since);
            }
            // Another process had it under this very epoch: the coordinator's data were lost, and it
            // grants epochs once more. So this one is spent too, and the next may be.
            End::Refused(recorded) if recorded == epoch => {
                let next = Epoch(recorded.0.saturating_add(1));
                self.reports.refuse(shard, epoch, Refused::Spent(next));
            }
            End::Refused(recorded) => {
                self.reports.refuse(shard, epoch, Refused::Spent(recorded));
            }
            End::Split => self.reports.refuse(shard, epoch, Refused::Split),
        }
    }

    /// Tells the coordinator what was closed or refused; repeated until the view shows it.
    async fn report(&mut self) {
        if self.held.is_empty() {
            self.idle.notify_waiters();
        }
        let (lease, host) = (&self.shared.lease, &self.shared.host);
        tokio::select! {
            biased;
            // What is told waits for answers: the end of the lease waits for none of them.
            () = end_of(lease, host) => self.abandon_all(),
            () = self.reports.tell(&*self.coordinator, host) => {}
        }
    }

    fn abandon_all(&self) {
        for held in self.held.values() {
            tell(&held.control, Control::Abandon);
        }
    }
}

/// When `lease` is over, give or take [`LEASE_LOOK`] where it is ended before its time.
async fn end_of(lease: &LeaseGuard, host: &Host) {
    while lease.is_held() {
        let left = lease.deadline().since(host.now());
        tokio::time::sleep(left.clamp(Duration::from_millis(1), LEASE_LOOK)).await;
    }
}

/// Whether `shard` was split and this node owns all of its parts: then it may finish what runs.
fn is_split_here(
    (shard, range): (ShardId, SlotRange),
    view: &ClusterView,
    mine: &BTreeMap<ShardId, &ShardView>,
) -> bool {
    let lies_in = |part: &&ShardView| overlaps(shard, range, part);
    let mut parts = view.shards.iter().filter(lies_in).peekable();
    parts.peek().is_some()
        && parts.all(|part| part.is_part_of(shard) && mine.contains_key(&part.id))
}

/// Whether `other` is of the space of `shard` and begins in its range.
fn overlaps(shard: ShardId, range: SlotRange, other: &ShardView) -> bool {
    shard.space() == other.id.space() && range.contains(other.range.first)
}

/// Whether it is news to the task.
fn tell(control: &watch::Sender<Control>, what: Control) -> bool {
    control.send_if_modified(|current| {
        let is_news = *current != what && *current != Control::Abandon;
        if is_news {
            *current = what;
        }
        is_news
    })
}
