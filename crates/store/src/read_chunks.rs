//! Reads of reply chunks. Every statement is put together from constants; values are bound.

use std::collections::BTreeMap;

use quarry_ports::{ChunkBody, StoreError, StoredChunk};
use quarry_types::{MessageId, Timestamp};
use uuid::Uuid;

use crate::{
    database::{Database, Value, counter, stored},
    record,
};

/// How many messages one statement asks for.
const ASKED: usize = 64;

fn id(message_id: MessageId) -> Value {
    Value::Id(Uuid::from_bytes(message_id.to_bytes()))
}

pub(crate) async fn chunks<D: Database>(
    database: &D,
    message_id: MessageId,
    from: u64,
    limit: u32,
) -> Result<Vec<StoredChunk>, StoreError> {
    let sql = "select first, made_at, body from chunk where message_id = $1 and first + count > $2 \
        order by first limit $3";
    let values = vec![id(message_id), Value::Int(stored(from)), Value::Int(i64::from(limit))];
    let rows: Vec<(i64, i64, Vec<u8>)> = database.fetch(sql.to_owned(), values).await?;
    let mut chunks = Vec::new();
    for (first, made_at, body) in rows {
        let numbered = (counter(first)..).zip(record::chunks(&body)?);
        let wanted = numbered.filter(|(sequence, _)| *sequence >= from);
        let made_at = Timestamp(made_at);
        chunks.extend(wanted.map(|(sequence, body)| StoredChunk { sequence, made_at, body }));
    }
    chunks.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(chunks)
}

pub(crate) async fn chunks_of<D: Database>(
    database: &D,
    messages: &[MessageId],
) -> Result<Vec<Vec<ChunkBody>>, StoreError> {
    let mut found: BTreeMap<[u8; 16], Vec<ChunkBody>> = BTreeMap::new();
    for asked in messages.chunks(ASKED) {
        let marks: Vec<String> = (1..=asked.len()).map(|number| format!("${number}")).collect();
        let sql = format!(
            "select message_id, body from chunk where message_id in ({}) order by message_id, first",
            marks.join(",")
        );
        let rows: Vec<(Uuid, Vec<u8>)> =
            database.fetch(sql, asked.iter().map(|asked| id(*asked)).collect()).await?;
        for (message_id, body) in rows {
            found.entry(message_id.into_bytes()).or_default().extend(record::chunks(&body)?);
        }
    }
    Ok(messages.iter().map(|asked| found.remove(&asked.to_bytes()).unwrap_or_default()).collect())
}
