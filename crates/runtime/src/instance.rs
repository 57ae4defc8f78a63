//! One live entity, with its type erased.

use std::{panic::AssertUnwindSafe, pin::Pin, sync::Arc};

use bytes::Bytes;
use futures_util::FutureExt;
use quarry_core::delivery::Ran;

use crate::{Context, Entity, HandlerError, Reply, method};

/// The largest reply and the largest state: 8 MiB, so that either fits into a frame between nodes.
const MAX_ENCODED: usize = 8 * 1024 * 1024;

/// A handler under way.
pub(crate) type Running<'a> = Pin<Box<dyn Future<Output = Ran> + Send + 'a>>;

/// A live entity: its state in memory and the type that handles its messages.
pub(crate) trait Instance: Send + Sync {
    /// Handles a durable message. The state changes only where it comes to [`Ran::Done`].
    fn command<'a>(&'a mut self, context: &'a Context) -> Running<'a>;

    /// Answers a volatile message. The state is lent until the answer is there.
    fn query(self: Arc<Self>, context: Context) -> Running<'static>;
}

pub(crate) struct Live<E: Entity> {
    entity: Arc<E>,
    state: E::State,
    /// The state as it was last encoded.
    encoded: Bytes,
}

impl<E: Entity> Live<E> {
    /// Makes the entity live from its stored state, or from none.
    pub(crate) fn new(entity: Arc<E>, stored: Option<Bytes>) -> Result<Self, String> {
        let Some(encoded) = stored else {
            return Ok(Self { entity, state: E::State::default(), encoded: Bytes::new() });
        };
        let state = decode_state::<E>(&encoded)?;
        Ok(Self { entity, state, encoded })
    }

    async fn handle(&mut self, context: &Context) -> Ran {
        let envelope = &context.envelope;
        let command = match method::decode(envelope.method.as_str(), &envelope.payload) {
            Ok(command) => command,
            Err(error) => return failed(HandlerError::fail("invalid_payload", error)),
        };
        let handled = AssertUnwindSafe(self.entity.handle(&mut self.state, command, context));
        let result = match handled.catch_unwind().await {
            Ok(result) => result.and_then(|reply| Ok((reply.0, Reply::of(&self.state)?.0))),
            Err(panic) => return broken(&*panic),
        };
        match result {
            Ok((reply, state)) if reply.len().max(state.len()) > MAX_ENCODED => {
                let message = format!("a reply or state is over {MAX_ENCODED} bytes");
                match self.restore() {
                    Ok(()) => failed(HandlerError::fail("too_large", message)),
                    Err(error) => Ran::Retry { error, is_broken: true },
                }
            }
            Ok((reply, state)) if state == self.encoded => context.done(reply, None),
            Ok((reply, state)) => {
                self.encoded = state.clone();
                context.done(reply, Some(state))
            }
            Err(error) => match self.restore() {
                Ok(()) => failed(error),
                Err(error) => Ran::Retry { error, is_broken: true },
            },
        }
    }

    async fn read(&self, context: &Context) -> Ran {
        let envelope = &context.envelope;
        let query = match method::decode(envelope.method.as_str(), &envelope.payload) {
            Ok(query) => query,
            Err(error) => return failed(HandlerError::fail("invalid_payload", error)),
        };
        let read = AssertUnwindSafe(self.entity.read(&self.state, query, context));
        match read.catch_unwind().await {
            Ok(Ok(reply)) => context.done(reply.0, None),
            Ok(Err(error)) => failed(error),
            Err(panic) => broken(&*panic),
        }
    }

    /// A handler that failed may have changed the state in memory: take the last good one again.
    fn restore(&mut self) -> Result<(), String> {
        self.state = if self.encoded.is_empty() {
            E::State::default()
        } else {
            decode_state::<E>(&self.encoded)?
        };
        Ok(())
    }
}

impl<E: Entity> Instance for Live<E> {
    fn command<'a>(&'a mut self, context: &'a Context) -> Running<'a> {
        Box::pin(self.handle(context))
    }

    fn query(self: Arc<Self>, context: Context) -> Running<'static> {
        Box::pin(async move { self.read(&context).await })
    }
}

fn decode_state<E: Entity>(encoded: &[u8]) -> Result<E::State, String> {
    serde_json::from_slice(encoded)
        .map_err(|error| format!("the stored state of a {} cannot be read: {error}", E::TYPE))
}

fn failed(error: HandlerError) -> Ran {
    match error {
        HandlerError::Final(failure) => Ran::Failed(failure),
        HandlerError::Retry(error) => Ran::Retry { error, is_broken: false },
    }
}

fn broken(panic: &(dyn std::any::Any + Send)) -> Ran {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "of unknown cause".to_owned());
    Ran::Retry { error: format!("the handler panicked: {text}"), is_broken: true }
}
