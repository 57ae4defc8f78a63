//! The message plane: requests between nodes.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use quarry_types::NodeId;

/// Another node on the message plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The node.
    pub node: NodeId,
    /// `host:port` of its message plane.
    pub mesh: String,
}

/// Why a request got no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No frame of the request left this node: surely not done.
    #[error("not sent to node {to}: {reason}")]
    NotSent {
        /// Where it was to go.
        to: NodeId,
        /// What hindered it.
        reason: String,
    },
    /// The request left, and the link broke, the peer dropped it, or the deadline passed.
    #[error("no reply from node {to}: {reason}")]
    Lost {
        /// Where it went.
        to: NodeId,
        /// What happened.
        reason: String,
    },
}

/// The way back to the sender of a request. Dropped unused, it tells the sender that the request
/// was dropped (a nack), so that no sender waits in vain.
pub struct Reply(Option<Box<dyn FnOnce(Option<Bytes>) + Send>>);

impl Reply {
    /// A way back: `deliver` gets the body, or nothing for a nack. It must not block.
    pub fn new(deliver: impl FnOnce(Option<Bytes>) + Send + 'static) -> Self {
        Self(Some(Box::new(deliver)))
    }

    /// Sends `body` back.
    pub fn send(mut self, body: Bytes) {
        if let Some(deliver) = self.0.take() {
            deliver(Some(body));
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(deliver) = self.0.take() {
            deliver(None);
        }
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reply")
    }
}

/// Takes what other nodes ask.
pub trait RequestHandler: Send + Sync + 'static {
    /// Takes one request. Must not block: it queues the request or answers that it cannot.
    fn handle(&self, from: NodeId, body: Bytes, reply: Reply);
}

/// Carries requests to other nodes. Lossy: a lost, doubled or late frame costs time, nothing else.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Sends `body` (at most 16 MiB) to node `to` and waits for its reply.
    ///
    /// # Errors
    /// [`TransportError::NotSent`] where surely nothing arrived, else [`TransportError::Lost`].
    async fn request(
        &self,
        to: NodeId,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, TransportError>;

    /// Names who takes what other nodes ask; called once, before the node joins.
    fn serve(&self, handler: Arc<dyn RequestHandler>);

    /// Names the nodes to keep links with; links to all others are closed.
    fn set_peers(&self, peers: Vec<Peer>);
}
