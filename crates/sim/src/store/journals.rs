//! Journals in memory.

use quarry_ports::{Commit, JournalEntry, JournalRow};
use quarry_types::Timestamp;

use super::tables::Tables;

impl Tables {
    /// Appends the entries of a commit.
    pub(super) fn enter_all(&mut self, commit: &Commit) {
        for (at, row) in commit.journal.iter().enumerate() {
            let mut behind = commit.journal.iter().skip(at + 1);
            if !behind.any(|later| later.clears && later.address == row.address) {
                self.enter(row, commit.now);
            }
        }
    }

    /// Appends an entry to its journal (J1).
    fn enter(&mut self, row: &JournalRow, made_at: Timestamp) {
        let journal = self.journals.entry(row.address.clone()).or_default();
        let sequence = journal.last().map_or(1, |last| last.sequence + 1);
        if row.clears {
            journal.clear();
        }
        journal.push(JournalEntry {
            sequence,
            entry_id: row.entry_id,
            message_id: row.message_id,
            chunk: row.chunk,
            kind: row.kind.clone(),
            request_id: row.request_id.clone(),
            made_at,
            data: row.data.clone(),
        });
    }
}
