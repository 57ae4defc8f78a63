//! The outbox of the in-memory store.

use quarry_ports::{Commit, OpenSend, Position, SEND_PAGE_BYTES, SendKey, SendPage, SendRow};
use quarry_types::{Sequence, SlotRange};

use super::tables::Tables;

/// A stored send.
#[derive(Clone, Debug)]
pub(super) struct StoredSend {
    position: Position,
    row: SendRow,
    is_stuck: bool,
}

impl Tables {
    pub(super) fn check_sends(&self, commit: &Commit, range: SlotRange) -> Result<(), String> {
        let keys = commit.sends.iter().map(|row| &row.key);
        let keys = keys.chain(&commit.sent).chain(commit.stuck.iter().map(|stuck| &stuck.key));
        for SendKey { message_id, index } in keys {
            if !range.contains(message_id.slot()) {
                return Err(format!("send {index} of {message_id} is not of the shard's slots"));
            }
        }
        for (at, row) in commit.sends.iter().enumerate() {
            let of = format!("send {} of {}", row.key.index, row.key.message_id);
            let is_twice = commit.sends.iter().take(at).any(|other| other.key == row.key);
            if is_twice || self.sends.contains_key(&row.key) {
                return Err(format!("{of} is there already"));
            }
            if row.sender.slot() != row.key.message_id.slot() {
                return Err(format!("{of} is not of {}", row.sender));
            }
            if row.send_id.slot() != row.address.slot() || row.sender.tenant != row.address.tenant {
                return Err(format!("{of} cannot be to {}", row.address));
            }
        }
        Ok(())
    }

    pub(super) fn apply_sends(&mut self, commit: &Commit, sequence: Sequence) {
        for (ordinal, row) in (0_u32..).zip(&commit.sends) {
            let position = Position { sequence, ordinal };
            let stored = StoredSend { position, row: row.clone(), is_stuck: false };
            self.sends.insert(row.key, stored);
        }
        for key in &commit.sent {
            self.sends.remove(key);
        }
        for stuck in &commit.stuck {
            if let Some(stored) = self.sends.get_mut(&stuck.key) {
                stored.is_stuck = true;
            }
        }
    }

    /// A page of what is open of `range`.
    pub(super) fn open_sends(
        &self,
        range: SlotRange,
        after: Option<Position>,
        limit: usize,
    ) -> SendPage {
        let mut open: Vec<OpenSend> = self
            .sends
            .values()
            .filter(|stored| !stored.is_stuck && range.contains(stored.row.sender.slot()))
            .filter(|stored| after.is_none_or(|after| stored.position > after))
            .map(|stored| OpenSend { row: stored.row.clone(), position: stored.position })
            .collect();
        open.sort_by_key(|open| open.position);
        let mut bytes = 0;
        let fits = |open: &&OpenSend| {
            let before = bytes;
            bytes += open.row.payload.len();
            before < SEND_PAGE_BYTES
        };
        let sends: Vec<OpenSend> = open.iter().take(limit).take_while(fits).cloned().collect();
        let is_whole = sends.len() == open.len();
        let next = sends.last().map(|last| last.position).filter(|_| !is_whole);
        SendPage { sends, next }
    }
}
