//! What is shown of messages and entities.

use bytes::Bytes;
use quarry_types::{Address, EntityType, Outcome, Slot, Tenant, Timestamp};

use crate::{MessageRow, Position};

/// The state of a message, for people and for dedupe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageState {
    /// Accepted and not finished.
    Open {
        /// Attempts begun so far.
        attempts: u32,
        /// Not to be run before this store time.
        due: Timestamp,
        /// It was sent to be handled at `due`, and no attempt of it is recorded.
        is_delayed: bool,
        /// The errors of its attempts.
        errors: Vec<String>,
    },
    /// Set aside for an operator.
    Quarantined {
        /// Attempts made.
        attempts: u32,
        /// The errors of its attempts.
        errors: Vec<String>,
    },
    /// Finished.
    Finished {
        /// How.
        outcome: Outcome,
        /// Attempts made.
        attempts: u32,
        /// Store time of the end.
        finished_at: Timestamp,
    },
}

/// A stored message and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRecord {
    /// The message as it was accepted.
    pub message: MessageRow,
    /// Where its row stands.
    pub position: Position,
    /// The payload of its open row, where that is another: what it runs with.
    pub edited: Option<Bytes>,
    /// Its state.
    pub state: MessageState,
}

/// Which state a list of messages is restricted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageStateKind {
    /// Accepted and not finished; not those that are delayed.
    Open,
    /// To be handled at a time, and not begun.
    Delayed,
    /// Set aside.
    Quarantined,
    /// Finished.
    Finished,
    /// Any but finished.
    Unfinished,
}

/// Restricts a list of messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageFilter {
    /// Only of this tenant (always given by the gateway).
    pub tenant: Option<Tenant>,
    /// Only of this entity.
    pub address: Option<Address>,
    /// Only to entities of this type.
    pub entity_type: Option<EntityType>,
    /// Only in this state.
    pub state: Option<MessageStateKind>,
    /// Only accepted before this store time.
    pub before: Option<Timestamp>,
}

/// Restricts a list of entities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityFilter {
    /// Only of this tenant.
    pub tenant: Tenant,
    /// Only of this type.
    pub entity_type: Option<EntityType>,
}

/// A stored entity, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityRecord {
    /// The entity.
    pub address: Address,
    /// Its slot.
    pub slot: Slot,
    /// The size of its state in bytes.
    pub state_bytes: u64,
    /// Store time of its last change.
    pub updated_at: Timestamp,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Opaque; `None` at the end.
    pub next: Option<String>,
}
