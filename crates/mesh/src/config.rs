//! What a mesh is told, and why it does not start.

use std::time::Duration;

use quarry_plane::{Cookie, Protocol, Security};
use quarry_types::NodeId;

/// What a mesh is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node whose mesh it is.
    pub node: NodeId,
    /// The versions of the protocol that it speaks: [`Protocol::CURRENT`], but in tests.
    pub protocol: Protocol,
    /// The cluster; nodes of another one are refused.
    pub cluster_name: String,
    /// The secret that all nodes of the cluster share.
    pub cookie: Cookie,
    /// What becomes of its connections before anything is said on them.
    pub security: Security,
    /// `host:port` on which it listens.
    pub listen: String,
    /// Sizes and times.
    pub limits: Limits,
}

/// Sizes and times of a mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the first byte of a connection until its link is ready.
    pub handshake: Duration,
    /// A link on which nothing arrives, or nothing is answered, for so long is closed; the substrate
    /// pings every 1 to 5 s.
    pub idle: Duration,
    /// Incoming connections that have not proved yet who they are.
    pub unauthenticated: usize,
    /// Bytes that one peer may have sent and this node has not handed on yet.
    pub window_bytes: u32,
    /// Frames that one peer may have sent and this node has not handed on yet.
    pub window_frames: u32,
    /// Bytes of requests that wait for credit of one peer; at least one largest body.
    pub queue_bytes: u32,
    /// Requests that wait for credit of one peer.
    pub queue_requests: u32,
    /// Bytes of replies that wait for credit of one peer; beyond it a nack is sent instead.
    pub reply_bytes: usize,
    /// Requests of one peer that are not answered yet; beyond it they are dropped with a nack.
    pub unanswered: usize,
    /// The first pause before a node connects again; doubles with every failure.
    pub backoff_min: Duration,
    /// The longest pause before a node connects again.
    pub backoff_max: Duration,
}

impl Limits {
    /// These limits, raised to where a largest body and a largest chunk always get through.
    pub(crate) fn workable(self) -> Self {
        Self {
            window_bytes: self.window_bytes.max(256 << 10),
            window_frames: self.window_frames.max(16),
            queue_bytes: self.queue_bytes.max(17 << 20),
            queue_requests: self.queue_requests.max(1),
            reply_bytes: self.reply_bytes.max(17 << 20),
            unauthenticated: self.unauthenticated.max(1),
            ..self
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            idle: Duration::from_secs(15),
            unauthenticated: 64,
            window_bytes: 4 << 20,
            window_frames: 8_192,
            queue_bytes: 17 << 20,
            queue_requests: 8_192,
            reply_bytes: 32 << 20,
            unanswered: 32_768,
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(2),
        }
    }
}

/// Why a mesh does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken or is not this host's.
    #[error("cannot listen on {address} (--mesh): {source}")]
    Listen {
        /// The address.
        address: String,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The substrate's actors did not start.
    #[error("the substrate of the mesh did not start: {0}")]
    Substrate(String),
}
