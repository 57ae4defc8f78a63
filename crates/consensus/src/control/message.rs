//! What is said on the control plane.

use quarry_core::coordinator::{Command, Loads, Response};
use quarry_types::{Bindings, BootId, ClusterId, ClusterView, NodeId};
use serde::{Deserialize, Serialize};

use crate::view::{Views, Voters};

/// The remote procedures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Append,
    Vote,
    PreVote,
    Snapshot,
    TransferLeader,
    Heartbeat,
    Propose,
    Follow,
    Standing,
    Attend,
    ReplaceVoter,
}

impl Method {
    const ALL: [Self; 11] = [
        Self::Append,
        Self::Vote,
        Self::PreVote,
        Self::Snapshot,
        Self::TransferLeader,
        Self::Heartbeat,
        Self::Propose,
        Self::Follow,
        Self::Standing,
        Self::Attend,
        Self::ReplaceVoter,
    ];

    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Append => "/quarry.control.v1.Control/Append",
            Self::Vote => "/quarry.control.v1.Control/Vote",
            Self::PreVote => "/quarry.control.v1.Control/PreVote",
            Self::Snapshot => "/quarry.control.v1.Control/Snapshot",
            Self::TransferLeader => "/quarry.control.v1.Control/TransferLeader",
            Self::Heartbeat => "/quarry.control.v1.Control/Heartbeat",
            Self::Propose => "/quarry.control.v1.Control/Propose",
            Self::Follow => "/quarry.control.v1.Control/Follow",
            Self::Standing => "/quarry.control.v1.Control/Standing",
            Self::Attend => "/quarry.control.v1.Control/Attend",
            Self::ReplaceVoter => "/quarry.control.v1.Control/ReplaceVoter",
        }
    }

    /// What stands for it in a message.
    pub(super) fn number(self) -> u8 {
        let place = Self::ALL.iter().position(|method| *method == self);
        place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX)
    }

    pub(super) fn of_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    pub(super) fn of_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.path() == path)
    }
}

/// A runner asks for its lease to be renewed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct HeartbeatRequest {
    pub(crate) node: NodeId,
    pub(crate) boot: BootId,
    /// What its shards cost, where that is more than a light one's; bounded by the sender.
    pub(crate) loads: Loads,
}

/// What the leader says to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum HeartbeatAnswer {
    /// Renewed, counted from when the heartbeat was sent; the lease covers what the runner owns
    /// at this index.
    Renewed { applied: u64 },
    /// The process has no lease: it is not known, its lease ended, or another took its place. It
    /// has to join again.
    NotKnown,
    /// Its lease ran out, and the end of it is on the way through the log.
    Ending,
    /// The node asked does not lead.
    NotLeader { leader: Option<NodeId> },
    /// The node asked leads, but heard of no quorum since.
    NoQuorum { reason: String },
}

/// Asks the leader to take a command into the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ProposeRequest {
    pub(crate) command: Command,
}

/// What became of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum ProposeAnswer {
    /// It was applied at this index.
    Applied { index: u64, response: Response },
    /// The node asked does not lead; surely not done.
    NotLeader { leader: Option<NodeId> },
    /// It may have been done.
    Unknown { reason: String },
    /// It is not taken into the log; surely not done. From version 3 on.
    Refused { reason: String },
}

/// Asks the leader to let one node vote in the place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReplaceRequest {
    pub(crate) old: NodeId,
    pub(crate) new: NodeId,
}

/// How far that is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ReplaceAnswer {
    /// The new node votes, and the old one does not, as of this index.
    Replaced { index: u64 },
    /// The new node does not have all of the log yet; it is to be asked again.
    CatchingUp { reason: String },
    /// The node asked does not lead.
    NotLeader { leader: Option<NodeId> },
    /// It cannot be done as things are.
    Refused { reason: String },
    /// It may have been done; it is to be asked again.
    Unknown { reason: String },
}

/// Asks a voter for its view and for every change of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct FollowRequest {
    pub(crate) node: NodeId,
}

/// One item of the stream of views.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum FollowItem {
    /// The newest view; those between it and the one before are passed over.
    View { cluster: Option<ClusterId>, view: ClusterView, voters: Voters },
    /// Nothing changed for a while.
    Still,
    /// As [`FollowItem::View`], where entity types are bound to groups. From version 4 on.
    Bound { cluster: Option<ClusterId>, view: ClusterView, voters: Voters, bindings: Bindings },
}

impl FollowItem {
    /// `view`, with what `views` knows beside it.
    pub(super) fn of(views: &Views, view: ClusterView) -> Self {
        let voters = views.voters().map(|voters| voters.as_ref().clone()).unwrap_or_default();
        let (cluster, bindings) = (views.cluster_id(), view.bindings.clone());
        if bindings == Bindings::default() {
            Self::View { cluster, view, voters }
        } else {
            Self::Bound { cluster, view, voters, bindings }
        }
    }

    /// The view that it holds, whose it is, and who votes.
    pub(crate) fn view(self) -> Option<(Option<ClusterId>, ClusterView, Voters)> {
        match self {
            Self::View { cluster, view, voters } => Some((cluster, view, voters)),
            Self::Bound { cluster, view, voters, bindings } => {
                Some((cluster, ClusterView { bindings, ..view }, voters))
            }
            Self::Still => None,
        }
    }
}

/// The leader keeps a stream to each process, and notices by its end that the process may be gone.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct AttendRequest {
    pub(crate) leader: NodeId,
}

/// A voter whose directory is empty asks whether that is right.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct StandingRequest {
    pub(crate) node: NodeId,
}

/// What the leader knows of it, confirmed by a quorum.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum StandingAnswer {
    /// The node never voted: its directory is empty because it never had anything.
    NeverSeen,
    /// The node votes, and was here before: its directory was lost.
    SeenBefore,
    /// The node asked cannot tell.
    CannotTell { leader: Option<NodeId> },
}
