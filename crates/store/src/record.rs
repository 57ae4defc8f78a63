//! Rows as the databases give them, and the values that they become.

use std::time::Duration;

use bytes::Bytes;
use quarry_ports::{
    ChunkBody, EntityRecord, MessageRecord, MessageRow, MessageState, OpenMessage, OpenSend,
    OpenState, Position, SendKey, SendRow, StoreError, codec,
};
use quarry_types::{
    Address, EntityId, EntityType, Failure, IdempotencyKey, MessageId, Method, Outcome,
    PayloadDigest, Sequence, Tenant, Timestamp,
};
use uuid::Uuid;

use crate::database::{WriteError, counter};

fn corrupt(what: &str, error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt { reason: format!("{what}: {error}") }
}

/// The columns of a message, as every query names them.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct MessageColumns {
    message_id: Uuid,
    tenant: String,
    entity_type: String,
    entity_id: String,
    method: String,
    key: String,
    payload: Vec<u8>,
    digest: Option<Vec<u8>>,
    accepted_at: i64,
}

impl MessageColumns {
    fn parse(self) -> Result<MessageRow, StoreError> {
        let name = |error| corrupt("message", error);
        Ok(MessageRow {
            message_id: MessageId::from_bytes(self.message_id.into_bytes()),
            address: address(&self.tenant, &self.entity_type, &self.entity_id)?,
            method: Method::new(&self.method).map_err(name)?,
            key: IdempotencyKey::new(&self.key).map_err(name)?,
            payload: Bytes::from(self.payload),
            digest: self.digest.map(digest).transpose()?,
            accepted_at: Timestamp(self.accepted_at),
        })
    }
}

fn digest(stored: Vec<u8>) -> Result<PayloadDigest, StoreError> {
    let length = stored.len();
    let bytes = stored.try_into();
    bytes.map(PayloadDigest).map_err(|_| corrupt("digest", format!("{length} bytes of 16")))
}

/// What `message.digest` holds.
pub(crate) fn stored_digest(row: &MessageRow) -> Option<Vec<u8>> {
    row.digest.map(|digest| digest.0.to_vec())
}

fn address(tenant: &str, entity_type: &str, id: &str) -> Result<Address, StoreError> {
    let name = |error| corrupt("address", error);
    Ok(Address {
        tenant: Tenant::new(tenant).map_err(name)?,
        entity_type: EntityType::new(entity_type).map_err(name)?,
        id: EntityId::new(id).map_err(name)?,
    })
}

/// A message with its outcome and its open row, where they stand.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct RecordColumns {
    #[sqlx(flatten)]
    message: MessageColumns,
    kind: Option<i64>,
    body: Option<Vec<u8>>,
    outcome_attempts: Option<i64>,
    finished_at: Option<i64>,
    open_state: Option<i64>,
    open_attempts: Option<i64>,
    due: Option<i64>,
    errors: Option<Vec<u8>>,
    sequence: i64,
    ordinal: i64,
    edited: Option<Vec<u8>>,
}

impl RecordColumns {
    pub(crate) fn message_id(&self) -> MessageId {
        MessageId::from_bytes(self.message.message_id.into_bytes())
    }

    pub(crate) fn parse(self) -> Result<MessageRecord, StoreError> {
        let message = self.message.parse()?;
        let open_attempts = attempts(self.open_attempts);
        let state = match (self.kind, self.open_state.map(open_state).transpose()?) {
            (Some(kind), _) => MessageState::Finished {
                outcome: outcome(kind, self.body.unwrap_or_default())?,
                attempts: attempts(self.outcome_attempts),
                finished_at: Timestamp(self.finished_at.unwrap_or_default()),
            },
            (None, Some(OpenState::Quarantined)) => {
                MessageState::Quarantined { attempts: open_attempts, errors: errors(self.errors)? }
            }
            (None, open) => MessageState::Open {
                attempts: open_attempts,
                due: self.due.map_or(message.accepted_at, Timestamp),
                is_delayed: open == Some(OpenState::Delayed),
                errors: errors(self.errors)?,
            },
        };
        let position = position(self.sequence, self.ordinal);
        Ok(MessageRecord { message, position, edited: self.edited.map(Bytes::from), state })
    }
}

/// An unfinished message with its position.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct OpenColumns {
    #[sqlx(flatten)]
    message: MessageColumns,
    attempts: i64,
    due: i64,
    state: i64,
    errors: Option<Vec<u8>>,
    lost: i64,
    original: Option<Vec<u8>>,
}

impl OpenColumns {
    pub(crate) fn message_id(&self) -> MessageId {
        MessageId::from_bytes(self.message.message_id.into_bytes())
    }

    pub(crate) fn parse(self, position: Position) -> Result<OpenMessage, StoreError> {
        Ok(OpenMessage {
            message: self.message.parse()?,
            original: self.original.map(Bytes::from),
            position,
            attempts: attempts(Some(self.attempts)),
            lost: attempts(Some(self.lost)),
            due: Timestamp(self.due),
            state: open_state(self.state)?,
            errors: errors(self.errors)?,
        })
    }
}

/// An entity, for people.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct EntityColumns {
    tenant: String,
    entity_type: String,
    entity_id: String,
    state_bytes: i64,
    updated_at: i64,
}

impl EntityColumns {
    pub(crate) fn parse(self) -> Result<EntityRecord, StoreError> {
        let address = address(&self.tenant, &self.entity_type, &self.entity_id)?;
        Ok(EntityRecord {
            slot: address.slot(),
            address,
            state_bytes: counter(self.state_bytes),
            updated_at: Timestamp(self.updated_at),
        })
    }
}

/// Where a row of a message stands.
pub(crate) fn position(sequence: i64, ordinal: i64) -> Position {
    Position {
        sequence: Sequence(counter(sequence)),
        ordinal: u32::try_from(ordinal).unwrap_or(u32::MAX),
    }
}

fn attempts(stored: Option<i64>) -> u32 {
    stored.map_or(0, |stored| u32::try_from(stored).unwrap_or(u32::MAX))
}

/// What `open_message.state` holds.
pub(crate) const fn stored_open_state(state: OpenState) -> i64 {
    match state {
        OpenState::Waiting => 0,
        OpenState::Quarantined => 1,
        OpenState::Delayed => 2,
    }
}

fn open_state(stored: i64) -> Result<OpenState, StoreError> {
    match stored {
        0 => Ok(OpenState::Waiting),
        1 => Ok(OpenState::Quarantined),
        2 => Ok(OpenState::Delayed),
        other => Err(corrupt("open_message", format!("state {other} is not known"))),
    }
}

/// What `open_message.errors` holds.
pub(crate) fn stored_errors(errors: &[String]) -> Result<Vec<u8>, codec::CodecError> {
    codec::encode(codec::schema::ERRORS, &errors).map(Vec::from)
}

fn errors(stored: Option<Vec<u8>>) -> Result<Vec<String>, StoreError> {
    match stored {
        None => Ok(Vec::new()),
        Some(bytes) => codec::decode(codec::schema::ERRORS, &bytes)
            .map_err(|error| corrupt("the errors of an open message", error)),
    }
}

/// What `chunk.body` holds.
pub(crate) fn stored_chunks(chunks: &[ChunkBody]) -> Result<Vec<u8>, codec::CodecError> {
    codec::encode(codec::schema::CHUNKS, &chunks).map(Vec::from)
}

pub(crate) fn chunks(stored: &[u8]) -> Result<Vec<ChunkBody>, StoreError> {
    codec::decode(codec::schema::CHUNKS, stored)
        .map_err(|error| corrupt("the chunks of a message", error))
}

/// The longest reason that is kept of a send that was set aside, in characters.
const MOST_REASON: usize = 1_000;

/// What `outbox.reason` holds: text, which must not hold a zero byte.
pub(crate) fn stored_reason(reason: &str) -> String {
    reason.chars().map(|c| if c == '\0' { '\u{fffd}' } else { c }).take(MOST_REASON).collect()
}

/// How long a handler's own statements may take together: commits of other shards wait for them
/// meanwhile, on SQLite those of all nodes.
pub(crate) const STATEMENTS_WITHIN: Duration = Duration::from_secs(2);
/// What the databases say of a statement that was stopped since they took longer.
const STOPPED: [&str; 2] = ["9", "57014"];

/// What it means that a handler's own statements took longer than they may.
pub(crate) fn too_long() -> WriteError {
    WriteError::Culprit(format!(
        "the statements of the transaction took longer than {STATEMENTS_WITHIN:?}: commits of other \
         entities wait for them"
    ))
}

/// What the failure of a handler's own statement means: its commit alone is rejected. Where the
/// connection is lost nothing was written either, since the commit was not sent.
pub(crate) fn failed_statement(number: usize, error: &sqlx::Error) -> WriteError {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    if code.is_some_and(|code| STOPPED.contains(&code.as_ref())) {
        return too_long();
    }
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => {
            WriteError::Unavailable(error.to_string())
        }
        _ => WriteError::Culprit(format!("statement {number} of the transaction: {error}")),
    }
}

/// What `outbox.due` holds; 0 stands for none.
pub(crate) fn stored_due(due: Option<Timestamp>) -> i64 {
    due.map_or(0, |due| due.0)
}

/// An open send with its position.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct SendColumns {
    message_id: Uuid,
    place: i64,
    tenant: String,
    sender_type: String,
    sender_id: String,
    send_id: Uuid,
    entity_type: String,
    entity_id: String,
    method: String,
    payload: Vec<u8>,
    due: i64,
    made_at: i64,
}

impl SendColumns {
    pub(crate) fn parse(self, position: Position) -> Result<OpenSend, StoreError> {
        let name = |error| corrupt("send", error);
        let index = u32::try_from(self.place).map_err(|error| corrupt("send", error))?;
        let message_id = MessageId::from_bytes(self.message_id.into_bytes());
        let row = SendRow {
            key: SendKey { message_id, index },
            sender: address(&self.tenant, &self.sender_type, &self.sender_id)?,
            made_at: Timestamp(self.made_at),
            send_id: MessageId::from_bytes(self.send_id.into_bytes()),
            address: address(&self.tenant, &self.entity_type, &self.entity_id)?,
            method: Method::new(&self.method).map_err(name)?,
            payload: Bytes::from(self.payload),
            due: (self.due > 0).then_some(Timestamp(self.due)),
        };
        Ok(OpenSend { row, position })
    }
}

/// What `outcome.kind` and `outcome.body` hold. A failure is JSON, which any text fits in.
pub(crate) fn stored_outcome(outcome: &Outcome) -> (i64, Vec<u8>) {
    match outcome {
        Outcome::Success(body) => (0, body.to_vec()),
        Outcome::Failure(failure) => {
            let body = serde_json::json!({ "code": failure.code, "message": failure.message });
            (1, body.to_string().into_bytes())
        }
    }
}

fn outcome(kind: i64, body: Vec<u8>) -> Result<Outcome, StoreError> {
    match kind {
        0 => Ok(Outcome::Success(Bytes::from(body))),
        1 => serde_json::from_slice::<Failure>(&body)
            .map(Outcome::Failure)
            .map_err(|error| corrupt("a stored failure", error)),
        other => Err(corrupt("outcome", format!("kind {other} is not known"))),
    }
}
