//! What the store can tell of a commit without the database.

use std::collections::BTreeSet;

use quarry_ports::{ChunkBody, Commit, SendKey, SendRow, codec::CodecError};
use quarry_types::{MessageId, Outcome, SlotRange};

use crate::record::{stored_chunks, stored_errors};

/// The most bytes that the errors of one open message hold.
const MOST_ERRORS: usize = 1024 * 1024;
/// The most bytes of payloads, states, replies and chunks that one commit holds. One statement of
/// PostgreSQL and one value of SQLite hold at most 1 GB.
const MOST_BYTES: usize = 256 * 1024 * 1024;
/// What is said of a commit whose chunks leave a gap, or are there already (R1).
pub(crate) const CHUNK_GAP: &str = "the chunks are not the next ones of their message";

/// The columns of a commit that are encoded, once, when it is checked.
#[derive(Debug, Default)]
pub(crate) struct Encoded {
    /// The errors of each of its open messages, in their order.
    pub(crate) errors: Vec<Vec<u8>>,
    /// The bodies of each of its chunk rows, in their order.
    pub(crate) chunks: Vec<Vec<u8>>,
}

/// How many rows a commit holds.
pub(crate) fn rows(commit: &Commit) -> usize {
    commit.messages.len()
        + commit.outcomes.len()
        + commit.states.len()
        + commit.open.len()
        + commit.chunks.len()
        + commit.sends.len()
        + commit.sent.len()
        + commit.stuck.len()
        + commit.journal.len()
}

/// How many bytes of users' values a commit holds.
pub(crate) fn bytes(commit: &Commit) -> usize {
    let payloads = commit.messages.iter().map(|row| row.payload.len());
    let outcomes = commit.outcomes.iter().map(|row| outcome_bytes(&row.outcome));
    let copies = commit.open.iter().map(|row| row.message.payload.len());
    let states = commit.states.iter().map(|row| row.state.as_ref().map_or(0, bytes::Bytes::len));
    let chunks = commit.chunks.iter().flat_map(|row| &row.chunks).map(chunk_bytes);
    let sends = commit.sends.iter().map(|row| row.payload.len());
    let entries = commit.journal.iter().map(|row| row.data.len());
    let kept = sends.chain(entries);
    payloads.chain(outcomes).chain(copies).chain(states).chain(chunks).chain(kept).sum()
}

fn outcome_bytes(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Success(body) => body.len(),
        Outcome::Failure(failure) => failure.message.len(),
    }
}

fn chunk_bytes(chunk: &ChunkBody) -> usize {
    match chunk {
        ChunkBody::Made(bytes) | ChunkBody::Entry(bytes) => bytes.len(),
        ChunkBody::Reset { .. } => 0,
    }
}

/// Checks a commit to a shard of `range` and encodes what it can only hold encoded.
pub(crate) fn check(commit: &Commit, range: SlotRange) -> Result<Encoded, String> {
    let size = bytes(commit);
    if size > MOST_BYTES {
        return Err(format!("its values have {size} bytes, more than {MOST_BYTES}"));
    }
    let mut accepted = BTreeSet::new();
    for row in &commit.messages {
        let slot = row.address.slot();
        if !range.contains(slot) || row.message_id.slot() != slot {
            return Err(format!("message {} is not of the shard's slots", row.message_id));
        }
        accepted.insert(row.message_id);
    }
    for row in &commit.outcomes {
        if !range.contains(row.message_id.slot()) {
            return Err(format!("outcome of {} is not of the shard's slots", row.message_id));
        }
    }
    if let Some(row) = commit.states.iter().find(|row| !range.contains(row.address.slot())) {
        return Err(format!("state of {} is not of the shard's slots", row.address));
    }
    sends(commit, range)?;
    if let Some(row) = commit.journal.iter().find(|row| !range.contains(row.address.slot())) {
        return Err(format!("an entry of {} is not of the shard's slots", row.address));
    }
    Ok(Encoded { errors: errors(commit, range, &accepted)?, chunks: chunks(commit, range)? })
}

/// Checks and encodes the open messages.
fn errors(
    commit: &Commit,
    range: SlotRange,
    accepted: &BTreeSet<MessageId>,
) -> Result<Vec<Vec<u8>>, String> {
    let mut encoded = Vec::with_capacity(commit.open.len());
    for row in &commit.open {
        let id = row.message.message_id;
        if !range.contains(row.message.address.slot()) {
            return Err(format!("open message {id} is not of the shard's slots"));
        }
        if row.errors.iter().map(String::len).sum::<usize>() > MOST_ERRORS {
            return Err(format!("the errors of open message {id} are over {MOST_ERRORS} bytes"));
        }
        if row.position.is_none() && !accepted.contains(&id) {
            return Err(format!("open message {id} has no position"));
        }
        let of = |error: CodecError| format!("the errors of open message {id}: {error}");
        encoded.push(stored_errors(&row.errors).map_err(of)?);
    }
    Ok(encoded)
}

/// Checks the sends.
fn sends(commit: &Commit, range: SlotRange) -> Result<(), String> {
    let keys = commit.sends.iter().map(|row| &row.key);
    let keys = keys.chain(&commit.sent).chain(commit.stuck.iter().map(|stuck| &stuck.key));
    for SendKey { message_id, index } in keys {
        if !range.contains(message_id.slot()) {
            return Err(format!("send {index} of {message_id} is not of the shard's slots"));
        }
    }
    for SendRow { key, sender, send_id, address, .. } in &commit.sends {
        let of = format!("send {} of {}", key.index, key.message_id);
        if sender.slot() != key.message_id.slot() {
            return Err(format!("{of} is not of {sender}"));
        }
        if send_id.slot() != address.slot() || sender.tenant != address.tenant {
            return Err(format!("{of} cannot be to {address}"));
        }
    }
    Ok(())
}

/// Checks and encodes the chunks.
fn chunks(commit: &Commit, range: SlotRange) -> Result<Vec<Vec<u8>>, String> {
    let mut encoded = Vec::with_capacity(commit.chunks.len());
    for row in &commit.chunks {
        let id = row.message_id;
        if !range.contains(id.slot()) {
            return Err(format!("chunks of {id} are not of the shard's slots"));
        }
        if row.chunks.is_empty() {
            return Err(format!("a row of chunks of {id} holds none"));
        }
        let of = |error: CodecError| format!("the chunks of {id}: {error}");
        encoded.push(stored_chunks(&row.chunks).map_err(of)?);
    }
    Ok(encoded)
}
