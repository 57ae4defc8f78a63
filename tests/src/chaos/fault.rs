//! What can be done to a cluster, and undone.

use std::{collections::BTreeSet, fmt, time::Duration};

use quarry_sim::host::SeededRandom;

use crate::network::{Peer, Weather};

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
    /// As isolated; and the database hears the node when that is over: what an owner sent in its time
    /// arrives when others have long been. As it has arrived the others are killed, so that all is
    /// read from what it left.
    Late(u16),
    /// What the node and the others say to one another suffers.
    Weather(u16, Weather),
    /// The wall clock of the node is off by so many hours.
    Clock(u16, i64),
    /// The database is ended in order, and started again.
    DatabaseRestart,
    /// The database crashes, and recovers.
    DatabaseCrash,
}

/// How long [`Fault::Late`] lasts: until all leases are over, also where another has to be elected first.
const LATE: Duration = Duration::from_secs(6);
/// How long what shows itself at once lasts.
const SHORT: Duration = Duration::from_millis(1_500);

/// Makes one kind of fault, of two different nodes that it may strike.
pub(super) type Kind = fn(u16, u16, &SeededRandom) -> Fault;

/// The kinds of faults; each deals with the nodes that it is given.
pub(super) const KINDS: [Kind; 15] = [
    |node, _, _| Fault::Kill(node),
    |node, _, _| Fault::Restart(node),
    |node, _, _| Fault::Freeze(node),
    |node, _, _| Fault::Isolate(node),
    |node, _, _| Fault::CutOff(node),
    |node, _, _| Fault::Mute(node),
    |node, _, _| Fault::Deafen(node),
    |node, other, _| Fault::Link(node.min(other), node.max(other)),
    |node, _, _| Fault::NoDatabase(node),
    |node, _, _| Fault::Late(node),
    |node, _, random| Fault::Weather(node, weather(random)),
    |node, _, random| Fault::Weather(node, damage(random)),
    |node, _, random| Fault::Clock(node, hours(random)),
    |_, _, _| Fault::DatabaseRestart,
    |_, _, _| Fault::DatabaseCrash,
];

fn between(random: &SeededRandom, least: u16, most: u16) -> u16 {
    let drawn = random.below(u64::from(most - least) + 1);
    least + u16::try_from(drawn).unwrap_or_default()
}

/// Delay, loss and disorder.
fn weather(random: &SeededRandom) -> Weather {
    Weather {
        delay: between(random, 10, 100),
        jitter: between(random, 10, 100),
        loss: between(random, 10, 100),
        double: between(random, 10, 100),
        overtake: between(random, 10, 100),
        damage: 0,
    }
}

fn damage(random: &SeededRandom) -> Weather {
    Weather { damage: between(random, 10, 100), ..Weather::FAIR }
}

/// Up to a day and an hour ahead or back.
fn hours(random: &SeededRandom) -> i64 {
    let drawn = i64::from(between(random, 1, 25));
    if random.below(2) == 0 { drawn } else { -drawn }
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
            Self::Late(node) => {
                write!(out, "isolate node {node}, hold its commits, kill the others when they come")
            }
            Self::Weather(node, weather) => {
                write!(out, "between node {node} and the others: {weather}")
            }
            Self::Clock(node, hours) => {
                write!(out, "put the clock of node {node} off by {hours} h")
            }
            Self::DatabaseRestart => write!(out, "end the database in order"),
            Self::DatabaseCrash => write!(out, "crash the database"),
        }
    }
}

impl Fault {
    /// How long it lasts, where that is not left to the schedule.
    pub fn lasts(self) -> Option<Duration> {
        match self {
            Self::Late(_) => Some(LATE),
            Self::Clock(..) | Self::DatabaseRestart | Self::DatabaseCrash => Some(SHORT),
            _ => None,
        }
    }

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
            | Self::NoDatabase(node)
            | Self::Late(node)
            | Self::Weather(node, _)
            | Self::Clock(node, _) => vec![node],
            Self::DatabaseRestart | Self::DatabaseCrash => Vec::new(),
        }
    }

    /// Whether it strikes one node only, so that another may be struck meanwhile.
    pub fn leaves_others(self) -> bool {
        self.nodes().len() == 1 && !matches!(self, Self::Late(_))
    }

    /// What it cuts off on a network of so many nodes: who sends, and to whom in vain.
    pub fn cuts(self, nodes: u16) -> BTreeSet<(u16, Peer)> {
        let others = |node: u16| (1..=nodes).filter(move |other| *other != node);
        let from = |node: u16| others(node).map(move |other| (node, Peer::Host(other)));
        let to = |node: u16| others(node).map(move |other| (other, Peer::Host(node)));
        match self {
            Self::Kill(_)
            | Self::Restart(_)
            | Self::Freeze(_)
            | Self::Weather(..)
            | Self::Clock(..)
            | Self::DatabaseRestart
            | Self::DatabaseCrash => BTreeSet::new(),
            Self::Isolate(node) | Self::Late(node) => from(node).chain(to(node)).collect(),
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
