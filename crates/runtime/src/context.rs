//! What a handler knows of its run.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicU32, Ordering},
};

use bytes::Bytes;
use quarry_core::delivery::{Chunk, Ran, RunId};
use quarry_types::{
    Address, Callers, EntityId, EntityType, Envelope, Epoch, Invalid, MessageId, NodeId, Timestamp,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::{mpsc, oneshot};

use crate::{
    Entity, HandlerError, Reply,
    actor::{Said, Saying},
    handler_call::{self, HandlerCall},
    inbox::Waiter,
    journal,
    node::Inner,
    sends::Sends,
    transaction::Statements,
    window::Window,
    wire::Response,
};

/// The largest chunk: 256 KiB.
const MAX_CHUNK: usize = 256 * 1024;

/// The circumstances of one run of a handler.
#[derive(Clone)]
pub struct Context {
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) attempt: u32,
    pub(crate) epoch: Epoch,
    pub(crate) owner: NodeId,
    pub(crate) now: Timestamp,
    pub(crate) run: RunId,
    /// How many of its chunks may be on their way.
    pub(crate) window: Window,
    /// Whether chunks of an earlier attempt stand.
    pub(crate) repeats: bool,
    /// None for a read, which has no stream.
    pub(crate) shard: Option<mpsc::Sender<Said>>,
    pub(crate) caller: Weak<Inner>,
    /// Calls made by this run so far.
    pub(crate) calls: Arc<AtomicU32>,
    /// What this run has sent so far.
    pub(crate) sends: Sends,
    /// The statements of this run so far.
    pub(crate) statements: Statements,
}

impl Context {
    /// The run has ended well; nothing that it collected is added to from here on.
    pub(crate) fn done(&self, reply: Bytes, state: Option<Bytes>) -> Ran {
        Ran::Done { reply, state, sends: self.sends.end(), statements: self.statements.end() }
    }

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
    /// who follows the message, also later and after a failover. Waits while the shard is busy, and
    /// while 1 MiB of this run's chunks are on their way to the store (64 KiB where an earlier run made
    /// chunks too): how far its readers are is theirs, for they read what is stored.
    ///
    /// A handler that runs again makes its chunks again: those that are equal to the stored ones
    /// are passed over; at the first difference readers are told to start over from there.
    ///
    /// # Errors
    /// A final failure where `chunk` cannot be written as JSON or this is a read; a retry where the
    /// shard has moved.
    pub async fn emit<T: Serialize + ?Sized + Sync>(&self, chunk: &T) -> Result<(), HandlerError> {
        self.append(Chunk::Made(encoded(chunk)?)).await
    }

    /// Appends a chunk, as [`Context::emit`] does, that is an entry of this entity's journal too: an
    /// object with a text `type`, and the text `requestId` where it belongs to a request that is not
    /// the entity's id. Both are stored in one commit. A journal is numbered without a gap and
    /// outlives the messages that wrote it; of a handler that runs again and says something else it
    /// keeps both, with an entry `reset` between.
    ///
    /// # Errors
    /// As those of [`Context::emit`]; a final failure where `entry` has no `type`.
    pub async fn record<T: Serialize + ?Sized + Sync>(
        &self,
        entry: &T,
    ) -> Result<(), HandlerError> {
        self.append(Chunk::Entry { entry: recorded(entry)?, clears: false }).await
    }

    /// Records `entry`, as [`Context::record`] does, in place of all that stands in the journal.
    ///
    /// # Errors
    /// Those of [`Context::record`].
    pub async fn clear_journal<T: Serialize + ?Sized + Sync>(
        &self,
        entry: &T,
    ) -> Result<(), HandlerError> {
        self.append(Chunk::Entry { entry: recorded(entry)?, clears: true }).await
    }

    async fn append(&self, chunk: Chunk) -> Result<(), HandlerError> {
        let waiter = self.window.enter(&chunk).await;
        self.say(Saying::Chunk(chunk, waiter)).await
    }

    /// Waits until what this run made was compared with what earlier attempts did, so that what it
    /// did not repeat is known. Where the shard has moved, nobody asks.
    pub(crate) async fn catch_up(&self) {
        if !self.repeats {
            return;
        }
        let (sender, compared) = oneshot::channel();
        if self.say(Saying::CatchUp(Waiter::Here(sender))).await.is_ok() {
            let _ = compared.await;
        }
    }

    async fn say(&self, what: Saying) -> Result<(), HandlerError> {
        let Some(shard) = &self.shard else {
            return Err(HandlerError::fail("only_reads", "a read has no effects"));
        };
        let said = Said { address: self.address().clone(), run: self.run, what };
        shard.send(said).await.map_err(|_| HandlerError::Retry("the shard has moved".to_owned()))
    }

    /// Waits until the message's row and every state that the handler saw are durable.
    async fn settle(&self) -> Result<(), HandlerError> {
        let (sender, settled) = oneshot::channel();
        self.say(Saying::Settle(Waiter::Here(sender))).await?;
        match settled.await {
            Ok(Response::Readable) => Ok(()),
            _ => Err(HandlerError::Retry("the shard has moved".to_owned())),
        }
    }

    /// The entity `id` of type `E` in this entity's tenant.
    ///
    /// # Errors
    /// A final failure `invalid_call` where `id` cannot be the id of an entity.
    pub fn entity<E: Entity>(&self, id: &str) -> Result<Address, HandlerError> {
        let invalid = |error: Invalid| HandlerError::fail("invalid_call", error.to_string());
        let entity_type = EntityType::new(E::TYPE).map_err(invalid)?;
        let id = EntityId::new(id).map_err(invalid)?;
        Ok(Address { tenant: self.address().tenant.clone(), entity_type, id })
    }

    /// Calls a durable method of another entity and waits for its reply, however long it takes.
    /// It leaves only when this message's row and all that the handler saw are durable. Its key is
    /// made of this message's entity, method and key and of the number of the call, so a handler
    /// that runs again gets the outcome of its first run: the other entity handles it once. Two
    /// entities that call one another at the same time, each for a message of its own, wait until
    /// one gives up, after 5 minutes.
    ///
    /// # Errors
    /// The other entity's failure, as a final one; `circular_call` where it waits for this call
    /// itself, as the caller of a caller; `unexpected_reply` where the reply is no `R`; a retry
    /// where it could not be reached.
    pub async fn call<R: DeserializeOwned>(
        &self,
        address: &Address,
        method: &str,
        argument: &(impl Serialize + ?Sized + Sync),
    ) -> Result<R, HandlerError> {
        let callers = self.calling(address)?;
        self.settle().await?;
        let argument = Reply::of(argument)?.0;
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let key = handler_call::key(&self.envelope, number);
        let call = HandlerCall { address, method, argument, key: &key, callers };
        let reply = self.node()?.call_from_handler(call).await?;
        decoded(address, method, &reply)
    }

    /// Asks a query of another entity, as often as the handler runs: nothing is stored, and another
    /// run may be told otherwise. What comes of the handler must not depend on which.
    ///
    /// # Errors
    /// As of [`Context::call`]; `not_a_query` where the method may change the other's state.
    pub async fn read<R: DeserializeOwned>(
        &self,
        address: &Address,
        query: &str,
        argument: &(impl Serialize + ?Sized + Sync),
    ) -> Result<R, HandlerError> {
        let callers = self.calling(address)?;
        let argument = Reply::of(argument)?.0;
        // What stores nothing is deduped by nothing.
        let key = handler_call::key(&self.envelope, 0);
        let call = HandlerCall { address, method: query, argument, key: &key, callers };
        let reply = self.node()?.read_from_handler(call).await?;
        decoded(address, query, &reply)
    }

    fn calling(&self, address: &Address) -> Result<Callers, HandlerError> {
        let callers = self.envelope.callers.calling(self.address(), address);
        callers.map_err(|refused| HandlerError::fail(refused.as_str(), refused.to_string()))
    }

    fn node(&self) -> Result<Arc<Inner>, HandlerError> {
        let stopping = || HandlerError::Retry("the node is stopping".to_owned());
        self.caller.upgrade().ok_or_else(stopping)
    }

    /// Store time at the start of the run.
    pub fn now(&self) -> Timestamp {
        self.now
    }
}

/// What another entity answered.
fn decoded<R: DeserializeOwned>(
    address: &Address,
    method: &str,
    reply: &[u8],
) -> Result<R, HandlerError> {
    serde_json::from_slice(reply).map_err(|error| {
        let message = format!("{method} of {address} answered something else: {error}");
        HandlerError::fail("unexpected_reply", message)
    })
}

fn encoded<T: Serialize + ?Sized>(chunk: &T) -> Result<Bytes, HandlerError> {
    let chunk = Reply::of(chunk)?.0;
    if chunk.len() > MAX_CHUNK {
        let message = format!("a chunk of {} bytes is over {MAX_CHUNK}", chunk.len());
        return Err(HandlerError::fail("too_large", message));
    }
    Ok(chunk)
}

fn recorded<T: Serialize + ?Sized>(entry: &T) -> Result<Bytes, HandlerError> {
    let entry = encoded(entry)?;
    match journal::refusal(&entry) {
        Some(message) => Err(HandlerError::fail("not_an_entry", message)),
        None => Ok(entry),
    }
}
