//! Which faults strike when: a function of a seed.

use std::{collections::BTreeSet, fmt, time::Duration};

use quarry_sim::host::SeededRandom;

use crate::network::Peer;

/// Something that is done to nodes and undone later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// SIGKILL; started again.
    Kill(u16),
    /// SIGTERM: it hands its shards over and ends; started again.
    Restart(u16),
    /// SIGSTOP; SIGCONT.
    Freeze(u16),
    /// The node and the other nodes do not hear each other; clients and database do.
    Isolate(u16),
    /// Nobody hears the node, and it hears no other node.
    CutOff(u16),
    /// No other node hears the node; it hears them.
    Mute(u16),
    /// The node hears no other node; they hear it.
    Deafen(u16),
    /// Two nodes do not hear each other.
    Link(u16, u16),
    /// The database does not hear the node.
    NoDatabase(u16),
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(node) => write!(out, "kill node {node}"),
            Self::Restart(node) => write!(out, "end node {node} in order"),
            Self::Freeze(node) => write!(out, "freeze node {node}"),
            Self::Isolate(node) => write!(out, "isolate node {node} from the others"),
            Self::CutOff(node) => write!(out, "cut node {node} off from everything"),
            Self::Mute(node) => write!(out, "lose what node {node} sends to the others"),
            Self::Deafen(node) => write!(out, "lose what the others send to node {node}"),
            Self::Link(one, other) => write!(out, "cut the link of nodes {one} and {other}"),
            Self::NoDatabase(node) => write!(out, "lose what node {node} sends to the database"),
        }
    }
}

impl Fault {
    /// The nodes that it strikes.
    pub fn nodes(self) -> Vec<u16> {
        match self {
            Self::Link(one, other) => vec![one, other],
            Self::Kill(node)
            | Self::Restart(node)
            | Self::Freeze(node)
            | Self::Isolate(node)
            | Self::CutOff(node)
            | Self::Mute(node)
            | Self::Deafen(node)
            | Self::NoDatabase(node) => vec![node],
        }
    }

    /// What it cuts off on a network of so many nodes: who sends, and to whom in vain.
    pub fn cuts(self, nodes: u16) -> BTreeSet<(u16, Peer)> {
        let others = |node: u16| (1..=nodes).filter(move |other| *other != node);
        let from = |node: u16| others(node).map(move |other| (node, Peer::Host(other)));
        let to = |node: u16| others(node).map(move |other| (other, Peer::Host(node)));
        match self {
            Self::Kill(_) | Self::Restart(_) | Self::Freeze(_) => BTreeSet::new(),
            Self::Isolate(node) => from(node).chain(to(node)).collect(),
            Self::CutOff(node) => {
                let rest = [(node, Peer::Clients), (node, Peer::Database)];
                from(node).chain(to(node)).chain(rest).collect()
            }
            Self::Mute(node) => from(node).collect(),
            Self::Deafen(node) => to(node).collect(),
            Self::Link(one, other) => [(one, Peer::Host(other)), (other, Peer::Host(one))].into(),
            Self::NoDatabase(node) => [(node, Peer::Database)].into(),
        }
    }
}

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

/// The kinds of faults; each deals with the nodes that it is given.
const KINDS: [fn(u16, u16) -> Fault; 9] = [
    |node, _| Fault::Kill(node),
    |node, _| Fault::Restart(node),
    |node, _| Fault::Freeze(node),
    |node, _| Fault::Isolate(node),
    |node, _| Fault::CutOff(node),
    |node, _| Fault::Mute(node),
    |node, _| Fault::Deafen(node),
    |node, other| Fault::Link(node.min(other), node.max(other)),
    |node, _| Fault::NoDatabase(node),
];

impl Schedule {
    /// The schedule of `seed` for at least two nodes, of steps that take about `time` together and
    /// at least one. Each deck of nine steps holds every kind once. In the first deck one fault
    /// strikes at a time; in later ones a second may strike another node meanwhile, and some last
    /// long.
    pub fn draw(seed: u64, nodes: u16, time: Duration) -> Self {
        let random = SeededRandom::new(seed);
        let mut steps: Vec<Step> = Vec::new();
        let mut planned = Duration::ZERO;
        let mut deck = Vec::new();
        while steps.is_empty() || planned < time {
            if deck.is_empty() {
                deck = (0..KINDS.len()).collect();
            }
            let place = below(&random, deck.len());
            let kind = deck.swap_remove(place);
            let step = step(&random, nodes, kind, steps.len() >= KINDS.len());
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
        KINDS.get(kind).map(|make| make(node, other)).into_iter().collect();
    let is_alone = faults.iter().all(|fault| fault.nodes().len() == 1);
    if may_be_hard && is_alone && random.below(3) == 0 {
        let second = KINDS.get(below(random, KINDS.len())).map(|make| make(other, node));
        faults.extend(second.filter(|second| second.nodes() == [other]));
    }
    let is_long = may_be_hard && random.below(4) == 0;
    let lasts = Duration::from_millis(1_800 + random.below(1_800));
    let calm = Duration::from_millis(random.below(300));
    Step { faults, lasts: if is_long { lasts * 2 } else { lasts }, calm }
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
    use super::*;

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
        let kind = |fault: &Fault| {
            KINDS.iter().position(|make| {
                std::mem::discriminant(&make(1, 2)) == std::mem::discriminant(fault)
            })
        };
        for deck in long.steps.chunks_exact(KINDS.len()) {
            let kinds: BTreeSet<_> = deck.iter().map(|step| kind(&step.faults[0])).collect();
            assert_eq!(kinds.len(), KINDS.len(), "{deck:?}");
        }
        let first = &long.steps[..KINDS.len()];
        assert!(first.iter().all(|step| step.faults.len() == 1));
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
