//! How calls end: *done*, *refused* or *unknown* (G6).

use alloc::string::String;
use bytes::Bytes;
use core::fmt;
use serde::{Deserialize, Serialize};

use crate::{Epoch, MessageId};

/// How a handled message ended. Stored once, with the state that it made (G2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The handler's reply: JSON, or empty for none.
    Success(Bytes),
    /// The handler declared a final failure, or an operator dropped the message.
    Failure(Failure),
}

/// A failure that is an outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failure {
    /// Stable, for programs, in `snake_case` or as the entity declares it.
    pub code: String,
    /// For people.
    pub message: String,
}

/// What an owner answers to a message that it took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The message was handled.
    Handled {
        /// The id under which the message is stored; that of the first send for a duplicate.
        message_id: MessageId,
        /// How it ended.
        outcome: Outcome,
        /// Whether the outcome stood before this call.
        replayed: bool,
    },
    /// The message is stored and will be handled.
    Accepted {
        /// The id under which the message is stored.
        message_id: MessageId,
        /// Whether it stood before this call.
        replayed: bool,
    },
}

/// Why a call did not end in an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum CallError {
    /// Surely not done; may be retried where the code says so.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// May have been done; retry with the same key.
    #[error("unknown: {0}")]
    Unknown(Unknown),
}

/// A call that was surely not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Stable, for programs.
    pub code: RefusalCode,
    /// For people: who, what, where, what to do.
    pub message: String,
    /// When a retry may succeed, in milliseconds.
    pub retry_after_ms: Option<u32>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

/// Why a call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefusalCode {
    /// The node does not own the shard; carries the epoch it knows of.
    NotOwner(Epoch),
    /// No runner owns the shard now.
    NoOwner,
    /// The owner's lease is over.
    LeaseOver,
    /// A mailbox or the node is full.
    Overloaded,
    /// The node is shutting down or moving the shard away.
    Draining,
    /// No such entity type.
    UnknownType,
    /// No such method of the type.
    UnknownMethod,
    /// The payload does not fit the method.
    InvalidPayload,
    /// The idempotency key was used with another payload (G5).
    KeyReused,
    /// The message is larger than the limit.
    TooLarge,
    /// The store does not accept writes now.
    StoreUnavailable,
    /// The deadline passed before the message left this node.
    Deadline,
    /// A handler of a volatile call failed; nothing was changed.
    HandlerFailed,
    /// There is no such message, or it is past its retention.
    NoSuchMessage,
    /// The message has another outcome already.
    AlreadyFinished,
    /// The message is not set aside for an operator.
    NotQuarantined,
}

impl RefusalCode {
    /// The code as it stands in errors and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotOwner(_) => "not_owner",
            Self::NoOwner => "no_owner",
            Self::LeaseOver => "lease_over",
            Self::Overloaded => "overloaded",
            Self::Draining => "draining",
            Self::UnknownType => "unknown_type",
            Self::UnknownMethod => "unknown_method",
            Self::InvalidPayload => "invalid_payload",
            Self::KeyReused => "key_reused",
            Self::TooLarge => "too_large",
            Self::StoreUnavailable => "store_unavailable",
            Self::Deadline => "deadline",
            Self::HandlerFailed => "handler_failed",
            Self::NoSuchMessage => "no_such_message",
            Self::AlreadyFinished => "already_finished",
            Self::NotQuarantined => "not_quarantined",
        }
    }

    /// Whether the same call may succeed later without a change.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::NotOwner(_)
            | Self::NoOwner
            | Self::LeaseOver
            | Self::Overloaded
            | Self::Draining
            | Self::StoreUnavailable
            | Self::Deadline => true,
            Self::UnknownType
            | Self::UnknownMethod
            | Self::InvalidPayload
            | Self::KeyReused
            | Self::TooLarge
            | Self::HandlerFailed
            | Self::NoSuchMessage
            | Self::AlreadyFinished
            | Self::NotQuarantined => false,
        }
    }

    /// Whether another node may answer differently now, so that a router looks again.
    #[must_use]
    pub const fn is_misrouted(self) -> bool {
        matches!(self, Self::NotOwner(_) | Self::NoOwner | Self::LeaseOver | Self::Draining)
    }
}

/// A call that may have been done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unknown {
    /// Stable, for programs.
    pub code: UnknownCode,
    /// For people.
    pub message: String,
    /// The id under which the message is stored, where it is known.
    pub message_id: Option<MessageId>,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

/// Why the fate of a call is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnknownCode {
    /// The deadline passed while the message was with its owner.
    Deadline,
    /// The link to the owner broke after the message had left.
    LinkLost,
    /// The owner lost the shard, or its store, while the message was in its hands.
    OwnerLost,
    /// The message was set aside after too many failed attempts; an operator decides.
    Quarantined,
}

impl UnknownCode {
    /// The code as it stands in errors and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::LinkLost => "link_lost",
            Self::OwnerLost => "owner_lost",
            Self::Quarantined => "quarantined",
        }
    }
}
