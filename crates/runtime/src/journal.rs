//! Entries of journals: what handlers record, and the rows that it becomes.

use bytes::Bytes;
use quarry_core::delivery::{Chunk, ChunkRecord};
use quarry_ports::{JournalRow, Random};
use quarry_types::{
    EntryId, Timestamp,
    planted::{Bug, is_planted},
};
use serde::Deserialize;

/// What is read of an entry.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    request_id: Option<String>,
}

/// The longest kind of an entry, and the longest request id, in bytes.
const LONGEST: usize = 256;

/// Why `entry` cannot be recorded, where it cannot.
pub(crate) fn refusal(entry: &[u8]) -> Option<String> {
    match serde_json::from_slice::<Named>(entry) {
        Ok(Named { kind, request_id }) => {
            let texts = [Some(("type", kind)), request_id.map(|id| ("requestId", id))];
            let long = texts.into_iter().flatten().find(|(_, text)| text.len() > LONGEST);
            long.map(|(name, _)| format!("{name} of an entry is over {LONGEST} bytes"))
        }
        Err(error) => Some(format!("an entry is an object with a text `type`: {error}")),
    }
}

/// The entries among new chunks, in order.
pub(crate) fn rows(chunks: &[ChunkRecord], now: Timestamp, random: &dyn Random) -> Vec<JournalRow> {
    let mut rows = Vec::new();
    for record in chunks {
        for (number, chunk) in (record.first..).zip(&record.chunks) {
            let (data, clears) = match chunk {
                Chunk::Entry { entry, clears } => (entry.clone(), *clears),
                Chunk::Reset { attempt, from, is_entry: true }
                    if !is_planted(Bug::ResetUnrecorded) =>
                {
                    (reset(*attempt, *from), false)
                }
                Chunk::Made(_) | Chunk::Reset { .. } => continue,
            };
            // What is no entry was refused before it became one.
            let Ok(Named { kind, request_id }) = serde_json::from_slice(&data) else { continue };
            let address = record.address.clone();
            rows.push(JournalRow {
                entry_id: EntryId::new(now, address.slot(), random.next_u64()),
                message_id: record.message_id,
                chunk: number,
                kind,
                request_id: request_id.unwrap_or_else(|| address.id.to_string()),
                address,
                data,
                clears,
            });
        }
    }
    rows
}

/// The entry of a reset: `from` is the number of a chunk.
fn reset(attempt: u32, from: u64) -> Bytes {
    serde_json::json!({ "type": "reset", "attempt": attempt, "from": from }).to_string().into()
}

#[cfg(test)]
mod tests {
    use quarry_types::{Address, MessageId, Tenant};

    use super::*;

    #[test]
    fn what_is_no_entry_is_refused() {
        assert_eq!(refusal(br#"{"type":"started","x":1}"#), None);
        assert_eq!(refusal(br#"{"type":"started","requestId":"r"}"#), None);
        for bad in ["5", "[]", "{}", r#"{"type":5}"#, r#"{"type":"a","requestId":1}"#] {
            assert!(refusal(bad.as_bytes()).unwrap().contains("text `type`"), "{bad}");
        }
        let long = format!(r#"{{"type":"{}"}}"#, "x".repeat(300));
        assert!(refusal(long.as_bytes()).unwrap().contains("over 256 bytes"));
    }

    #[test]
    fn entries_and_their_resets_become_rows_and_other_chunks_do_not() {
        let address = Address::parse(Tenant::default_tenant(), "Counter/c").unwrap();
        let message_id = MessageId::new(Timestamp(1), address.slot(), 1);
        let entry = |text: &'static str, clears| Chunk::Entry {
            entry: Bytes::from_static(text.as_bytes()),
            clears,
        };
        let chunks = vec![
            Chunk::Made(Bytes::from_static(b"1")),
            entry(r#"{"type":"a"}"#, false),
            Chunk::Reset { attempt: 2, from: 5, is_entry: false },
            Chunk::Reset { attempt: 3, from: 4, is_entry: true },
            entry(r#"{"type":"b","requestId":"r"}"#, true),
        ];
        let record = ChunkRecord { message_id, address, first: 3, chunks };
        let rows = rows(&[record], Timestamp(9), &*quarry_ports::Host::system().random);
        let seen: Vec<_> = rows
            .iter()
            .map(|row| (row.chunk, row.kind.as_str(), row.request_id.as_str(), row.clears))
            .collect();
        let wanted = [(4, "a", "c", false), (6, "reset", "c", false), (7, "b", "r", true)];
        assert_eq!(seen, wanted);
        assert_eq!(rows[1].data, r#"{"attempt":3,"from":4,"type":"reset"}"#);
    }
}
