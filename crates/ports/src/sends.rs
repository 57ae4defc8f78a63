//! Sends between entities, as they are stored until their targets have them.

use bytes::Bytes;
use quarry_types::{Address, MessageId, Method, Timestamp};

use crate::Position;

/// A page of open sends ends where its payloads have so many bytes.
pub const SEND_PAGE_BYTES: usize = 8 * 1024 * 1024;

/// Names a send: the message whose handler made it, and which of its sends it is, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SendKey {
    /// The message that was handled.
    pub message_id: MessageId,
    /// Which of the handler's sends.
    pub index: u32,
}

/// A send as it is stored in the commit of the handler that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendRow {
    /// Its name.
    pub key: SendKey,
    /// The entity that sent it.
    pub sender: Address,
    /// Store time at which it was made.
    pub made_at: Timestamp,
    /// The id under which the target stores it.
    pub send_id: MessageId,
    /// The target; of the sender's tenant.
    pub address: Address,
    /// The method that it calls.
    pub method: Method,
    /// Its argument: the user's JSON.
    pub payload: Bytes,
    /// Not to be handled before this store time.
    pub due: Option<Timestamp>,
}

/// A send that is set aside: it stays in the store, and no takeover reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StuckSend {
    /// Its name.
    pub key: SendKey,
    /// Why.
    pub reason: String,
}

/// An open send, as a takeover reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSend {
    /// The send.
    pub row: SendRow,
    /// The commit that made it, and its place among the sends of that commit.
    pub position: Position,
}

/// A page of open sends in order of position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendPage {
    /// The sends.
    pub sends: Vec<OpenSend>,
    /// Where to go on; `None` at the end.
    pub next: Option<Position>,
}
