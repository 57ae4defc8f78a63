//! What handlers send to other entities, without waiting for them.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use quarry_core::outbox::Outgoing;
use quarry_types::{Address, Delivery, Due, Invalid, MessageId, Method, Refusal};
use serde::Serialize;

use crate::{Context, Entity, HandlerError, Reply, method};

/// Sends of one handler.
const MOST: usize = 1_000;
/// Bytes of their arguments: what fits beside the state into a commit.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// What one run of a handler has sent so far; none once it has ended.
#[derive(Clone)]
pub(crate) struct Sends(Arc<Mutex<Option<Vec<Outgoing>>>>);

impl Default for Sends {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Some(Vec::new()))))
    }
}

impl Sends {
    /// Held for a look or a push only, never across an await.
    fn sends(&self) -> MutexGuard<'_, Option<Vec<Outgoing>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run has ended: what it sent, in order. Nothing is taken from then on.
    pub(crate) fn end(&self) -> Vec<Outgoing> {
        self.sends().take().unwrap_or_default()
    }

    fn push(&self, outgoing: Outgoing) -> Result<(), HandlerError> {
        let mut sends = self.sends();
        let Some(sends) = sends.as_mut() else {
            return Err(HandlerError::fail("has_ended", "the handler that sends has ended"));
        };
        let bytes: usize = sends.iter().map(|sent| sent.payload.len()).sum();
        if sends.len() >= MOST || bytes + outgoing.payload.len() > MOST_BYTES {
            let message = format!("a handler sends at most {MOST} messages of {MOST_BYTES} bytes");
            return Err(HandlerError::fail("too_many_sends", message));
        }
        sends.push(outgoing);
        Ok(())
    }
}

impl Context {
    /// Sends a message to a durable method of another entity (or of this one), without waiting for
    /// it; the id under which it will be stored there. It is part of this message's commit, together
    /// with the state and the reply: it leaves when these are durable, is handled once whatever
    /// fails, and is not sent at all where the handler fails or runs again. Messages to one entity
    /// are handled in the order in which they were sent.
    ///
    /// # Errors
    /// A final failure where this is a read, the other entity is of another tenant, it has no such
    /// durable method, or the argument does not fit; where the handler has sent 1,000 messages or
    /// 8 MiB already.
    pub fn send(
        &self,
        address: &Address,
        method: &str,
        argument: &(impl Serialize + ?Sized),
    ) -> Result<MessageId, HandlerError> {
        self.put(Due::Now, address, method, Reply::of(argument)?.0)
    }

    /// As [`Context::send`]; the message is handled after `delay`, at most 366 days, and counts as
    /// sent then.
    ///
    /// # Errors
    /// As [`Context::send`].
    pub fn send_after(
        &self,
        delay: Duration,
        address: &Address,
        method: &str,
        argument: &(impl Serialize + ?Sized),
    ) -> Result<MessageId, HandlerError> {
        self.put(due(delay)?, address, method, Reply::of(argument)?.0)
    }

    /// As [`Context::send`], with a command of the entity `id` of type `E` in this entity's tenant.
    ///
    /// # Errors
    /// As [`Context::send`].
    pub fn tell<E: Entity<Command: Serialize>>(
        &self,
        id: &str,
        command: &E::Command,
    ) -> Result<MessageId, HandlerError> {
        let (method, argument) = method::encode(command)?;
        self.put(Due::Now, &self.entity::<E>(id)?, &method, argument)
    }

    /// As [`Context::tell`], after `delay`.
    ///
    /// # Errors
    /// As [`Context::send`].
    pub fn tell_after<E: Entity<Command: Serialize>>(
        &self,
        delay: Duration,
        id: &str,
        command: &E::Command,
    ) -> Result<MessageId, HandlerError> {
        let (method, argument) = method::encode(command)?;
        self.put(due(delay)?, &self.entity::<E>(id)?, &method, argument)
    }

    fn put(
        &self,
        due: Due,
        address: &Address,
        method: &str,
        payload: Bytes,
    ) -> Result<MessageId, HandlerError> {
        if self.shard.is_none() {
            return Err(HandlerError::fail("only_reads", "a read has no effects"));
        }
        if address.tenant != self.address().tenant {
            let message = format!("{address} is of another tenant");
            return Err(HandlerError::fail("other_tenant", message));
        }
        let node = self.caller.upgrade();
        let node = node.ok_or_else(|| HandlerError::Retry("the node is stopping".to_owned()))?;
        let invalid = |error: Invalid| HandlerError::fail("invalid_send", error.to_string());
        let method = Method::new(method).map_err(invalid)?;
        let refused = |refusal: Refusal| HandlerError::fail(refusal.code.as_str(), refusal.message);
        let delivery = node.registry.check(&address.entity_type, &method, &payload);
        if delivery.map_err(refused)? != Delivery::Durable {
            let message = format!("{method} of {address} is a read: its answer would be lost");
            return Err(HandlerError::fail("not_durable", message));
        }
        let message_id = node.new_message_id(address);
        self.sends.push(Outgoing { message_id, address: address.clone(), method, payload, due })?;
        Ok(message_id)
    }
}

fn due(delay: Duration) -> Result<Due, HandlerError> {
    if delay > Due::LONGEST {
        let days = Due::LONGEST.as_secs() / 86_400;
        let message = format!("a message may be delayed by at most {days} days");
        return Err(HandlerError::fail("invalid_send", message));
    }
    Ok(Due::After(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)))
}
