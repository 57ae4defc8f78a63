//! Journals: what is written of one, and what is read.

use bytes::Bytes;
use quarry_types::{Address, EntryId, MessageId, Timestamp};

/// An entry to append to the journal of an entity.
///
/// A journal is written by its own entity alone, in the commits of its shard, so the store numbers
/// its entries from 1 in the order of commits, without a gap (J1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalRow {
    /// The entity whose journal it is.
    pub address: Address,
    /// Names the entry.
    pub entry_id: EntryId,
    /// The message that was handled.
    pub message_id: MessageId,
    /// The number of the chunk that the entry is, among those of the message.
    pub chunk: u64,
    /// What happened.
    pub kind: String,
    /// The request that it belongs to.
    pub request_id: String,
    /// All that is said of it: JSON.
    pub data: Bytes,
    /// Whether all entries before it go with the commit. Numbering goes on behind those that were
    /// durable; those that came with it, or together with its commit, never had a number.
    pub clears: bool,
}

/// Which entries of a journal are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalQuery {
    /// The entity whose journal it is.
    pub address: Address,
    /// Only those behind this number.
    pub after: u64,
    /// Only those of this kind.
    pub kind: Option<String>,
    /// Only those of this request.
    pub request_id: Option<String>,
}

/// A durable entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// Its number within the journal, from 1, gapless (J1).
    pub sequence: u64,
    /// Names the entry.
    pub entry_id: EntryId,
    /// The message that was handled.
    pub message_id: MessageId,
    /// The number of the chunk that the entry is, among those of the message.
    pub chunk: u64,
    /// What happened.
    pub kind: String,
    /// The request that it belongs to.
    pub request_id: String,
    /// Store time of its commit.
    pub made_at: Timestamp,
    /// All that is said of it: JSON.
    pub data: Bytes,
}
