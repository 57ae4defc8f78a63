//! What a handler knows of its run.

use std::sync::Arc;

use quarry_types::{Address, Envelope, Epoch, MessageId, NodeId, Timestamp};

/// The circumstances of one run of a handler.
#[derive(Clone, Debug)]
pub struct Context {
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) attempt: u32,
    pub(crate) epoch: Epoch,
    pub(crate) owner: NodeId,
    pub(crate) now: Timestamp,
}

impl Context {
    /// The entity.
    pub fn address(&self) -> &Address {
        &self.envelope.address
    }

    /// The message that is handled.
    pub fn message_id(&self) -> MessageId {
        self.envelope.message_id
    }

    /// The message's idempotency key: stable over all attempts, to pass on to outside calls.
    pub fn idempotency_key(&self) -> &str {
        self.envelope.key.as_str()
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The epoch under which the owner holds the shard: the fencing token, to pass on to outside
    /// calls.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The node that runs the handler.
    pub fn owner(&self) -> NodeId {
        self.owner
    }

    /// Store time at the start of the run.
    pub fn now(&self) -> Timestamp {
        self.now
    }
}
