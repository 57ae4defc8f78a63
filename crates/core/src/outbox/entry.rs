//! One send.

use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
};

use bytes::Bytes;
use quarry_types::{
    Address, Answer, CallError, Callers, Due, Envelope, IdempotencyKey, Keep, KeyOrigin, MessageId,
    Method, ReplyMode, Sequence, Timestamp, UnknownCode,
    planted::{Bug, is_planted},
};

/// Names a send: the message whose handler made it, and which of its sends it is, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SendId {
    /// The message that was handled.
    pub message_id: MessageId,
    /// Which of the handler's sends.
    pub index: u32,
}

impl SendId {
    /// The key under which the target admits it, whoever passes it on and how often.
    #[must_use]
    pub fn key(self) -> IdempotencyKey {
        let text = format!("send-{}.{}", self.message_id, self.index);
        #[expect(clippy::expect_used, reason = "the text obeys the rule for keys by its form")]
        IdempotencyKey::new(&text).expect("a UUID and a number make a key")
    }
}

/// A send as a handler made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The id under which the target stores it.
    pub message_id: MessageId,
    /// The target.
    pub address: Address,
    /// The method that it calls.
    pub method: Method,
    /// The method's argument: JSON, or empty for none.
    pub payload: Bytes,
    /// When it is to be handled; a delay counts from the end of the handler.
    pub due: Due,
}

/// A send as it stands in the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub id: SendId,
    /// The entity that sent it.
    pub sender: Address,
    /// Store time at which it was made.
    pub made_at: Timestamp,
    /// What is sent, and to whom.
    pub outgoing: Outgoing,
}

/// Where an entry stands in its shard's order: commit, then place within the commit.
pub type Place = (Sequence, u32);

/// An entry that is to be passed on now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passing {
    /// Names it in [`super::Outbox::answered`].
    pub place: Place,
    /// The entry.
    pub entry: Arc<Entry>,
    /// How often the target may have seen it before.
    pub send_count: u32,
}

impl Passing {
    /// The message to the target, which is to be answered once it is stored.
    #[must_use]
    pub fn envelope(&self) -> Envelope {
        let Entry { id, outgoing, .. } = &*self.entry;
        Envelope {
            message_id: outgoing.message_id,
            address: outgoing.address.clone(),
            method: outgoing.method.clone(),
            payload: outgoing.payload.clone(),
            key: id.key(),
            key_origin: KeyOrigin::Gateway,
            send_count: self.send_count,
            reply: ReplyMode::Accepted,
            due: outgoing.due,
            keep: Keep::Everything,
            trace_parent: None,
            callers: Callers::none(),
        }
    }
}

/// What the answer to a send says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The target has it.
    Accepted,
    /// It is to be passed on again.
    Again {
        /// Whether the target may have it.
        may_be_there: bool,
        /// Why.
        error: String,
    },
    /// The target says that it can never take it.
    Never(String),
}

impl Verdict {
    /// What the answer of a target's owner says. One that set the message aside has it.
    #[must_use]
    pub fn of(answer: &Result<Answer, CallError>) -> Self {
        if is_planted(Bug::SendClosedEarly) {
            return Self::Accepted;
        }
        match answer {
            Ok(_) => Self::Accepted,
            Err(CallError::Unknown(unknown)) if unknown.code == UnknownCode::Quarantined => {
                Self::Accepted
            }
            Err(error @ CallError::Unknown(_)) => {
                Self::Again { may_be_there: true, error: error.to_string() }
            }
            Err(error @ CallError::Refused(refusal)) if refusal.code.is_retryable() => {
                Self::Again { may_be_there: false, error: error.to_string() }
            }
            Err(error) => Self::Never(error.to_string()),
        }
    }
}

/// An entry that is not passed on any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Its name.
    pub id: SendId,
    /// How it ended.
    pub ending: Ending,
}

/// How a send ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The target has it.
    Accepted,
    /// Set aside for an operator, for this reason.
    Quarantined(String),
}
