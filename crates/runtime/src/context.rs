//! What a handler knows of its run.

use std::sync::Arc;

use quarry_core::delivery::RunId;
use quarry_types::{Address, Envelope, Epoch, MessageId, NodeId, Timestamp};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::{HandlerError, Reply, actor::Emitted};

/// The circumstances of one run of a handler.
#[derive(Clone, Debug)]
pub struct Context {
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) attempt: u32,
    pub(crate) epoch: Epoch,
    pub(crate) owner: NodeId,
    pub(crate) now: Timestamp,
    pub(crate) run: RunId,
    /// None for a read, which has no stream.
    pub(crate) chunks: Option<mpsc::Sender<Emitted>>,
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

    /// Appends a chunk to the message's reply: stored with a gapless number, readable by everyone
    /// who follows the message, also later and after a failover. Waits while the shard is busy.
    ///
    /// A handler that runs again makes its chunks again: those that are equal to the stored ones
    /// are passed over; at the first difference readers are told to start over from there.
    ///
    /// # Errors
    /// A final failure where `chunk` cannot be written as JSON or this is a read; a retry where the
    /// shard has moved.
    pub async fn emit<T: Serialize + ?Sized + Sync>(&self, chunk: &T) -> Result<(), HandlerError> {
        let chunk = Reply::of(chunk)?.0;
        let Some(chunks) = &self.chunks else {
            return Err(HandlerError::fail("no_stream", "a read has no stream of chunks"));
        };
        let emitted = Emitted { address: self.address().clone(), run: self.run, chunk };
        chunks.send(emitted).await.map_err(HandlerError::from)
    }

    /// Store time at the start of the run.
    pub fn now(&self) -> Timestamp {
        self.now
    }
}
