//! openraft's way to the other voters.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use openraft::{
    BasicNode, OptionalSend, RaftNetworkFactory, RaftNetworkV2,
    errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable},
    network::{RPCOption, RPCTypes},
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
        TransferLeaderResponse, VoteRequest, VoteResponse,
    },
};
use quarry_types::NodeId;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{CallError, Links, Method, Purpose};
use crate::group::{Group, Snapshot, SnapshotMeta, Vote};

/// How long a follower may take to make entries durable. openraft's own limit is its heartbeat
/// interval, which a slow disk would miss again and again without getting further.
const APPEND_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a whole snapshot may take.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(30);

/// Makes the connections of openraft.
#[derive(Clone)]
pub(crate) struct Network {
    node: NodeId,
    links: Arc<Links>,
}

impl Network {
    pub(crate) const fn new(node: NodeId, links: Arc<Links>) -> Self {
        Self { node, links }
    }

    fn peer(&self, target: u64, at: &BasicNode, purpose: Purpose) -> Peer {
        let (node, target, address) = (self.node, NodeId(target), at.addr.clone());
        Peer { node, target, address, purpose, links: Arc::clone(&self.links) }
    }
}

impl RaftNetworkFactory<Group> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> Peer {
        self.peer(target, node, Purpose::Log)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &BasicNode) -> Peer {
        self.peer(target, node, Purpose::Heartbeats)
    }

    async fn new_snapshot_client(&mut self, target: u64, node: &BasicNode) -> Peer {
        self.peer(target, node, Purpose::Snapshots)
    }
}

/// Another voter, for one purpose.
pub(crate) struct Peer {
    node: NodeId,
    target: NodeId,
    /// As Raft's membership has it.
    address: String,
    purpose: Purpose,
    links: Arc<Links>,
}

/// A snapshot on its way.
#[derive(Serialize, Deserialize)]
pub(super) struct SnapshotRequest {
    pub(super) vote: Vote,
    pub(super) meta: SnapshotMeta,
    pub(super) frame: Bytes,
}

impl Peer {
    async fn call<Q, A>(
        &self,
        method: Method,
        action: RPCTypes,
        request: &Q,
        timeout: Duration,
    ) -> Result<A, RPCError<Group>>
    where
        Q: Serialize + Sync,
        A: DeserializeOwned,
    {
        let (to, at, links) = (self.target, Some(self.address.as_str()), &self.links);
        let answer = links.call_at(to, at, self.purpose, method, request, timeout).await;
        answer.map_err(|error| match error {
            CallError::Unreachable(reason) => Unreachable::from_string(reason).into(),
            CallError::Malformed(reason) => NetworkError::from_string(reason).into(),
            CallError::TimedOut(timeout) => {
                Timeout { action, id: self.node.0, target: self.target.0, timeout }.into()
            }
        })
    }
}

impl RaftNetworkV2<Group> for Peer {
    type SnapshotData = Bytes;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Group>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Group>, RPCError<Group>> {
        let timeout = match self.purpose {
            Purpose::Heartbeats => option.hard_ttl(),
            _ => option.hard_ttl().max(APPEND_TIMEOUT),
        };
        self.call(Method::Append, RPCTypes::AppendEntries, &rpc, timeout).await
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Group>,
        option: RPCOption,
    ) -> Result<VoteResponse<Group>, RPCError<Group>> {
        self.call(Method::Vote, RPCTypes::Vote, &rpc, option.hard_ttl()).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Group>,
        option: RPCOption,
    ) -> Result<VoteResponse<Group>, RPCError<Group>> {
        self.call(Method::PreVote, RPCTypes::Vote, &rpc, option.hard_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Group>, StreamingError<Group>> {
        let request = SnapshotRequest { vote, meta: snapshot.meta, frame: snapshot.snapshot };
        tokio::select! {
            biased;
            answer = self.call(Method::Snapshot, RPCTypes::InstallSnapshot, &request, SNAPSHOT_TIMEOUT) =>
                Ok(answer?),
            closed = cancel => Err(closed.into()),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Group>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Group>, RPCError<Group>> {
        self.call(Method::TransferLeader, RPCTypes::TransferLeader, &request, option.soft_ttl())
            .await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{super::tests::policy, *};
    use crate::view::Views;

    #[tokio::test]
    async fn heartbeats_the_log_and_snapshots_are_each_sent_for_a_purpose_of_their_own() {
        let links = Links::new(policy(1, "here"), BTreeMap::new(), Arc::new(Views::new()));
        let mut network = Network::new(NodeId(1), Arc::new(links));
        let at = BasicNode::new("127.0.0.1:1");
        assert_eq!(network.new_client(2, &at).await.purpose, Purpose::Log);
        assert_eq!(network.new_heartbeat_client(2, &at).await.purpose, Purpose::Heartbeats);
        assert_eq!(network.new_snapshot_client(2, &at).await.purpose, Purpose::Snapshots);
    }
}
