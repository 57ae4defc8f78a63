//! The ways to other nodes' control planes: sockets, or a message plane in memory.

use std::{pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use quarry_ports::{
    Transport,
    codec::{self, schema},
};
use quarry_types::NodeId;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    message::{AttendRequest, FollowRequest, Method},
    messages::Messages,
    policy::Policy,
    sockets::{Sockets, is_refused},
};
use crate::view::{Views, Voters};

/// What a connection is for; each purpose has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    Heartbeats,
    Log,
    Snapshots,
    Requests,
}

/// Why a call got no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The peer could not be reached, or is not who was meant.
    #[error("{0}")]
    Unreachable(String),
    /// The peer did not answer in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// What was sent or answered makes no sense to the other side.
    #[error("{0}")]
    Malformed(String),
}

/// What another node says on and on, until it errs.
pub(crate) type Items = Pin<Box<dyn Stream<Item = Result<Bytes, CallError>> + Send>>;

enum Way {
    Sockets(Sockets),
    Messages(Messages),
}

/// The ways from this node to others.
pub(crate) struct Links {
    /// As they were configured.
    configured: Arc<Voters>,
    views: Arc<Views>,
    way: Way,
}

impl Links {
    /// Connections over sockets.
    pub(crate) fn new(policy: Policy, configured: Voters, views: Arc<Views>) -> Self {
        let way = Way::Sockets(Sockets::new(policy));
        Self { way, configured: Arc::new(configured), views }
    }

    /// Messages over `transport`, for simulations.
    pub(crate) fn over(
        transport: Arc<dyn Transport>,
        configured: Voters,
        views: Arc<Views>,
    ) -> Self {
        let way = Way::Messages(Messages::new(transport));
        Self { way, configured: Arc::new(configured), views }
    }

    /// The voters as of the newest view; before the first, as they were configured.
    pub(crate) fn voters(&self) -> Arc<Voters> {
        self.views.voters().unwrap_or_else(|| Arc::clone(&self.configured))
    }

    /// Where `to` is reached: as configured, else as the voters know it.
    fn address(&self, to: NodeId) -> Option<String> {
        let configured = self.configured.get(&to).cloned();
        configured.or_else(|| self.views.voters()?.get(&to).cloned())
    }

    /// Calls `method` of voter `to` and waits for the answer, at most `timeout`.
    pub(crate) async fn call<Q, A>(
        &self,
        to: NodeId,
        purpose: Purpose,
        method: Method,
        request: &Q,
        timeout: Duration,
    ) -> Result<A, CallError>
    where
        Q: Serialize + Sync,
        A: DeserializeOwned,
    {
        self.call_at(to, None, purpose, method, request, timeout).await
    }

    /// As [`Links::call`]; `known` is where `to` is, as long as it is not known as a voter.
    pub(crate) async fn call_at<Q, A>(
        &self,
        to: NodeId,
        known: Option<&str>,
        purpose: Purpose,
        method: Method,
        request: &Q,
        timeout: Duration,
    ) -> Result<A, CallError>
    where
        Q: Serialize + Sync,
        A: DeserializeOwned,
    {
        let frame = encode(request)?;
        let answer = match &self.way {
            Way::Sockets(sockets) => {
                let address = self.address(to).or_else(|| known.map(str::to_owned));
                let address = address.ok_or_else(|| no_voter(to))?;
                sockets.call((to, &address), purpose, method, frame, timeout).await
            }
            Way::Messages(messages) => messages.call(to, method, &frame, timeout).await,
        };
        let answer = decode(&answer?);
        if let (Way::Sockets(sockets), Err(_)) = (&self.way, &answer) {
            sockets.garbled(to, purpose);
        }
        answer
    }

    /// Follows the views of voter `to`; it has to accept within `timeout`.
    pub(crate) async fn follow(
        &self,
        to: NodeId,
        request: &FollowRequest,
        timeout: Duration,
    ) -> Result<Items, CallError> {
        let frame = encode(request)?;
        match &self.way {
            Way::Sockets(sockets) => {
                let address = self.address(to).ok_or_else(|| no_voter(to))?;
                Ok(items(sockets.follow((to, &address), frame, timeout).await?))
            }
            Way::Messages(messages) => Ok(messages.follow(to, frame, timeout)),
        }
    }

    /// Attends the process of node `to`, which need not be a voter, at `address`, on a connection of
    /// its own.
    pub(crate) async fn attend(
        &self,
        to: NodeId,
        address: &str,
        request: &AttendRequest,
        timeout: Duration,
    ) -> Result<Items, CallError> {
        let frame = encode(request)?;
        match &self.way {
            Way::Sockets(sockets) => Ok(items(sockets.attend(to, address, frame, timeout).await?)),
            Way::Messages(messages) => Ok(messages.attend(to, frame, timeout)),
        }
    }

    /// Whether it is said at `address` that node `to` does not listen there.
    pub(crate) async fn is_refused(&self, to: NodeId, address: &str) -> bool {
        match &self.way {
            Way::Sockets(_) => is_refused(address).await,
            Way::Messages(messages) => messages.is_refused(to).await,
        }
    }
}

fn no_voter(node: NodeId) -> CallError {
    CallError::Unreachable(format!("node {node} is no voter that this node knows"))
}

fn items(stream: tonic::Streaming<Bytes>) -> Items {
    stream.map(|item| item.map_err(|status| CallError::Unreachable(status.to_string()))).boxed()
}

fn encode<Q: Serialize>(request: &Q) -> Result<Bytes, CallError> {
    codec::encode(schema::CONTROL, request).map_err(|error| CallError::Malformed(error.to_string()))
}

pub(crate) fn decode<A: DeserializeOwned>(frame: &Bytes) -> Result<A, CallError> {
    codec::decode(schema::CONTROL, frame).map_err(|error| CallError::Malformed(error.to_string()))
}
