//! A message on its way to an entity.

use alloc::{string::String, sync::Arc};
use bytes::Bytes;
use core::{fmt, time::Duration};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::{Address, Callers, Invalid, MessageId, Method, Timestamp};

/// The caller's name for one intent: the same (entity, method, key) is handled once (G5).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IdempotencyKey(Arc<str>);

impl IdempotencyKey {
    /// Parses a key: 1 to 256 bytes of UTF-8 without control characters.
    ///
    /// # Errors
    /// [`Invalid`] names the rule that `value` breaks.
    pub fn new(value: &str) -> Result<Self, Invalid> {
        if (1..=256).contains(&value.len()) && !value.chars().any(char::is_control) {
            return Ok(Self(value.into()));
        }
        Err(Invalid {
            what: "idempotency key",
            value: value.chars().take(64).collect(),
            rule: "1 to 256 bytes of UTF-8 without control characters",
        })
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who chose the idempotency key. A key that the gateway made cannot have been seen before, unless
/// the envelope was sent more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyOrigin {
    /// The client gave it, perhaps on an earlier try too.
    Client,
    /// The gateway made it for this call.
    Gateway,
}

/// What the caller waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReplyMode {
    /// The outcome.
    Outcome,
    /// Acceptance alone: the message is stored.
    Accepted,
}

/// What is kept of a message once it has ended, for its retention.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keep {
    /// The message, its outcome and its chunks.
    #[default]
    Everything,
    /// Its key with a digest of its payload, and that it ended: no payload, reply, error text or
    /// chunk.
    Key,
}

/// Stands for the payload of a message of which only the key is kept (xxh3, 128 bits), so that its
/// key with another payload is still refused (G5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadDigest(pub [u8; 16]);

impl PayloadDigest {
    /// The digest of `payload`.
    #[must_use]
    pub fn of(payload: &[u8]) -> Self {
        Self(xxh3_128(payload).to_be_bytes())
    }
}

/// When a message is to be handled, by the store time of its owner; never earlier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Due {
    /// When its turn comes.
    #[default]
    Now,
    /// So many milliseconds after its admission.
    After(u64),
    /// At this time; when its turn comes where that has passed.
    At(Timestamp),
}

impl Due {
    /// The longest delay: 366 days.
    pub const LONGEST: Duration = Duration::from_hours(366 * 24);

    /// The time for which a message that is admitted at `now` waits; none where it does not.
    #[must_use]
    pub fn later_than(self, now: Timestamp) -> Option<Timestamp> {
        let at = match self {
            Self::Now => now,
            Self::After(millis) => now.after(Duration::from_millis(millis)),
            Self::At(at) => at,
        };
        (at > now).then_some(at)
    }
}

/// How a method is delivered; declared by the entity type.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Stored before it is acknowledged, handled to one outcome.
    Durable,
    /// At most once, without a write; reads the last committed state in the owner's memory.
    VolatileLocal,
    /// As `VolatileLocal`, and the owner's fence is checked before the answer leaves.
    VolatileCurrent,
}

/// A message to an entity. The payload is the user's JSON, as bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The message's id, made by the first node that took it.
    pub message_id: MessageId,
    /// The entity it is for.
    pub address: Address,
    /// The method that it calls.
    pub method: Method,
    /// The method's argument: JSON, or empty for none.
    pub payload: Bytes,
    /// What dedupes it.
    pub key: IdempotencyKey,
    /// Who chose the key.
    pub key_origin: KeyOrigin,
    /// How often this envelope was sent before: above 0 it may have been handled already.
    pub send_count: u32,
    /// What the caller waits for.
    pub reply: ReplyMode,
    /// When it is to be handled.
    pub due: Due,
    /// What is kept of it in the end.
    pub keep: Keep,
    /// W3C `traceparent` of the caller, if it sent one.
    pub trace_parent: Option<String>,
    /// Who waits for it.
    pub callers: Callers,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_waits_only_for_a_time_to_come() {
        let now = Timestamp(1_000);
        for (due, waits_for) in [
            (Due::Now, None),
            (Due::After(0), None),
            (Due::After(250), Some(Timestamp(1_250))),
            (Due::After(u64::MAX), Some(Timestamp(i64::MAX))),
            (Due::At(Timestamp(1_000)), None),
            (Due::At(Timestamp(-5)), None),
            (Due::At(Timestamp(1_001)), Some(Timestamp(1_001))),
        ] {
            assert_eq!(due.later_than(now), waits_for, "{due:?}");
        }
    }
}
