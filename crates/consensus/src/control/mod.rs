//! The control plane: Raft, lease heartbeats, proposals and views over tonic.
//!
//! Connections are secured as the cluster's planes are. Each remote procedure carries one codec frame
//! each way. The cookie, the cluster's name and the
//! node that is meant travel as metadata and are checked before the body is read. Heartbeats, the
//! log, snapshots and everything else have connections of their own, so that none delays another.

mod farewell;
mod frame;
mod gate;
#[cfg(test)]
mod golden_tests;
mod link;
mod message;
mod messages;
mod network;
mod plane;
mod policy;
#[cfg(test)]
mod refusal_tests;
mod server;
mod sockets;
#[cfg(test)]
mod storm_tests;
#[cfg(test)]
mod tests;

pub(crate) use gate::PATIENCE;
pub(crate) use link::{CallError, Links, Purpose, decode};
pub(crate) use message::{
    AttendRequest, FollowItem, FollowRequest, HeartbeatAnswer, HeartbeatRequest, Method,
    ProposeAnswer, ProposeRequest, ReplaceAnswer, ReplaceRequest, StandingAnswer, StandingRequest,
};
pub(crate) use messages::serve_messages;
pub(crate) use network::Network;
pub(crate) use plane::Plane;
pub(crate) use policy::Policy;
pub(crate) use server::serve;
