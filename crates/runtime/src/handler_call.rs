//! Calls that handlers make.

use std::time::Duration;

use bytes::Bytes;
use quarry_types::{
    Address, Answer, CallError, Callers, Delivery, Due, Envelope, IdempotencyKey, Keep, KeyOrigin,
    Method, Outcome, RefusalCode, ReplyMode, UnknownCode,
};
use sha2::{Digest, Sha256};

use crate::{HandlerError, node::Inner};

/// How long one try to route a handler's call takes at most; then it is tried again.
const ONE_TRY: Duration = Duration::from_secs(30);

/// After this long without an outcome the handler's attempt fails.
const PATIENCE: Duration = Duration::from_mins(5);

/// The key of call `number` of a handler that handles `envelope`: the same in every run, also where
/// the client sent the message again under another id.
pub(crate) fn key(envelope: &Envelope, number: u32) -> String {
    let address = &envelope.address;
    let mut hash = Sha256::new();
    for part in [
        address.tenant.as_str(),
        address.entity_type.as_str(),
        address.id.as_str(),
        envelope.method.as_str(),
        envelope.key.as_str(),
    ] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    let (half, _) = digest.split_first_chunk().unwrap_or((&[0; 16], &[]));
    format!("call-{:032x}.{number}", u128::from_be_bytes(*half))
}

/// A call of a handler to another entity.
pub(crate) struct HandlerCall<'a> {
    pub(crate) address: &'a Address,
    pub(crate) method: &'a str,
    pub(crate) argument: Bytes,
    pub(crate) key: &'a str,
    pub(crate) callers: Callers,
}

impl Inner {
    /// Asks a query until it is answered.
    pub(crate) async fn read_from_handler(
        &self,
        call: HandlerCall<'_>,
    ) -> Result<Bytes, HandlerError> {
        let entity_type = &call.address.entity_type;
        let spec = self.registry.get(entity_type);
        let spec = spec.and_then(|spec| spec.methods.into_iter().find(|it| it.name == call.method));
        if spec.is_some_and(|method| method.delivery == Delivery::Durable) {
            let message = format!("{} of {entity_type} may change its state: call it", call.method);
            return Err(HandlerError::fail("not_a_query", message));
        }
        self.call_from_handler(call).await
    }

    /// Calls until there is an outcome. It ends with the handler: a shard that is lost cancels it.
    pub(crate) async fn call_from_handler(
        &self,
        call: HandlerCall<'_>,
    ) -> Result<Bytes, HandlerError> {
        let mut envelope = self.envelope(&call)?;
        let delivery = self
            .registry
            .check(&call.address.entity_type, &envelope.method, &envelope.payload)
            .map_err(|refusal| HandlerError::fail(refusal.code.as_str(), refusal.message))?;
        let until = self.ports.host.now().after(PATIENCE);
        loop {
            match self.route(envelope.clone(), delivery, ONE_TRY).await {
                Ok(Answer::Handled { outcome: Outcome::Success(reply), .. }) => return Ok(reply),
                Ok(Answer::Handled { outcome: Outcome::Failure(failure), .. }) => {
                    return Err(HandlerError::Final(failure));
                }
                Ok(Answer::Accepted { .. }) => {
                    return Err(HandlerError::Retry(
                        "accepted, where an outcome was asked for".to_owned(),
                    ));
                }
                Err(CallError::Unknown(unknown)) if unknown.code == UnknownCode::Quarantined => {
                    return Err(HandlerError::fail("quarantined", unknown.message));
                }
                Err(CallError::Unknown(unknown)) if self.ports.host.now() >= until => {
                    return Err(HandlerError::Retry(unknown.to_string()));
                }
                Err(CallError::Unknown(_)) => {
                    envelope.send_count = envelope.send_count.saturating_add(1);
                }
                Err(CallError::Refused(refusal)) if refusal.code == RefusalCode::KeyReused => {
                    let message =
                        "a handler that ran again called another method or with another argument";
                    return Err(HandlerError::fail("not_repeatable", message));
                }
                Err(CallError::Refused(refusal)) if refusal.code.is_retryable() => {
                    return Err(HandlerError::Retry(refusal.to_string()));
                }
                Err(CallError::Refused(refusal)) => {
                    return Err(HandlerError::fail(refusal.code.as_str(), refusal.message));
                }
            }
        }
    }

    fn envelope(&self, call: &HandlerCall<'_>) -> Result<Envelope, HandlerError> {
        let invalid =
            |error: quarry_types::Invalid| HandlerError::fail("invalid_call", error.to_string());
        Ok(Envelope {
            message_id: self.new_message_id(call.address),
            address: call.address.clone(),
            method: Method::new(call.method).map_err(invalid)?,
            payload: call.argument.clone(),
            key: IdempotencyKey::new(call.key).map_err(invalid)?,
            key_origin: KeyOrigin::Client,
            send_count: 0,
            reply: ReplyMode::Outcome,
            due: Due::Now,
            keep: Keep::Everything,
            trace_parent: None,
            callers: call.callers.clone(),
        })
    }
}
