//! Given, when, then moves; and random shards.

use alloc::{collections::BTreeMap, vec, vec::Vec};

use proptest::prelude::*;
use quarry_types::EntityType;

use super::{Caps, Move, ResidentId, Residents};

fn of(name: &str) -> EntityType {
    EntityType::new(name).unwrap()
}

fn residents(all: usize, hens: usize) -> Residents {
    Residents::new(Caps { all, types: [(of("Hen"), hens)].into(), default_type: usize::MAX })
}

fn come(residents: &mut Residents, name: &str) -> (ResidentId, Vec<Move>) {
    let mut out = Vec::new();
    let id = residents.come(&of(name), &mut out);
    (id, out)
}

fn rests(residents: &mut Residents, id: ResidentId) -> Vec<Move> {
    let mut out = Vec::new();
    residents.rests(id, &mut out);
    out
}

fn busy(residents: &mut Residents, id: ResidentId) -> Vec<Move> {
    let mut out = Vec::new();
    residents.busy(id, &mut out);
    out
}

fn gone(residents: &mut Residents, id: ResidentId) -> Vec<Move> {
    let mut out = Vec::new();
    residents.gone(id, &mut out);
    out
}

/// One that rests.
fn at_rest(residents: &mut Residents, name: &str) -> ResidentId {
    let (id, moves) = come(residents, name);
    assert_eq!(moves, [Move::Enter(id)]);
    assert_eq!(rests(residents, id), []);
    id
}

#[test]
fn the_least_recently_used_one_leaves_and_then_the_new_one_enters() {
    let mut residents = residents(2, 2);
    let (first, second) = (at_rest(&mut residents, "Cow"), at_rest(&mut residents, "Hen"));
    busy(&mut residents, first);
    rests(&mut residents, first);
    let (third, moves) = come(&mut residents, "Cow");
    assert_eq!(moves, [Move::Leave(second)]);
    assert_eq!(gone(&mut residents, second), [Move::Enter(third)]);
}

#[test]
fn what_runs_is_not_asked_and_the_first_to_rest_makes_up_for_it() {
    let mut residents = residents(1, 1);
    let (first, _) = come(&mut residents, "Cow");
    let (second, moves) = come(&mut residents, "Cow");
    assert_eq!(moves, [Move::Enter(second)], "beyond the cap, since all run");
    assert_eq!(rests(&mut residents, second), [Move::Leave(second)]);
    assert_eq!(gone(&mut residents, second), []);
    assert_eq!(rests(&mut residents, first), [], "as many as may be");
}

#[test]
fn a_type_that_is_full_makes_room_by_itself() {
    let mut residents = residents(10, 1);
    let cow = at_rest(&mut residents, "Cow");
    let hen = at_rest(&mut residents, "Hen");
    busy(&mut residents, cow);
    rests(&mut residents, cow);
    let (next, moves) = come(&mut residents, "Hen");
    assert_eq!(moves, [Move::Leave(hen)]);
    assert_eq!(gone(&mut residents, hen), [Move::Enter(next)]);
}

#[test]
fn one_that_was_asked_and_has_something_to_do_stays_and_another_leaves() {
    let mut residents = residents(2, 2);
    let (first, second) = (at_rest(&mut residents, "Cow"), at_rest(&mut residents, "Cow"));
    let (third, moves) = come(&mut residents, "Cow");
    assert_eq!(moves, [Move::Leave(first)]);
    assert_eq!(busy(&mut residents, first), [Move::Leave(second)]);
    assert_eq!(busy(&mut residents, second), [Move::Enter(third)], "all have something to do");
    assert_eq!(rests(&mut residents, first), [Move::Leave(first)]);
}

#[test]
fn one_that_comes_no_more_leaves_the_other_asked_for_nobody() {
    let mut residents = residents(1, 1);
    let first = at_rest(&mut residents, "Cow");
    let (second, _) = come(&mut residents, "Cow");
    assert_eq!(gone(&mut residents, second), []);
    assert_eq!(gone(&mut residents, first), []);
    assert!(residents.is_empty());
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Come(bool),
    Busy(usize),
    Rests(usize),
    Gone(usize),
    /// The shard of one that was asked answers.
    Answer(usize, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => any::<bool>().prop_map(Step::Come),
        2 => any::<usize>().prop_map(Step::Busy),
        4 => any::<usize>().prop_map(Step::Rests),
        1 => any::<usize>().prop_map(Step::Gone),
        4 => (any::<usize>(), any::<bool>()).prop_map(|(at, stays)| Step::Answer(at, stays)),
    ];
    proptest::collection::vec(step, 1..200)
}

/// What shards know.
#[derive(Default)]
struct World {
    /// Those that are active: whether of the capped type, and whether they run.
    active: BTreeMap<ResidentId, (bool, bool)>,
    coming: BTreeMap<ResidentId, bool>,
    asked: Vec<ResidentId>,
}

impl World {
    fn take(&mut self, moves: Vec<Move>) {
        for taken in moves {
            match taken {
                Move::Enter(id) => {
                    let is_hen = self.coming.remove(&id).unwrap();
                    self.active.insert(id, (is_hen, true));
                }
                Move::Leave(id) => {
                    assert!(!self.active[&id].1, "what runs is not asked");
                    self.asked.push(id);
                }
            }
        }
    }

    fn pick(&self, at: usize) -> Option<ResidentId> {
        let ids: Vec<_> = self.active.keys().copied().collect();
        (!ids.is_empty()).then(|| ids[at % ids.len()])
    }

    fn step(&mut self, residents: &mut Residents, step: Step) {
        let mut out = Vec::new();
        match step {
            Step::Come(is_hen) => {
                let id = residents.come(&of(if is_hen { "Hen" } else { "Cow" }), &mut out);
                self.coming.insert(id, is_hen);
            }
            Step::Busy(at) => {
                if let Some(id) = self.pick(at) {
                    self.active.get_mut(&id).unwrap().1 = true;
                    self.asked.retain(|asked| *asked != id);
                    residents.busy(id, &mut out);
                }
            }
            Step::Rests(at) => {
                let id = self.pick(at).filter(|id| self.active[id].1);
                if let Some(id) = id {
                    self.active.get_mut(&id).unwrap().1 = false;
                    residents.rests(id, &mut out);
                }
            }
            Step::Gone(at) => {
                if let Some(id) = self.pick(at) {
                    self.active.remove(&id);
                    self.asked.retain(|asked| *asked != id);
                    residents.gone(id, &mut out);
                }
            }
            Step::Answer(at, stays) if !self.asked.is_empty() => {
                let id = self.asked.remove(at % self.asked.len());
                if stays {
                    self.active.get_mut(&id).unwrap().1 = true;
                    residents.busy(id, &mut out);
                } else {
                    self.active.remove(&id);
                    residents.gone(id, &mut out);
                }
            }
            Step::Answer(..) => {}
        }
        self.take(out);
    }

    fn running(&self, hens_only: bool) -> usize {
        self.active.values().filter(|(is_hen, runs)| *runs && (*is_hen || !hens_only)).count()
    }
}

proptest! {
    #[test]
    fn there_are_never_more_than_may_be_and_those_that_run(
        steps in steps(), all in 1..6_usize, hens in 1..4_usize,
    ) {
        let (mut residents, mut world) = (residents(all, hens), World::default());
        for step in steps {
            world.step(&mut residents, step);
            let asked = world.asked.len();
            let active = world.active.len() - asked;
            prop_assert!(active <= all.max(world.running(false)), "{active}");
            let asked_hens = world.asked.iter().filter(|id| world.active[id].0).count();
            let active_hens = world.active.values().filter(|(is_hen, _)| *is_hen).count();
            prop_assert!(active_hens - asked_hens <= hens.max(world.running(true)));
            prop_assert!(world.coming.len() <= asked, "who waits, waits for one that is asked");
            prop_assert_eq!(residents.len(), world.active.len() + world.coming.len());
        }
        // All that were asked answer: nobody is left to wait.
        while !world.asked.is_empty() {
            world.step(&mut residents, Step::Answer(0, false));
        }
        prop_assert!(world.coming.is_empty());
        let ids: Vec<_> = world.active.keys().copied().collect();
        let mut out = vec![];
        for id in ids {
            residents.gone(id, &mut out);
        }
        prop_assert!(residents.is_empty() && out.is_empty());
    }
}
