//! What routing itself says.

use std::fmt::Display;

use quarry_types::{
    CallError, Delivery, EntityType, Epoch, MessageId, Refusal, RefusalCode, Unknown, UnknownCode,
};

pub(super) fn overloaded() -> CallError {
    CallError::Refused(Refusal {
        code: RefusalCode::Overloaded,
        message: "the shard's queue is full".to_owned(),
        retry_after_ms: Some(1_000),
    })
}

/// What is said of a shard that this node does not serve; `epoch` is that of its last grant as this node
/// knows, 0 where it knows of none.
pub(super) fn not_owner(epoch: Epoch) -> CallError {
    CallError::Refused(elsewhere(epoch))
}

/// What a message to such a shard is refused with.
pub(super) fn elsewhere(epoch: Epoch) -> Refusal {
    let code = RefusalCode::NotOwner(epoch);
    let message = "this node does not own the shard".to_owned();
    Refusal { code, message, retry_after_ms: Some(500) }
}

pub(super) fn no_owner(what: &dyn Display) -> Refusal {
    Refusal {
        code: RefusalCode::NoOwner,
        message: format!("no runner owns the shard of {what} now"),
        retry_after_ms: Some(500),
    }
}

/// What is said while no runner of a group is up.
pub(super) fn no_runner(group: &str, what: &dyn Display) -> Refusal {
    Refusal {
        code: RefusalCode::NoOwner,
        message: format!(
            "no runner of group {group:?} is up, and {what} lives on these only: start a node with \
             {group:?} among its cluster.groups"
        ),
        retry_after_ms: Some(1_000),
    }
}

/// What is said of a type until it is recorded that it is used.
pub(super) fn unused(entity_type: &EntityType) -> Refusal {
    Refusal {
        code: RefusalCode::NoOwner,
        message: format!("the first use of {entity_type} is not recorded by the coordinator yet"),
        retry_after_ms: Some(500),
    }
}

pub(super) fn refused(code: RefusalCode, message: String) -> CallError {
    let retry_after_ms = code.is_retryable().then_some(500);
    CallError::Refused(Refusal { code, message, retry_after_ms })
}

pub(super) fn unknown(code: UnknownCode, message: &str, message_id: MessageId) -> CallError {
    CallError::Unknown(Unknown { code, message: message.to_owned(), message_id: Some(message_id) })
}

/// A read changes nothing: surely not done. A durable message may still be handled.
pub(super) fn in_hand_at_deadline(delivery: Delivery, message_id: MessageId) -> CallError {
    match delivery {
        Delivery::Durable => unknown(
            UnknownCode::Deadline,
            "the message was not finished in time; it goes on",
            message_id,
        ),
        Delivery::VolatileLocal | Delivery::VolatileCurrent => {
            refused(RefusalCode::Deadline, "the read was not answered in time".to_owned())
        }
    }
}
