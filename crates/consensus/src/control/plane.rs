//! What this node answers on the control plane.

use std::sync::Arc;

use bytes::Bytes;
use openraft::{
    errors::{Fatal, RaftError},
    raft::{
        AppendEntriesRequest, SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse,
        VoteRequest,
    },
};
use quarry_plane::{Protocol, Refusal};
use quarry_ports::{
    codec::{self, schema},
    watch,
};
use quarry_types::{ClusterView, NodeId};
use serde::{Serialize, de::DeserializeOwned};
use tonic::{
    Code, Status,
    metadata::{MetadataMap, MetadataValue},
};

use super::{
    message::{
        FollowItem, HeartbeatRequest, Method, ProposeRequest, ReplaceRequest, StandingRequest,
    },
    network::SnapshotRequest,
    policy::Policy,
    sockets::{CLUSTER, COOKIE, PROTOCOL, REFUSAL, TARGET},
};
use crate::{
    group::{Group, Snapshot},
    leader::Lead,
    view::Views,
};

/// The largest command that is taken into the log for another node, in bytes: a release of all of
/// 65,536 shards is smaller.
const MAX_COMMAND: usize = 4 * 1024 * 1024;

/// What this node answers on the control plane.
pub(crate) struct Plane {
    node: NodeId,
    policy: Policy,
    views: Arc<Views>,
    lead: Option<Arc<Lead>>,
}

impl Plane {
    /// The plane of a node; `lead` is what a voter has.
    pub(crate) const fn new(
        node: NodeId,
        policy: Policy,
        views: Arc<Views>,
        lead: Option<Arc<Lead>>,
    ) -> Self {
        Self { node, policy, views, lead }
    }

    /// Whether the caller may speak, and means this node of this cluster; which versions it speaks.
    pub(super) fn check(&self, metadata: &MetadataMap) -> Result<Protocol, (Refusal, Status)> {
        let field = |name: &str| metadata.get_bin(name).and_then(|value| value.to_bytes().ok());
        let refused = |refusal: Refusal, code, text: String| {
            let mut said = MetadataMap::new();
            said.insert(REFUSAL, MetadataValue::from_static(refusal.label()));
            Err((refusal, Status::with_metadata(code, text, said)))
        };
        if !field(COOKIE).is_some_and(|cookie| self.policy.cookie.matches(&cookie)) {
            let text = "the cookie is not the one of this cluster".to_owned();
            return refused(Refusal::Cookie, Code::Unauthenticated, text);
        }
        let (ours, theirs) = (self.policy.protocol, field(PROTOCOL));
        let theirs = theirs.and_then(|bytes| Protocol::of_bytes(&bytes));
        let Some(caller) = theirs.filter(|theirs| ours.common(*theirs).is_some()) else {
            let theirs =
                theirs.map_or_else(|| "none that is known".to_owned(), |it| it.to_string());
            let text = format!(
                "node {} speaks {ours} of the protocol, and the caller {theirs}: upgrade one \
                 release at a time",
                self.node
            );
            return refused(Refusal::Version, Code::FailedPrecondition, text);
        };
        if field(CLUSTER).as_deref() != Some(self.policy.cluster.as_bytes()) {
            let text = "this node is of another cluster".to_owned();
            return refused(Refusal::Cluster, Code::FailedPrecondition, text);
        }
        if field(TARGET).as_deref() != Some(&self.node.0.to_be_bytes()[..]) {
            let text = format!("this is node {}, and another was meant", self.node);
            return refused(Refusal::Node, Code::FailedPrecondition, text);
        }
        Ok(caller)
    }

    /// Who may speak here.
    pub(super) const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Follows this node's views; the name of their cluster comes with each.
    pub(super) fn follow(&self) -> (watch::Receiver<Arc<ClusterView>>, Arc<Views>) {
        (self.views.subscribe(), Arc::clone(&self.views))
    }

    /// This node's view.
    pub(super) fn look(&self) -> FollowItem {
        FollowItem::of(&self.views, self.views.newest().as_ref().clone())
    }

    /// Answers one call of a node that speaks `caller`.
    pub(super) async fn answer(
        &self,
        method: Method,
        caller: Protocol,
        frame: Bytes,
    ) -> Result<Bytes, Status> {
        let lead = self.lead.as_ref().ok_or_else(|| {
            Status::failed_precondition(format!("node {} is not a voter", self.node))
        })?;
        let raft = lead.raft();
        match method {
            Method::Append => {
                let request: AppendEntriesRequest<Group> = read(&frame)?;
                write(&raft.append_entries(request).await.map_err(|e| broken(&e))?)
            }
            Method::Vote => {
                let request: VoteRequest<Group> = read(&frame)?;
                write(&raft.vote(request).await.map_err(|error| broken(&error))?)
            }
            Method::PreVote => {
                let request: VoteRequest<Group> = read(&frame)?;
                write(&raft.pre_vote(request).await.map_err(|error| broken(&error))?)
            }
            Method::Snapshot => {
                let SnapshotRequest { vote, meta, frame } = read(&frame)?;
                let snapshot = Snapshot { meta, snapshot: frame };
                let answer: SnapshotResponse<Group> =
                    raft.install_full_snapshot(vote, snapshot).await.map_err(|e| fatal(&e))?;
                write(&answer)
            }
            Method::TransferLeader => {
                let request: TransferLeaderRequest<Group> = read(&frame)?;
                let answer: TransferLeaderResponse<Group> =
                    raft.handle_transfer_leader(request).await.map_err(|error| fatal(&error))?;
                write(&answer)
            }
            Method::Heartbeat => {
                let request: HeartbeatRequest = read(&frame)?;
                write(&lead.heartbeat(request, caller).await)
            }
            Method::Propose if frame.len() > MAX_COMMAND => {
                Err(Status::out_of_range(format!("a command has at most {MAX_COMMAND} bytes")))
            }
            Method::Propose => {
                let ProposeRequest { command } = read(&frame)?;
                if command.since() > self.policy.protocol.newest {
                    return Err(Status::invalid_argument("a command of a newer version"));
                }
                write(&lead.propose(command, caller).await)
            }
            Method::Standing => {
                let request: StandingRequest = read(&frame)?;
                write(&lead.standing(request.node).await)
            }
            Method::ReplaceVoter => {
                let request: ReplaceRequest = read(&frame)?;
                write(&lead.replace_voter(request).await)
            }
            Method::Follow | Method::Attend => {
                Err(Status::unimplemented("it is answered with a stream"))
            }
        }
    }
}

pub(super) fn read<T: DeserializeOwned>(frame: &Bytes) -> Result<T, Status> {
    codec::decode(schema::CONTROL, frame).map_err(|e| Status::invalid_argument(e.to_string()))
}

pub(super) fn write<T: Serialize>(value: &T) -> Result<Bytes, Status> {
    codec::encode(schema::CONTROL, value).map_err(|e| Status::out_of_range(e.to_string()))
}

fn broken(error: &RaftError<Group>) -> Status {
    Status::unavailable(error.to_string())
}

fn fatal(error: &Fatal<Group>) -> Status {
    Status::unavailable(error.to_string())
}
