//! Chunks of replies, and the entries of journals among them.

use std::collections::{BTreeMap, BTreeSet};

use quarry_ports::{ChunkBody, Commit};
use quarry_sim::Entered;
use quarry_types::{Address, MessageId};

use crate::chronicle::{Chronicle, Point};

#[derive(Default)]
pub(super) struct Streams {
    /// How many chunks a message has.
    chunks: BTreeMap<MessageId, u64>,
    /// Messages that have an outcome.
    ended: BTreeSet<MessageId>,
    /// The last entry of each journal.
    entries: BTreeMap<Address, u64>,
}

impl Streams {
    pub(super) fn committed(
        &mut self,
        chronicle: &Chronicle,
        commit: &Commit,
        entered: &[Entered],
    ) {
        self.check_chunks(chronicle, commit);
        check_entries(chronicle, commit);
        self.check_journals(chronicle, entered);
        self.ended.extend(commit.outcomes.iter().map(|row| row.message_id));
    }

    /// R1: chunks are numbered without a gap, and none comes after the outcome.
    fn check_chunks(&mut self, chronicle: &Chronicle, commit: &Commit) {
        for row in &commit.chunks {
            let (id, first) = (row.message_id, row.first);
            let next = self.chunks.entry(id).or_default();
            let expected = *next;
            *next += u64::try_from(row.chunks.len()).unwrap_or(u64::MAX);
            chronicle.expect(expected == first, || {
                format!("R1: chunk {first} of {id} where {expected} is the next")
            });
            chronicle.expect(!self.ended.contains(&id), || {
                format!("R1: chunk {first} of {id} after its outcome")
            });
            if row.chunks.iter().any(|chunk| matches!(chunk, ChunkBody::Reset { .. })) {
                chronicle.reach(Point::StreamReset);
            }
        }
    }

    /// J1: entries are numbered without a gap, as they are committed.
    fn check_journals(&mut self, chronicle: &Chronicle, entered: &[Entered]) {
        for (address, number) in entered {
            let last = self.entries.insert(address.clone(), *number).unwrap_or(0);
            chronicle.expect(last + 1 == *number, || {
                format!("J1: entry {number} of {address} follows {last}")
            });
        }
    }
}

/// G2: an entry of a journal is a chunk of the same commit.
fn check_entries(chronicle: &Chronicle, commit: &Commit) {
    for row in &commit.journal {
        let (id, number) = (row.message_id, row.chunk);
        let is_chunk = commit.chunks.iter().any(|chunks| {
            let length = u64::try_from(chunks.chunks.len()).unwrap_or(u64::MAX);
            chunks.message_id == id && (chunks.first..chunks.first + length).contains(&number)
        });
        chronicle
            .expect(is_chunk, || format!("G2: chunk {number} of {id} is an entry without a chunk"));
    }
}
