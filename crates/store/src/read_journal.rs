//! Reads of journals. Values are bound.

use bytes::Bytes;
use quarry_ports::{JournalEntry, JournalQuery, StoreError};
use quarry_types::{EntryId, MessageId, Timestamp};
use uuid::Uuid;

use crate::database::{Database, Value, counter, stored};

/// A row of the table.
#[derive(Debug, sqlx::FromRow)]
struct Columns {
    sequence: i64,
    entry_id: Uuid,
    message_id: Uuid,
    chunk: i64,
    kind: String,
    request_id: String,
    made_at: i64,
    data: Vec<u8>,
}

impl From<Columns> for JournalEntry {
    fn from(row: Columns) -> Self {
        Self {
            sequence: counter(row.sequence),
            entry_id: EntryId::from_bytes(row.entry_id.into_bytes()),
            message_id: MessageId::from_bytes(row.message_id.into_bytes()),
            chunk: counter(row.chunk),
            kind: row.kind,
            request_id: row.request_id,
            made_at: Timestamp(row.made_at),
            data: Bytes::from(row.data),
        }
    }
}

const ENTRIES: &str = "select sequence, entry_id, message_id, chunk, kind, request_id, made_at, data \
    from journal where tenant = $1 and entity_type = $2 and entity_id = $3 and sequence > $4 \
    and (cast($5 as text) is null or kind = $5) \
    and (cast($6 as text) is null or request_id = $6) order by sequence limit $7";

/// As [`quarry_ports::Store::journal`].
pub(crate) async fn journal<D: Database>(
    database: &D,
    query: &JournalQuery,
    limit: u32,
) -> Result<Vec<JournalEntry>, StoreError> {
    let text = |text: &str| Value::Text(text.to_owned());
    let wanted = |text: &Option<String>| text.clone().map_or(Value::NoText, Value::Text);
    let address = &query.address;
    let values = vec![
        text(address.tenant.as_str()),
        text(address.entity_type.as_str()),
        text(address.id.as_str()),
        Value::Int(stored(query.after)),
        wanted(&query.kind),
        wanted(&query.request_id),
        Value::Int(i64::from(limit)),
    ];
    let rows: Vec<Columns> = database.fetch(ENTRIES.to_owned(), values).await?;
    Ok(rows.into_iter().map(JournalEntry::from).collect())
}
