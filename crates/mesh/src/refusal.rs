//! What is refused, counted, and said once per peer.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use quarry_ports::Metrics;
use serde::{Deserialize, Serialize};

/// Why a connection or a frame is refused.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error,
)]
pub(crate) enum Refusal {
    /// What came is not a greeting or not a frame.
    #[error("it does not speak the protocol of the mesh")]
    Garbage,
    /// A greeting or a frame is larger than any may be.
    #[error("what it sent is over the size limit")]
    Oversized,
    /// The protocol version is unknown.
    #[error("it speaks another version of the protocol")]
    Version,
    /// Another cluster's node.
    #[error("it belongs to another cluster")]
    Cluster,
    /// The proof of the shared secret is wrong.
    #[error("its cookie is another one")]
    Cookie,
    /// Not the node that was meant, or this node itself.
    #[error("it is not the node that was meant")]
    Node,
    /// The greeting took too long.
    #[error("the greeting was not finished in time")]
    Deadline,
    /// Too many connections are being greeted.
    #[error("too many connections are being greeted")]
    Busy,
    /// A connection that came to the substrate past our listener.
    #[error("it came past the listener of the mesh")]
    Bypass,
    /// A frame for a link that is gone.
    #[error("its link is gone")]
    Stale,
    /// A chunk that does not fit, or too many at once.
    #[error("its chunks do not fit together")]
    Chunk,
    /// More unanswered requests than one peer may have, or more replies than may wait.
    #[error("too much of it waits already")]
    Overload,
}

impl Refusal {
    fn label(self) -> &'static str {
        match self {
            Self::Garbage => "garbage",
            Self::Oversized => "oversized",
            Self::Version => "version",
            Self::Cluster => "cluster",
            Self::Cookie => "cookie",
            Self::Node => "node",
            Self::Deadline => "deadline",
            Self::Busy => "busy",
            Self::Bypass => "bypass",
            Self::Stale => "stale",
            Self::Chunk => "chunk",
            Self::Overload => "overload",
        }
    }
}

/// Counts refusals and logs each reason once per peer.
#[derive(Debug)]
pub(crate) struct Refusals {
    metrics: Metrics,
    said: Mutex<BTreeSet<(String, Refusal)>>,
}

/// More peers than this are not remembered one by one: the memory starts anew.
const REMEMBERED: usize = 1_024;

impl Refusals {
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self { metrics, said: Mutex::default() }
    }

    pub(crate) fn record(&self, peer: &str, refusal: Refusal) {
        self.metrics.mesh_refused.with_label_values(&[refusal.label()]).inc();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() >= REMEMBERED {
            said.clear();
        }
        if said.insert((peer.to_owned(), refusal)) {
            tracing::warn!(peer, reason = %refusal, "refused on the mesh");
        } else {
            tracing::debug!(peer, reason = %refusal, "refused on the mesh again");
        }
    }
}
