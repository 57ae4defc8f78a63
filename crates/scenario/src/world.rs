//! The world of a run: machine, networks, disks, database, and the processes in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use quarry::prelude::Node;
use quarry_consensus::MemoryDisk;
use quarry_ports::{Administration, Host, Random};
use quarry_sim::{FaultPlan, MemoryDatabase, Network, Weather, host::SeededRandom};
use quarry_types::{BootId, Division, Epoch, MessageId, Monotonic, NodeId, ShardId};

use crate::{
    chronicle::{Chronicle, Point},
    node::Running,
    plan::Plan,
    views::Beliefs,
    witness::Observer,
};

/// Connections are refused for less than half of this, and a lease that was ended early is held by
/// its process for less than the other half.
const REFUSAL: Duration = Duration::from_secs(8);

/// Chooses what happens.
pub(crate) struct Dice(SeededRandom);

impl Dice {
    pub(crate) fn next(&self) -> u64 {
        self.0.next_u64()
    }

    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    pub(crate) fn hits(&self, per_cent: u64) -> bool {
        self.below(100) < per_cent
    }

    pub(crate) fn milliseconds(&self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.below(most.saturating_sub(least)))
    }
}

/// See the module.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) host: Host,
    pub(crate) random: Dice,
    /// Chooses what is split: apart from what goes wrong.
    pub(crate) splits: Dice,
    /// Chooses when bombs are lit.
    pub(crate) bombs: Dice,
    pub(crate) chronicle: Arc<Chronicle>,
    pub(crate) beliefs: Arc<Beliefs>,
    pub(crate) observer: Arc<Observer>,
    pub(crate) database: Arc<MemoryDatabase>,
    /// The message plane.
    pub(crate) network: Network,
    /// The control plane.
    pub(crate) control: Network,
    pub(crate) disks: BTreeMap<u64, MemoryDisk>,
    running: Mutex<BTreeMap<u64, Running>>,
    /// Processes that are frozen for good.
    frozen: Mutex<Vec<Running>>,
    /// How often each bomb has ended a process.
    exploded: Mutex<BTreeMap<MessageId, u32>>,
    /// When connections to or from a process that lives were refused last.
    refused: Mutex<Option<Monotonic>>,
}

impl World {
    pub(crate) fn new(plan: Plan) -> Arc<Self> {
        let host = quarry_sim::host(plan.seed);
        let chronicle = Arc::new(Chronicle::new(host.clone()));
        let beliefs = Arc::new(Beliefs::new(Arc::clone(&chronicle)));
        let disk = || MemoryDisk::seen_by(Arc::clone(&beliefs) as _);
        let disks = (1..=plan.nodes).map(|node| (node, disk())).collect();
        let world = Arc::new_cyclic(|world| {
            let database = MemoryDatabase::new();
            let observer = Arc::new(Observer::new(Arc::clone(&chronicle), world.clone()));
            database.set_witness(Arc::clone(&observer) as _);
            Self {
                random: Dice(SeededRandom::new(plan.seed ^ 0x5eed)),
                splits: Dice(SeededRandom::new(plan.seed ^ 0x5917)),
                bombs: Dice(SeededRandom::new(plan.seed ^ 0xb0b5)),
                exploded: Mutex::default(),
                beliefs,
                observer,
                network: Network::new(host.clone(), plan.seed ^ 1),
                control: Network::new(host.clone(), plan.seed ^ 2),
                disks,
                running: Mutex::default(),
                frozen: Mutex::default(),
                refused: Mutex::default(),
                plan,
                host,
                chronicle,
                database,
            }
        });
        world.set_weather();
        world
    }

    /// What the networks, the disks and the database are like, as the seed has it.
    fn set_weather(&self) {
        let dice = &self.random;
        let lossy = dice.hits(50);
        let plan = FaultPlan {
            drop_per_mille: if lossy { 20 } else { 0 },
            duplicate_per_mille: if lossy { 20 } else { 0 },
            reorder_per_mille: if lossy { 50 } else { 0 },
            delay_min: Duration::from_micros(200),
            delay_max: dice.milliseconds(1, 20),
        };
        self.network.set_plan(plan.clone());
        self.control.set_plan(plan);
        for disk in self.disks.values() {
            disk.set_write_time(dice.milliseconds(1, 20));
        }
        let is_rough = dice.hits(60);
        let per_mille = |most: u64| {
            if is_rough { u16::try_from(dice.below(most)).unwrap_or(0) } else { 0 }
        };
        let weather = Weather {
            latency_min: Duration::from_micros(100),
            latency_max: dice.milliseconds(1, 5),
            slow_per_mille: per_mille(30),
            slow: Duration::from_secs(6),
            refused_per_mille: per_mille(20),
            lost_per_mille: per_mille(20),
        };
        self.database.set_weather(self.host.clone(), weather);
    }

    pub(crate) fn running(&self) -> MutexGuard<'_, BTreeMap<u64, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn frozen(&self) -> MutexGuard<'_, Vec<Running>> {
        self.frozen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A bomb ends a process; how often it has, this time included.
    pub(crate) fn exploded(&self, bomb: MessageId) -> u32 {
        let mut exploded = self.exploded.lock().unwrap_or_else(PoisonError::into_inner);
        let times = exploded.entry(bomb).or_default();
        *times += 1;
        *times
    }

    /// A process's runner has started.
    pub(crate) fn began(&self, id: NodeId, boot: BootId, node: Node) {
        if let Some(running) = self.running().get_mut(&id.0).filter(|now| now.boot == boot) {
            running.node = Some(node);
        }
    }

    /// Any process that takes calls, with its host.
    pub(crate) fn any_node(&self) -> Option<(Node, Arc<quarry_sim::Process>)> {
        let up: Vec<_> = self
            .running()
            .values()
            .filter_map(|running| Some((running.node.clone()?, Arc::clone(&running.process))))
            .collect();
        let at = usize::try_from(self.random.below(u64::try_from(up.len()).unwrap_or(0)));
        at.ok().and_then(|at| up.into_iter().nth(at))
    }

    /// Ends a process at once.
    pub(crate) fn kill(self: &Arc<Self>, id: u64) {
        let Some(running) = self.running().remove(&id) else { return };
        self.chronicle.note(&format!("kill {id}"));
        self.chronicle
            .expect(running.process.panics() == 0, || format!("a task of node {id} panicked"));
        self.network.stop(NodeId(id));
        self.control.stop(NodeId(id));
        running.process.kill();
        self.look_for_early_end(id, running.boot);
    }

    /// Notices whether the lease of a process that is gone ends before its time.
    fn look_for_early_end(self: &Arc<Self>, id: u64, boot: BootId) {
        let world = Arc::clone(self);
        drop(self.host.spawn("early end", async move {
            tokio::time::sleep(Duration::from_millis(2_300)).await;
            let views: Vec<_> =
                world.running().values().filter_map(|up| Some(up.node.as_ref()?.view())).collect();
            let is_over = views.iter().any(|view| {
                view.nodes.get(&NodeId(id)).is_some_and(|node| {
                    node.boot == boot && node.state == quarry_types::NodeState::Down
                })
            });
            if is_over {
                world.chronicle.reach(Point::LeaseEndedEarly);
            }
        }));
    }

    /// Lets connections to a living process be refused, as a firewall does, or no longer.
    pub(crate) fn refuse(&self, id: u64) {
        self.control.stop(NodeId(id));
        self.mark_refused();
    }

    /// Connections to a process that were refused are taken again.
    pub(crate) fn admit(&self, id: u64) {
        self.mark_refused();
        self.control.resume(NodeId(id));
    }

    fn mark_refused(&self) {
        let until = self.host.now().after(REFUSAL);
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    /// Whether a leader may have taken a living process for dead: then its lease was ended early, and
    /// only the fence stands between it and its shards (L2).
    fn was_refused(&self) -> bool {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.is_some_and(|until| self.host.now() < until)
    }

    /// L2: whoever had the shard before has stopped by its own clock, or closed it.
    pub(crate) fn check_leases(&self, division: Division, epoch: Epoch, boot: BootId) {
        let shard = division.id;
        let all = std::iter::successors(Some(division), |part| part.whole());
        let ids: BTreeSet<ShardId> = all.map(|division| division.id).collect();
        for (id, running) in &*self.running() {
            let Some(node) = running.node.as_ref().filter(|_| running.boot != boot) else {
                continue;
            };
            let serves =
                node.owned_shards().iter().any(|own| ids.contains(&own.shard) && own.epoch < epoch);
            let is_held = node.ports().coordinator.lease().is_held();
            self.chronicle.expect(!serves || !is_held || self.was_refused(), || {
                format!("L2: shard {shard} is loaded while node {id} holds a lease and serves it")
            });
        }
    }

    /// Asks a node to have `what` done, without waiting for it.
    pub(crate) fn administer(self: &Arc<Self>, what: Administration) {
        let Some((node, process)) = self.any_node() else { return };
        let coordinator = Arc::clone(&node.ports().coordinator);
        let host = process.host(&self.host);
        drop(host.spawn("administer", async move { drop(coordinator.administer(what).await) }));
    }

    /// Ends a node as an operator does: its shards go first. Another process takes its place.
    pub(crate) async fn restart_in_order(self: &Arc<Self>, id: u64) {
        let Some(running) = self.running().get(&id).cloned() else { return };
        let Some(node) = running.node else { return };
        self.chronicle.note(&format!("drain {id}"));
        let host = running.process.host(&self.host);
        let drained = host.spawn("drain", async move { node.drain().await });
        let ended = tokio::time::timeout(Duration::from_secs(15), drained.ended()).await;
        let is_same = self.running().get(&id).is_some_and(|now| now.boot == running.boot);
        if is_same {
            if ended == Ok(true) {
                self.chronicle.reach(Point::Drained);
            }
            self.kill(id);
            tokio::time::sleep(self.random.milliseconds(10, 1_000)).await;
            // Who had killed it before the drain may have started it again meanwhile.
            if !self.running().contains_key(&id) {
                self.start(id);
            }
            self.administer(Administration::undrain([NodeId(id)]));
        }
    }
}
