//! The Raft group's types.

use std::fmt;

use quarry_core::coordinator::{Command, Response};
use quarry_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::raft_runtime::HostRuntime;

/// A command as an entry of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Proposal {
    /// What the clock of the leader said; for showing only.
    pub(crate) at: Timestamp,
    pub(crate) command: Command,
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.command)
    }
}

/// What applying an entry answered; nothing for blank and membership entries.
pub(crate) type Applied = Option<Response>;

openraft::declare_raft_types!(
    /// The types with which openraft runs here.
    pub(crate) Group:
        D = Proposal,
        R = Applied,
        NodeId = u64,
        Node = openraft::BasicNode,
        AsyncRuntime = HostRuntime,
);

pub(crate) type RaftState = openraft::RaftState<Group>;
pub(crate) type LeaderId = openraft::alias::CommittedLeaderIdOf<Group>;
pub(crate) type Entry = openraft::alias::EntryOf<Group>;
pub(crate) type LogId = openraft::alias::LogIdOf<Group>;
pub(crate) type Vote = openraft::alias::VoteOf<Group>;
pub(crate) type StoredMembership = openraft::alias::StoredMembershipOf<Group>;
pub(crate) type SnapshotMeta = openraft::alias::SnapshotMetaOf<Group>;
pub(crate) type Snapshot = openraft::alias::SnapshotOf<Group, bytes::Bytes>;
