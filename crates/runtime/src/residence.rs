//! The entities in memory, as all shards of a node share them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus::IntGauge;
use quarry_core::{
    delivery::Limits,
    residence::{Caps, Committed, Dormant, Move, ResidentId, Residents},
};
use quarry_ports::Metrics;
use quarry_types::{Address, Epoch};
use tokio::sync::{mpsc, oneshot};

/// A resident that is asked to leave.
pub(crate) struct Asked {
    pub(crate) address: Address,
    pub(crate) id: ResidentId,
}

/// The way to the task of a resident's shard. Unbounded by type; a resident is asked once until it has
/// answered.
pub(crate) type Door = mpsc::UnboundedSender<Asked>;

struct Home {
    address: Address,
    door: Door,
    /// Told when it may enter.
    entering: Option<oneshot::Sender<()>>,
}

struct Counted {
    residents: Residents,
    homes: BTreeMap<ResidentId, Home>,
}

/// Who is in memory. Each lock is held for a look or a change only, never across an await.
#[derive(Clone)]
pub(crate) struct Residence(Arc<Inner>);

struct Inner {
    counted: Mutex<Counted>,
    dormant: Mutex<Dormant>,
    dormant_entities: IntGauge,
    dormant_bytes: IntGauge,
}

/// A place for one resident; free again when dropped.
pub(crate) struct Place {
    residence: Residence,
    pub(crate) id: ResidentId,
}

/// A resident to be, with a place once there is one.
pub(crate) struct Coming {
    place: Place,
    entered: oneshot::Receiver<()>,
}

impl Coming {
    /// Waits until there is room: for others that have nothing to do, and for nothing else.
    pub(crate) async fn enter(self) -> Place {
        // The sender goes only with the place.
        let _ = self.entered.await;
        self.place
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.residence.change(|counted, moves| {
            counted.residents.gone(self.id, moves);
            counted.homes.remove(&self.id);
        });
    }
}

impl Residence {
    /// Nobody yet, with room for `residents` entities and `dormant` bytes of states of others.
    pub(crate) fn new(
        residents: usize,
        dormant: usize,
        limits: &Limits,
        metrics: &Metrics,
    ) -> Self {
        let types = limits.types.iter().map(|(name, of)| (name.clone(), of.residents)).collect();
        let caps = Caps { all: residents, types, default_type: limits.default_type.residents };
        let counted = Counted { residents: Residents::new(caps), homes: BTreeMap::new() };
        Self(Arc::new(Inner {
            counted: Mutex::new(counted),
            dormant: Mutex::new(Dormant::new(dormant)),
            dormant_entities: metrics.dormant_entities.clone(),
            dormant_bytes: metrics.dormant_bytes.clone(),
        }))
    }

    /// An entity is to become active: others are asked for room.
    pub(crate) fn come(&self, address: &Address, door: &Door) -> Coming {
        let (entering, entered) = oneshot::channel();
        let id = self.change(|counted, moves| {
            let id = counted.residents.come(&address.entity_type, moves);
            let (address, door) = (address.clone(), door.clone());
            counted.homes.insert(id, Home { address, door, entering: Some(entering) });
            id
        });
        Coming { place: Place { residence: self.clone(), id }, entered }
    }

    /// It has something to do.
    pub(crate) fn busy(&self, id: ResidentId) {
        self.change(|counted, moves| counted.residents.busy(id, moves));
    }

    /// It has nothing to do.
    pub(crate) fn rests(&self, id: ResidentId) {
        self.change(|counted, moves| counted.residents.rests(id, moves));
    }

    fn change<T>(&self, change: impl FnOnce(&mut Counted, &mut Vec<Move>) -> T) -> T {
        let mut counted = self.0.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut moves = Vec::new();
        let changed = change(&mut counted, &mut moves);
        for step in moves {
            match step {
                Move::Enter(id) => {
                    let home = counted.homes.get_mut(&id);
                    if let Some(entering) = home.and_then(|home| home.entering.take()) {
                        // One that does not wait any more frees its place.
                        let _ = entering.send(());
                    }
                }
                Move::Leave(id) => {
                    if let Some(home) = counted.homes.get(&id) {
                        // A shard's task that is gone has freed its places, or is about to.
                        let _ = home.door.send(Asked { address: home.address.clone(), id });
                    }
                }
            }
        }
        changed
    }

    /// Keeps the committed state of an entity that leaves, while there is room.
    pub(crate) fn keep(&self, address: &Address, epoch: Epoch, state: Committed) {
        let mut dormant = self.dormant();
        dormant.keep(address, epoch, state);
        self.count(&dormant);
    }

    /// The committed state of an entity that becomes active, where it was kept.
    pub(crate) fn take(&self, address: &Address, epoch: Epoch) -> Option<Committed> {
        let mut dormant = self.dormant();
        let state = dormant.take(address, epoch);
        self.count(&dormant);
        state
    }

    fn dormant(&self) -> MutexGuard<'_, Dormant> {
        self.0.dormant.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, dormant: &Dormant) {
        self.0.dormant_entities.set(i64::try_from(dormant.len()).unwrap_or(i64::MAX));
        self.0.dormant_bytes.set(i64::try_from(dormant.size()).unwrap_or(i64::MAX));
    }
}
