//! The leader's side of all leases.

use alloc::{collections::BTreeMap, vec::Vec};
use core::time::Duration;

use quarry_types::{BootId, Monotonic, NodeId};

use super::LeaseTimes;

/// A heartbeat that reached the leader and may be acknowledged. The shell keeps it until a quorum
/// round is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    node: NodeId,
    boot: BootId,
    at: Monotonic,
}

/// Why a heartbeat is not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAcknowledged {
    /// No such process has a lease: it must join (again).
    #[error("process {boot:?} of node {node} has no lease")]
    NoLease {
        /// The node.
        node: NodeId,
        /// The process.
        boot: BootId,
    },
    /// Its lease is over, and its end is on the way through the log.
    #[error("the lease of node {node} is ending")]
    Ending {
        /// The node.
        node: NodeId,
    },
    /// This leader has not applied the first entry of its own term yet.
    #[error("the leader has not applied an entry of its own term yet")]
    NotApplied,
    /// The quorum round began before the heartbeat was received: it does not show that this was
    /// the leader then.
    #[error("the quorum round began before the heartbeat was received")]
    RoundTooOld,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    boot: BootId,
    /// How long it goes on after a heartbeat, on the leader's clock.
    span: Duration,
    expires: Monotonic,
    /// Its end was asked for. From then on nothing extends it: the entry may be committed already.
    is_ending: bool,
}

/// All leases, as one leader counts them during one term. A new one is made at each election.
#[derive(Clone, Debug)]
pub struct LeaderLeases {
    has_applied_own_term: bool,
    leases: BTreeMap<NodeId, Lease>,
}

impl LeaderLeases {
    /// At an election: everyone who has a lease in the applied state, with the time to live that it
    /// counts with, gets a full one from `now`, because an earlier leader may have acknowledged
    /// heartbeats until this moment.
    #[must_use]
    pub fn elected(
        now: Monotonic,
        leased: impl IntoIterator<Item = (NodeId, BootId, Duration)>,
    ) -> Self {
        let mut all = Self { has_applied_own_term: false, leases: BTreeMap::new() };
        for (node, boot, ttl) in leased {
            all.joined(node, boot, ttl, now);
        }
        all
    }

    /// The leader applied the first entry of its own term, and with it all that earlier leaders
    /// committed: from now on it may acknowledge and end leases.
    pub const fn applied_own_term(&mut self) {
        self.has_applied_own_term = true;
    }

    /// The applied state shows that a process has a lease: it is a full one from `now`, where the
    /// process is new here. A lease that it has already stays as it is, so that one that is ending
    /// ends, and telling it again for every applied entry changes nothing. `ttl` is what the process
    /// counts with, whatever this leader would; where it is told later than the process itself, and is
    /// longer, the lease lasts so much longer.
    pub fn joined(&mut self, node: NodeId, boot: BootId, ttl: Duration, now: Monotonic) {
        let span = LeaseTimes::leader_span(ttl);
        let lease = Lease { boot, span, expires: now.after(span), is_ending: false };
        let present = self.leases.entry(node).or_insert(lease);
        if present.boot != boot {
            *present = lease;
        } else if present.span < span && !present.is_ending {
            present.expires = present.expires.after(span.saturating_sub(present.span));
            present.span = span;
        }
    }

    /// The end of a lease was applied. Where the same process may have joined again since, the
    /// applied state has to be told once more with [`LeaderLeases::joined`].
    pub fn ended(&mut self, node: NodeId, boot: BootId) {
        if self.leases.get(&node).is_some_and(|lease| lease.boot == boot) {
            self.leases.remove(&node);
        }
    }

    /// A process said goodbye: its lease is over before its time. To be called before the end is
    /// proposed; [`LeaderLeases::expired`] names it until the end is applied.
    pub fn end_early(&mut self, node: NodeId, boot: BootId) {
        if let Some(lease) = self.leases.get_mut(&node).filter(|lease| lease.boot == boot) {
            lease.is_ending = true;
        }
    }

    /// A heartbeat came in; `at` is read when it did. It extends nothing until it is acknowledged.
    ///
    /// # Errors
    /// [`NotAcknowledged`] where it cannot be.
    pub fn heartbeat(
        &self,
        node: NodeId,
        boot: BootId,
        at: Monotonic,
    ) -> Result<Received, NotAcknowledged> {
        match self.leases.get(&node).filter(|lease| lease.boot == boot) {
            None => Err(NotAcknowledged::NoLease { node, boot }),
            Some(lease) if lease.is_ending => Err(NotAcknowledged::Ending { node }),
            Some(_) => Ok(Received { node, boot, at }),
        }
    }

    /// A quorum round is over that began at `round_began`, read before its first request left. To
    /// be called before the answer is sent; returns when the lease now ends.
    ///
    /// # Errors
    /// [`NotAcknowledged`]: the runner must not be told that its lease goes on.
    pub fn acknowledge(
        &mut self,
        received: Received,
        round_began: Monotonic,
    ) -> Result<Monotonic, NotAcknowledged> {
        let Received { node, boot, at } = received;
        if !self.has_applied_own_term {
            return Err(NotAcknowledged::NotApplied);
        }
        if round_began < at {
            return Err(NotAcknowledged::RoundTooOld);
        }
        // The process may have been replaced, and its lease may have ended, during the round.
        let Some(lease) = self.leases.get_mut(&node).filter(|lease| lease.boot == boot) else {
            return Err(NotAcknowledged::NoLease { node, boot });
        };
        if lease.is_ending {
            return Err(NotAcknowledged::Ending { node });
        }
        lease.expires = lease.expires.max(at.after(lease.span));
        Ok(lease.expires)
    }

    /// How long ago the last heartbeat of a process was received that was acknowledged, or this leader
    /// learned of the process; nothing where it has no lease.
    #[must_use]
    pub fn silence(&self, node: NodeId, boot: BootId, now: Monotonic) -> Option<Duration> {
        let lease = self.leases.get(&node).filter(|lease| lease.boot == boot)?;
        let left = lease.expires.since(now);
        Some(lease.span.saturating_sub(left).saturating_add(now.since(lease.expires)))
    }

    /// The processes whose lease is over. From now on it stays over: they are named again until
    /// [`LeaderLeases::ended`] or a newer process takes their place, so a proposal that got lost
    /// is made again.
    pub fn expired(&mut self, now: Monotonic) -> Vec<(NodeId, BootId)> {
        if !self.has_applied_own_term {
            return Vec::new();
        }
        let mut over = Vec::new();
        for (node, lease) in &mut self.leases {
            lease.is_ending |= lease.expires <= now;
            if lease.is_ending {
                over.push((*node, lease.boot));
            }
        }
        over
    }

    /// When the next lease ends unless it is renewed; those that are ending are not counted.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Monotonic> {
        self.leases.values().filter(|lease| !lease.is_ending).map(|lease| lease.expires).min()
    }
}
