//! Residents and their caps.

use alloc::{collections::BTreeMap, vec::Vec};

use quarry_types::EntityType;

/// How many entities may be resident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Of all types together, at least 1.
    pub all: usize,
    /// Of single types, at least 1.
    pub types: BTreeMap<EntityType, usize>,
    /// Of each other type.
    pub default_type: usize,
}

/// Names a resident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResidentId(pub u64);

/// What becomes of a resident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// It may become active.
    Enter(ResidentId),
    /// It is asked to leave: answer with [`Residents::gone`], or with [`Residents::busy`] where it has
    /// something to do.
    Leave(ResidentId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It enters when the other is gone.
    Waits(ResidentId),
    Busy,
    /// Since this turn.
    Rests(u64),
    /// It is to leave, for another where one waits for it.
    Asked(Option<ResidentId>),
}

struct Resident {
    /// The place of its type in `types`.
    of: usize,
    state: State,
}

/// The residents of one type.
struct OfType {
    cap: usize,
    /// Without those that are asked to leave.
    count: usize,
    /// Those that rest, by when they began to.
    resting: BTreeMap<u64, ResidentId>,
}

/// The residents of one runner.
pub struct Residents {
    caps: Caps,
    names: BTreeMap<EntityType, usize>,
    types: Vec<OfType>,
    all: BTreeMap<ResidentId, Resident>,
    /// Without those that are asked to leave.
    count: usize,
    turns: u64,
}

impl Residents {
    /// None yet.
    #[must_use]
    pub const fn new(caps: Caps) -> Self {
        Self {
            caps,
            names: BTreeMap::new(),
            types: Vec::new(),
            all: BTreeMap::new(),
            count: 0,
            turns: 0,
        }
    }

    /// Those that are here, or wait to be.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// An entity is to become active: it enters now, or when another has left. It is busy from then on.
    pub fn come(&mut self, entity_type: &EntityType, out: &mut Vec<Move>) -> ResidentId {
        let of = self.place_of(entity_type);
        self.turns += 1;
        let id = ResidentId(self.turns);
        self.count_in(of);
        self.all.insert(id, Resident { of, state: State::Busy });
        self.let_in(id, of, out);
        id
    }

    /// It has something to do.
    pub fn busy(&mut self, id: ResidentId, out: &mut Vec<Move>) {
        let Some(resident) = self.all.get_mut(&id) else { return };
        let of = resident.of;
        match resident.state {
            State::Waits(_) | State::Busy => {}
            State::Rests(since) => {
                resident.state = State::Busy;
                self.rouse(of, since);
            }
            State::Asked(waits) => {
                resident.state = State::Busy;
                self.count_in(of);
                if let Some((waits, of)) = waits.and_then(|id| Some((id, self.all.get(&id)?.of))) {
                    self.let_in(waits, of, out);
                }
                self.make_room(of, out);
            }
        }
    }

    /// It has nothing to do.
    pub fn rests(&mut self, id: ResidentId, out: &mut Vec<Move>) {
        let Some(resident) = self.all.get_mut(&id).filter(|r| r.state == State::Busy) else {
            return;
        };
        self.turns += 1;
        resident.state = State::Rests(self.turns);
        let of = resident.of;
        if let Some(own) = self.types.get_mut(of) {
            own.resting.insert(self.turns, id);
        }
        self.make_room(of, out);
    }

    /// It is here no more, or does not come.
    pub fn gone(&mut self, id: ResidentId, out: &mut Vec<Move>) {
        let Some(Resident { of, state }) = self.all.remove(&id) else { return };
        match state {
            State::Asked(None) => {}
            State::Asked(Some(waits)) => self.enter(waits, out),
            State::Waits(other) => {
                self.count_out(of);
                if let Some(other) = self.all.get_mut(&other) {
                    other.state = State::Asked(None);
                }
            }
            State::Busy => self.count_out(of),
            State::Rests(since) => {
                self.rouse(of, since);
                self.count_out(of);
            }
        }
    }

    /// It enters, or another is asked to leave for it.
    fn let_in(&mut self, id: ResidentId, of: usize, out: &mut Vec<Move>) {
        match self.too_many(of) {
            Some(oldest) => {
                if let Some(resident) = self.all.get_mut(&id) {
                    resident.state = State::Waits(oldest);
                }
                self.ask(oldest, Some(id), out);
            }
            None => self.enter(id, out),
        }
    }

    /// One leaves for nobody where there are more than may be.
    fn make_room(&mut self, of: usize, out: &mut Vec<Move>) {
        if let Some(oldest) = self.too_many(of) {
            self.ask(oldest, None, out);
        }
    }

    fn enter(&mut self, id: ResidentId, out: &mut Vec<Move>) {
        if let Some(resident) = self.all.get_mut(&id) {
            resident.state = State::Busy;
            out.push(Move::Enter(id));
        }
    }

    /// The one to leave where there are more than may be: of the type, or else of all.
    fn too_many(&self, of: usize) -> Option<ResidentId> {
        let own = self.types.get(of)?;
        let of_type = own.resting.first_key_value().filter(|_| own.count > own.cap);
        let of_all = || {
            let types = self.types.iter().filter(|_| self.count > self.caps.all);
            types.filter_map(|of_type| of_type.resting.first_key_value()).min()
        };
        of_type.or_else(of_all).map(|(_, id)| *id)
    }

    fn ask(&mut self, id: ResidentId, waits: Option<ResidentId>, out: &mut Vec<Move>) {
        let Some(resident) = self.all.get_mut(&id) else { return };
        if let State::Rests(since) = resident.state {
            resident.state = State::Asked(waits);
            let of = resident.of;
            self.rouse(of, since);
            self.count_out(of);
            out.push(Move::Leave(id));
        }
    }

    /// It does not rest any more.
    fn rouse(&mut self, of: usize, since: u64) {
        if let Some(own) = self.types.get_mut(of) {
            own.resting.remove(&since);
        }
    }

    fn count_in(&mut self, of: usize) {
        self.count += 1;
        if let Some(own) = self.types.get_mut(of) {
            own.count += 1;
        }
    }

    fn count_out(&mut self, of: usize) {
        self.count -= 1;
        if let Some(own) = self.types.get_mut(of) {
            own.count -= 1;
        }
    }

    fn place_of(&mut self, entity_type: &EntityType) -> usize {
        if let Some(of) = self.names.get(entity_type) {
            return *of;
        }
        let cap = self.caps.types.get(entity_type).copied().unwrap_or(self.caps.default_type);
        self.types.push(OfType { cap, count: 0, resting: BTreeMap::new() });
        self.names.insert(entity_type.clone(), self.types.len() - 1);
        self.types.len() - 1
    }
}
