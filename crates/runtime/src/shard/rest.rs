//! Entities come into memory, rest, and leave it.

use std::sync::Arc;

use bytes::Bytes;
use quarry_core::{delivery::ActivationFailure, residence::Committed};
use quarry_ports::StoreError;
use quarry_types::Address;
use ractor::{Actor, ActorRef};

use super::{io::Done, task::Serving};
use crate::{
    actor::{EntityActor, Hosted, Run, RunEnd, Timed},
    instance::Instance,
    residence::{Asked, Place},
};

/// A live actor. It ends when this is dropped, also in a handler, wherever that comes: a shard may end
/// while some of a batch are started and others wait for room.
struct Live(ActorRef<Run>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.kill();
    }
}

/// An entity with an actor, which ends with it.
pub(super) struct Resident {
    actor: Live,
    place: Place,
    /// As of the last commit of it that was begun: the stored one, where none is in flight.
    state: Committed,
    /// Others may have its place.
    rests: bool,
}

/// Why an entity leaves memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It had nothing to do for its type's time.
    Idle,
    /// Another has its place.
    Room,
    /// Its actor is given up: it may hold what was not committed.
    Failed,
}

impl Leaving {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Room => "room",
            Self::Failed => "failed",
        }
    }
}

impl Serving {
    /// Starts actors: those of whose state nothing is kept in memory when the store has answered, and
    /// all when there is room.
    pub(super) fn activate(&mut self, asked: Vec<(Address, u64)>) {
        if asked.is_empty() {
            return;
        }
        let residence = &self.shared.residence;
        let mut coming = Vec::with_capacity(asked.len());
        let mut unknown = Vec::new();
        for (address, number) in asked {
            let kept = residence.take(&address, self.epoch);
            let tier = if kept.is_some() { "memory" } else { "store" };
            self.shared.metrics.activations.with_label_values(&[tier]).inc();
            if kept.is_none() {
                unknown.push(address.clone());
            }
            coming.push((residence.come(&address, &self.door), address, number, kept));
        }
        let store = Arc::clone(&self.shared.store);
        let registry = self.shared.registry.clone();
        let (host, seconds) =
            (self.shared.host.clone(), self.shared.metrics.handler_seconds.clone());
        let ends = self.ends.clone();
        self.io.push(Box::pin(async move {
            let read =
                if unknown.is_empty() { Ok(Vec::new()) } else { store.states(unknown).await };
            let mut read = read.map(Vec::into_iter);
            let mut activated = Vec::with_capacity(coming.len());
            for (coming, address, number, kept) in coming {
                let state = match (kept, &mut read) {
                    (Some(state), _) => Ok(state),
                    (None, Ok(read)) => {
                        Ok(Committed(read.next().flatten().map(|stored| stored.state)))
                    }
                    (None, Err(error)) => Err(not_read(error)),
                };
                let resident = match state {
                    Ok(state) => {
                        let place = coming.enter().await;
                        let instance = registry.activate(&address.entity_type, state.0.clone());
                        let timed = Timed::of(&address.entity_type, host.clone(), &seconds);
                        let actor = start(address.clone(), instance, (ends.clone(), timed)).await;
                        actor.map(|actor| Resident { actor, place, state, rests: false })
                    }
                    Err(failure) => Err(failure),
                };
                activated.push((address, number, resident));
            }
            Done::Activated(activated)
        }));
    }

    /// Takes an actor that is up, unless the machine has given its activation up meanwhile.
    pub(super) fn activated(
        &mut self,
        address: &Address,
        number: u64,
        result: Result<Resident, ActivationFailure>,
    ) {
        let is_awaited = self.machine.awaits_activation(address, number);
        let result = result.map(|resident| {
            if is_awaited {
                self.residents.insert(address.clone(), resident);
            }
        });
        let now = self.now();
        self.machine.activated(now, address, number, result, &mut self.out);
    }

    /// Hands a run to the entity's actor; whether it has one.
    pub(super) fn hand_over(&mut self, address: &Address, run: Run) -> bool {
        let Some(resident) = self.residents.get_mut(address) else { return false };
        if std::mem::take(&mut resident.rests) {
            self.shared.residence.busy(resident.place.id);
        }
        resident.actor.0.send_message(run).is_ok()
    }

    /// What a commit that begins makes the states of entities.
    pub(super) fn states_change(&mut self, states: &[(Address, Bytes)]) {
        for (address, state) in states {
            if let Some(resident) = self.residents.get_mut(address) {
                resident.state = Committed(Some(state.clone()));
            }
        }
    }

    /// Says which entities came to have nothing to do.
    pub(super) fn rest(&mut self) {
        for address in self.machine.take_rested() {
            if let Some(resident) = self.residents.get_mut(&address) {
                resident.rests = true;
                self.shared.residence.rests(resident.place.id);
            }
        }
    }

    /// An entity is to leave for another, if it still has nothing to do.
    pub(super) fn make_room(&mut self, asked: &Asked) {
        let resident = self.residents.get_mut(&asked.address);
        let Some(resident) = resident.filter(|resident| resident.place.id == asked.id) else {
            return;
        };
        if self.machine.evict(&asked.address) {
            self.passivate(&asked.address, Leaving::Room);
        } else {
            resident.rests = false;
            self.shared.residence.busy(asked.id);
        }
        self.count();
    }

    /// Entities that had nothing to do for their type's time leave.
    pub(super) fn passivate_idle(&mut self) {
        let now = self.now();
        for address in self.machine.passivate_idle(now) {
            self.passivate(&address, Leaving::Idle);
        }
    }

    pub(super) fn passivate(&mut self, address: &Address, why: Leaving) {
        let Some(Resident { actor, state, .. }) = self.residents.remove(address) else { return };
        // A handler that still runs was given up by the machine: it must not run on.
        drop(actor);
        self.shared.metrics.passivations.with_label_values(&[why.as_str()]).inc();
        match why {
            Leaving::Idle | Leaving::Room => {
                self.shared.residence.keep(address, self.epoch, state);
            }
            Leaving::Failed => {}
        }
    }
}

fn not_read(error: &StoreError) -> ActivationFailure {
    match error {
        StoreError::Unavailable { reason } => ActivationFailure::Unavailable(reason.clone()),
        StoreError::Corrupt { reason } => ActivationFailure::Broken(reason.clone()),
    }
}

async fn start(
    address: Address,
    instance: Result<Arc<dyn Instance>, String>,
    (ends, timed): (tokio::sync::mpsc::UnboundedSender<RunEnd>, Timed),
) -> Result<Live, ActivationFailure> {
    let instance = instance.map_err(ActivationFailure::Broken)?;
    let hosted = Hosted::new(address, instance, ends, timed);
    match Actor::spawn(None, EntityActor, hosted).await {
        // The task ends by itself when the actor is stopped.
        Ok((actor, _task)) => Ok(Live(actor)),
        Err(error) => Err(ActivationFailure::Broken(error.to_string())),
    }
}
