//! The chunks of one message, followed to its end.

use std::time::Duration;

use quarry_ports::{MessageRecord, MessageState, StoreError, StoredChunk};
use quarry_types::MessageId;

use crate::Gateway;

/// How many chunks are read at a time: what is held of a stream whose reader is slow.
pub(super) const PAGE: u32 = 64;
/// How long one wait for a chunk takes at most; then the message is looked at.
const WAIT: Duration = Duration::from_secs(30);

/// The chunks of a message, read up to number `next`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) message_id: MessageId,
    pub(super) next: u64,
}

/// What is heard of a message.
pub(super) enum Heard {
    /// The next chunks, at least one.
    Chunks(Vec<StoredChunk>),
    /// It is over, and all its chunks were read.
    End(Box<MessageRecord>),
    /// It is past its retention.
    Gone,
}

impl Tail {
    /// Waits for the next chunks, or the end.
    pub(super) async fn hear(self, gateway: &Gateway) -> Result<Heard, StoreError> {
        loop {
            let (message_id, next) = (self.message_id, self.next);
            let chunks = gateway.node().chunks(message_id, next, PAGE, WAIT).await?;
            if !chunks.is_empty() {
                return Ok(Heard::Chunks(chunks));
            }
            let Some(record) = gateway.store().message(message_id).await? else {
                return Ok(Heard::Gone);
            };
            if matches!(record.state, MessageState::Open { .. }) {
                continue;
            }
            // What was stored since stands before the end.
            let chunks = gateway.store().chunks(message_id, next, PAGE).await?;
            let is_over = chunks.is_empty();
            return Ok(if is_over { Heard::End(Box::new(record)) } else { Heard::Chunks(chunks) });
        }
    }

    /// What is stored now beyond `next`.
    pub(super) async fn stored(self, gateway: &Gateway) -> Result<Vec<StoredChunk>, StoreError> {
        gateway.store().chunks(self.message_id, self.next, PAGE).await
    }

    /// The same, read up to `chunk`.
    pub(super) fn behind(self, chunk: &StoredChunk) -> Self {
        Self { next: chunk.sequence.saturating_add(1), ..self }
    }
}
