//! Journals in memory.

use quarry_ports::{Commit, JournalEntry, JournalRow};
use quarry_types::{Address, Timestamp};

use super::tables::Tables;

/// An entry that a commit appended: its journal, and its number there.
pub type Entered = (Address, u64);

impl Tables {
    /// Appends the entries of a commit; which.
    pub(super) fn enter_all(&mut self, commit: &Commit) -> Vec<Entered> {
        let mut entered = Vec::new();
        for (at, row) in commit.journal.iter().enumerate() {
            let mut behind = commit.journal.iter().skip(at + 1);
            if !behind.any(|later| later.clears && later.address == row.address) {
                entered.push((row.address.clone(), self.enter(row, commit.now)));
            }
        }
        entered
    }

    /// Appends an entry to its journal (J1); its number.
    fn enter(&mut self, row: &JournalRow, made_at: Timestamp) -> u64 {
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
        sequence
    }
}
