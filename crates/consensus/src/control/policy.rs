//! Who may speak on the control plane.

use std::sync::Arc;

use quarry_plane::{Cookie, Protocol, Refusals, Security, SecurityError};

/// Who may speak on the control plane, and who counts those that may not. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// The versions of the protocol that this node speaks.
    pub(crate) protocol: Protocol,
    /// The cluster's name.
    pub(crate) cluster: String,
    /// The cluster's secret.
    pub(crate) cookie: Cookie,
    /// What becomes of connections before anything is said on them.
    pub(crate) security: Security,
    /// Counts what is refused.
    pub(crate) refusals: Arc<Refusals>,
}

impl Policy {
    /// Counts what `error` says of a refusal, ours or that of `peer`.
    pub(crate) fn tell(&self, peer: &str, error: &SecurityError) {
        match error {
            SecurityError::Refused(refusal) => self.refusals.record(peer, *refusal),
            SecurityError::ByPeer(refusal) => self.refusals.record_by_peer(peer, *refusal),
            SecurityError::Broken(_) => {}
        }
    }
}
