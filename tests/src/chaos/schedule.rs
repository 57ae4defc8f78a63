//! Which faults strike when: a function of a seed.

use std::{fmt, time::Duration};

use quarry_sim::host::SeededRandom;

use super::{Fault, fault::KINDS};

/// Faults that strike together, and are undone together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// One, or two of different nodes.
    pub faults: Vec<Fault>,
    /// How long they last.
    pub lasts: Duration,
    /// How long nothing is done after everything has recovered.
    pub calm: Duration,
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<String> = self.faults.iter().map(Fault::to_string).collect();
        write!(out, "{} for {:?}, then {:?} of calm", faults.join(", "), self.lasts, self.calm)
    }
}

/// All faults of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// What it follows from.
    pub seed: u64,
    /// One after the other.
    pub steps: Vec<Step>,
}

/// How many steps hold every kind of fault once.
pub(super) const DECK: usize = KINDS.len();

impl Schedule {
    /// The first deck of the schedule of `seed`: every kind of fault once.
    pub fn deck(seed: u64, nodes: u16) -> Self {
        let Self { mut steps, .. } = Self::draw(seed, nodes, Duration::from_mins(5));
        steps.truncate(DECK);
        Self { seed, steps }
    }

    /// The schedule of `seed` for at least two nodes, of steps that take about `time` together and
    /// at least one. Each deck of steps holds every kind once. In the first deck one fault
    /// strikes at a time; in later ones a second may strike another node meanwhile, and some last
    /// long.
    pub fn draw(seed: u64, nodes: u16, time: Duration) -> Self {
        let random = SeededRandom::new(seed);
        let mut steps: Vec<Step> = Vec::new();
        let mut planned = Duration::ZERO;
        let mut deck = Vec::new();
        while steps.is_empty() || planned < time {
            if deck.is_empty() {
                deck = (0..DECK).collect();
            }
            let place = below(&random, deck.len());
            let kind = deck.swap_remove(place);
            let step = step(&random, nodes, kind, steps.len() >= DECK);
            planned += step.lasts + step.calm;
            steps.push(step);
        }
        Self { seed, steps }
    }
}

fn step(random: &SeededRandom, nodes: u16, kind: usize, may_be_hard: bool) -> Step {
    let node = below(random, usize::from(nodes));
    let other = (node + 1 + below(random, usize::from(nodes) - 1)) % usize::from(nodes);
    let (node, other) = (id(node), id(other));
    let mut faults: Vec<Fault> =
        KINDS.get(kind).map(|make| make(node, other, random)).into_iter().collect();
    let takes_another = faults.iter().all(|fault| fault.leaves_others());
    if may_be_hard && takes_another && random.below(3) == 0 {
        let second = KINDS.get(below(random, KINDS.len())).map(|make| make(other, node, random));
        faults.extend(second.filter(|second| second.leaves_others()));
    }
    let is_long = may_be_hard && random.below(4) == 0;
    let lasts = Duration::from_millis(1_800 + random.below(1_800));
    let calm = Duration::from_millis(random.below(300));
    let lasts = if is_long { lasts * 2 } else { lasts };
    let fixed = faults.iter().filter_map(|fault| fault.lasts()).max();
    Step { faults, lasts: fixed.unwrap_or(lasts), calm }
}

fn below(random: &SeededRandom, bound: usize) -> usize {
    usize::try_from(random.below(bound as u64)).unwrap_or_default()
}

/// Nodes count from 1.
fn id(place: usize) -> u16 {
    u16::try_from(place + 1).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use super::*;
    use crate::network::Peer;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn a_seed_is_a_schedule() {
        assert_eq!(Schedule::draw(7, 3, HOUR), Schedule::draw(7, 3, HOUR));
        assert_ne!(Schedule::draw(7, 3, HOUR).steps, Schedule::draw(8, 3, HOUR).steps);
        let short = Schedule::draw(7, 3, Duration::from_secs(30));
        let long = Schedule::draw(7, 3, HOUR);
        assert_eq!(short.steps, long.steps[..short.steps.len()], "a longer one goes on");
    }

    #[test]
    fn every_deck_holds_every_kind_of_fault() {
        let long = Schedule::draw(3, 3, HOUR);
        let kind = |fault: &Fault| match fault {
            Fault::Weather(_, weather) => (std::mem::discriminant(fault), weather.damage > 0),
            _ => (std::mem::discriminant(fault), false),
        };
        for deck in long.steps.chunks_exact(KINDS.len()) {
            let kinds: HashSet<_> = deck.iter().map(|step| kind(&step.faults[0])).collect();
            assert_eq!(kinds.len(), KINDS.len(), "{deck:?}");
        }
        let first = &long.steps[..KINDS.len()];
        assert!(first.iter().all(|step| step.faults.len() == 1));
        assert_eq!(Schedule::deck(3, 3).steps, first);
        assert!(long.steps.iter().any(|step| step.faults.len() == 2), "later some come in pairs");
    }

    #[test]
    fn faults_of_one_step_strike_different_nodes_that_exist() {
        for seed in 0..50 {
            for step in Schedule::draw(seed, 3, HOUR / 6).steps {
                let nodes: Vec<u16> = step.faults.iter().flat_map(|fault| fault.nodes()).collect();
                let different: BTreeSet<u16> = nodes.iter().copied().collect();
                assert_eq!(different.len(), nodes.len(), "{step}");
                assert!(different.iter().all(|node| (1..=3).contains(node)), "{step}");
            }
        }
    }

    #[test]
    fn a_partition_of_a_node_is_all_it_sends_and_all_it_is_sent() {
        let links = |pairs: &[(u16, u16)]| -> BTreeSet<(u16, Peer)> {
            pairs.iter().map(|(from, to)| (*from, Peer::Host(*to))).collect()
        };
        assert_eq!(Fault::Mute(2).cuts(3), links(&[(2, 1), (2, 3)]));
        assert_eq!(Fault::Deafen(2).cuts(3), links(&[(1, 2), (3, 2)]));
        let both: BTreeSet<_> = &Fault::Mute(2).cuts(3) | &Fault::Deafen(2).cuts(3);
        assert_eq!(Fault::Isolate(2).cuts(3), both);
        assert_eq!(Fault::Link(1, 3).cuts(3), links(&[(1, 3), (3, 1)]));
        let rest = [(2, Peer::Clients), (2, Peer::Database)].into();
        assert_eq!(Fault::CutOff(2).cuts(3), &both | &rest);
    }

    #[test]
    fn the_time_that_was_asked_for_is_filled() {
        for seconds in [0, 30, 600] {
            let asked = Duration::from_secs(seconds);
            let steps = Schedule::draw(1, 3, asked).steps;
            let planned: Duration = steps.iter().map(|step| step.lasts + step.calm).sum();
            assert!(planned >= asked && planned < asked + Duration::from_secs(12), "{planned:?}");
        }
    }
}
