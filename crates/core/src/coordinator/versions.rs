//! What older programs understand: no entry goes into the log that a node of the cluster cannot apply.
//!
//! Versions are those of the planes' protocol, of which every node says with each call what it speaks.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
};
use quarry_types::{BootId, ClusterView, NodeId, NodeState, NodeView};

use super::{Command, Member, Refused, ownership::takes_shards};

/// From this version on programs know shards that were split.
const SPLITS: u16 = 2;
/// From this version on programs know [`Command::DrainSome`].
const DRAINS_OF_SOME: u16 = 3;
/// From this version on programs know entity types that are bound to groups.
const BINDINGS: u16 = 4;
/// From this version on programs know [`Command::JoinFor`].
const LEASE_TTLS: u16 = 5;

/// The newest version that each node speaks, with the process that said so.
pub type Versions = BTreeMap<NodeId, (BootId, u16)>;

/// Why a command is not taken into the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// A node's program does not know what it says.
    #[error(
        "node {node} runs a program that does not know this: it speaks version {speaks} of the \
         planes' protocol, and this takes {needed}; upgrade the node first"
    )]
    TooOld {
        /// The node.
        node: NodeId,
        /// The newest version that it speaks.
        speaks: u16,
        /// The oldest that will do.
        needed: u16,
    },
    /// It is not known yet what a node speaks. Nodes say so with each heartbeat.
    #[error("node {node} has not said yet which version of the planes' protocol it speaks")]
    NotHeard {
        /// The node.
        node: NodeId,
    },
    /// Another process of the node may live (L2): it has a lease, and held the lock of another data
    /// directory, so that the one that joins is no proof of its end.
    #[error(
        "node {node} is a process over another data directory, with HTTP at {http}, whose lease has \
         not ended: a node has a number of its own; give this one another (node.id), or stop the other"
    )]
    Held {
        /// The node.
        node: NodeId,
        /// Where the process with the lease listens.
        http: String,
    },
    /// The state forbids it.
    #[error(transparent)]
    Forbidden(#[from] Refused),
}

impl Command {
    /// The oldest version whose programs can apply it.
    #[must_use]
    pub const fn since(&self) -> u16 {
        match self {
            Self::Initialize { .. }
            | Self::Join { .. }
            | Self::EndLease { .. }
            | Self::Drain { .. }
            | Self::Undrain { .. }
            | Self::Release { .. }
            | Self::RaiseBase { .. }
            | Self::Rebalance { .. } => 1,
            Self::Split { .. } => SPLITS,
            Self::DrainSome { .. } => DRAINS_OF_SOME,
            Self::Found { .. } | Self::Bind { .. } | Self::Use { .. } => BINDINGS,
            Self::JoinFor { .. } => LEASE_TTLS,
        }
    }

    /// What older programs know in its place, where there is something; what it asks of the state is
    /// asked of `view`, so it is no more than a hint then.
    ///
    /// # Errors
    /// [`Refused`] where that forbids it.
    pub fn for_older(&self, view: &ClusterView) -> Result<Option<Self>, Refused> {
        match self {
            Self::DrainSome { nodes } if leaves_none(view.nodes.values(), nodes) => {
                Err(Refused::NoRunnerLeft)
            }
            Self::DrainSome { nodes } => Ok(Some(Self::Drain { nodes: nodes.clone() })),
            _ => Ok(None),
        }
    }
}

/// `command`, which a node asks for that speaks `caller`, or what older programs know in its place,
/// where all nodes of `view` that have a lease can apply it. A node that is down is not asked: it has
/// to come back with a program that can.
///
/// # Errors
/// [`Unfit`].
pub fn fit(
    command: Command,
    caller: u16,
    view: &ClusterView,
    spoken: &Versions,
) -> Result<Command, Unfit> {
    if let Some(node) = command.joining() {
        let needed = needed_by(view);
        if caller < needed {
            return Err(Unfit::TooOld { node: node.id, speaks: caller, needed });
        }
        may_replace(view, node)?;
    }
    // Whoever is in was asked then.
    if command.since() <= needed_by(view) {
        return Ok(command);
    }
    match understood(view, spoken, command.since()) {
        Ok(()) => Ok(command),
        Err(unfit @ Unfit::TooOld { .. }) => command.for_older(view)?.ok_or(unfit),
        Err(unfit) => Err(unfit),
    }
}

/// Whether the process that had the number of `joining` is known to be gone, where there is one.
fn may_replace(view: &ClusterView, joining: &Member) -> Result<(), Unfit> {
    let leased = view.nodes.get(&joining.id).filter(|known| known.state != NodeState::Down);
    match leased.filter(|known| known.boot.directory() != joining.boot.directory()) {
        Some(NodeView { id, http, .. }) => Err(Unfit::Held { node: *id, http: http.clone() }),
        None => Ok(()),
    }
}

/// Whether a drain of `drained` takes the last of these nodes that takes shards.
pub(super) fn leaves_none<'a>(
    nodes: impl Iterator<Item = &'a NodeView>,
    drained: &BTreeSet<NodeId>,
) -> bool {
    let takers: BTreeSet<NodeId> =
        nodes.filter(|node| takes_shards(node)).map(|node| node.id).collect();
    !takers.is_disjoint(drained) && takers.is_subset(drained)
}

/// The oldest version whose programs can serve in a cluster that looks like this.
fn needed_by(view: &ClusterView) -> u16 {
    let is_split = view.shards.iter().any(|shard| shard.division().whole().is_some());
    let of = [
        (!view.lease_ttls.is_empty(), LEASE_TTLS),
        (view.bindings.are_uses_known, BINDINGS),
        (is_split, SPLITS),
    ];
    of.into_iter().find_map(|(is_there, since)| is_there.then_some(since)).unwrap_or(1)
}

fn understood(view: &ClusterView, spoken: &Versions, needed: u16) -> Result<(), Unfit> {
    if needed <= 1 {
        return Ok(());
    }
    let mut not_heard = None;
    for node in view.nodes.values().filter(|node| node.state != NodeState::Down) {
        let heard = spoken.get(&node.id).filter(|(boot, _)| *boot == node.boot);
        match heard.map(|(_, speaks)| *speaks) {
            Some(speaks) if speaks >= needed => {}
            Some(speaks) => return Err(Unfit::TooOld { node: node.id, speaks, needed }),
            None => not_heard = Some(Unfit::NotHeard { node: node.id }),
        }
    }
    not_heard.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use quarry_types::ShardId;

    use super::*;
    use crate::{
        coordinator::{
            LeaseEnd,
            tests::{Log, member},
        },
        lease::LeaseTimes,
    };

    fn spoken(of: &[(u64, u64, u16)]) -> Versions {
        of.iter().map(|(node, boot, speaks)| (NodeId(*node), (BootId(*boot), *speaks))).collect()
    }

    fn drain(nodes: &[u64]) -> (Command, Command) {
        let nodes: BTreeSet<NodeId> = nodes.iter().copied().map(NodeId).collect();
        (Command::DrainSome { nodes: nodes.clone() }, Command::Drain { nodes })
    }

    #[test]
    fn an_entry_waits_until_every_node_with_a_lease_can_apply_it() {
        let mut log = Log::of([1, 2]);
        let split = Command::Split { shard: ShardId(3) };
        let asked = |log: &Log, spoken: &[(u64, u64, u16)]| {
            let view = log.state.view(log.index, None);
            fit(split.clone(), 3, &view, &self::spoken(spoken))
        };
        let not_heard = |node| Err(Unfit::NotHeard { node: NodeId(node) });
        let too_old = |node| Err(Unfit::TooOld { node: NodeId(node), speaks: 1, needed: 2 });
        assert_eq!(asked(&log, &[(1, 1, 3)]), not_heard(2));
        assert_eq!(asked(&log, &[(2, 1, 1)]), too_old(2), "that is known, whoever is not");
        assert_eq!(asked(&log, &[(1, 1, 3), (2, 1, 2)]), Ok(split.clone()));
        log.join(2, 2);
        assert_eq!(asked(&log, &[(1, 1, 3), (2, 1, 2)]), not_heard(2), "another process");
        log.end(2, 2, LeaseEnd::Expired);
        assert_eq!(asked(&log, &[(1, 1, 3), (2, 2, 1)]), Ok(split.clone()), "it is down");
    }

    #[test]
    fn what_all_versions_know_waits_for_nobody() {
        let log = Log::of([1, 2]);
        let (_, drain) = drain(&[1]);
        let view = log.state.view(log.index, None);
        assert_eq!(fit(drain.clone(), 1, &view, &Versions::new()), Ok(drain));
    }

    #[test]
    fn a_drain_is_told_to_older_programs_in_their_words() {
        let log = Log::of([1, 2]);
        let view = log.state.view(log.index, None);
        let (mixed, new) = (spoken(&[(1, 1, 3), (2, 1, 2)]), spoken(&[(1, 1, 3), (2, 1, 3)]));
        let ((some, plain), (all, _)) = (drain(&[1]), drain(&[1, 2]));
        assert_eq!(fit(some.clone(), 3, &view, &mixed), Ok(plain));
        assert_eq!(fit(some.clone(), 3, &view, &new), Ok(some));
        let refused = Err(Unfit::Forbidden(Refused::NoRunnerLeft));
        assert_eq!(fit(all.clone(), 3, &view, &mixed), refused);
        assert_eq!(fit(all.clone(), 3, &view, &new), Ok(all), "the entry decides");
    }

    #[test]
    fn a_node_that_does_not_know_split_shards_stays_out_of_a_cluster_that_has_some() {
        let mut log = Log::of([1]);
        let join = Command::Join { node: member(2, 1) };
        let asked = |log: &Log, caller| {
            fit(join.clone(), caller, &log.state.view(log.index, None), &Versions::new())
        };
        assert_eq!(asked(&log, 1), Ok(join.clone()));
        log.apply(Command::Split { shard: ShardId(3) });
        let too_old = Unfit::TooOld { node: NodeId(2), speaks: 1, needed: 2 };
        assert_eq!(asked(&log, 1), Err(too_old));
        assert_eq!(asked(&log, 2), Ok(join.clone()));
    }

    #[test]
    fn a_process_over_another_directory_waits_for_the_end_of_the_lease() {
        let mut log = Log::of([1]);
        let process = |directory, boot| {
            let boot = BootId(boot).over(directory);
            Command::Join { node: Member { boot, ..member(2, 0) } }
        };
        let asked = |log: &Log, join: &Command| {
            let view = log.state.view(log.index, None);
            fit(join.clone(), 5, &view, &Versions::new()).map(|_| ())
        };
        let held = Err(Unfit::Held { node: NodeId(2), http: member(2, 0).http });
        assert_eq!(asked(&log, &process(7, 1)), Ok(()), "nobody had the number");
        log.apply(process(7, 1));
        assert_eq!(asked(&log, &process(8, 2)), held, "the first one lives, for all that is known");
        assert_eq!(
            asked(&log, &process(7, 3)),
            Ok(()),
            "it holds the lock that the first one held"
        );
        assert_eq!(asked(&log, &process(7, 1)), Ok(()), "its answer was lost");
        log.end(2, BootId(1).over(7).0, LeaseEnd::Expired);
        assert_eq!(asked(&log, &process(8, 2)), Ok(()));
        log.apply(process(8, 2));
        assert_eq!(asked(&log, &process(7, 3)), held, "now it is the other's");
    }

    #[test]
    fn an_unusual_time_to_live_is_told_where_all_know_what_it_means() {
        let mut log = Log::of([1]);
        let unusual = Command::join(member(2, 1), Duration::from_secs(10));
        let view = |log: &Log| log.state.view(log.index, None);
        let asked = |log: &Log, spoken: &Versions| fit(unusual.clone(), 5, &view(log), spoken);
        let not_heard = Unfit::NotHeard { node: NodeId(1) };
        assert_eq!(asked(&log, &Versions::new()), Err(not_heard));
        let too_old = |node, speaks| Unfit::TooOld { node: NodeId(node), speaks, needed: 5 };
        assert_eq!(asked(&log, &spoken(&[(1, 1, 4)])), Err(too_old(1, 4)));
        assert_eq!(asked(&log, &spoken(&[(1, 1, 5)])), Ok(unusual.clone()));
        log.apply(unusual.clone());
        assert_eq!(asked(&log, &Versions::new()), Ok(unusual.clone()), "who is in was asked then");
        let usual = Command::join(member(3, 1), LeaseTimes::USUAL_TTL);
        assert_eq!(usual.since(), 1);
        assert_eq!(fit(usual.clone(), 4, &view(&log), &Versions::new()), Err(too_old(3, 4)));
        // The process comes back with the usual one, which all programs know.
        log.apply(Command::join(member(2, 2), LeaseTimes::USUAL_TTL));
        assert!(view(&log).lease_ttls.is_empty());
        assert_eq!(fit(usual.clone(), 4, &view(&log), &Versions::new()), Ok(usual));
    }
}
