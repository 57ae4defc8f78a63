//! Reads of reply chunks. Every statement is put together from constants; values are bound.

use std::collections::BTreeMap;

use quarry_ports::{ChunkBody, StoreError, StoredChunk, codec};
use quarry_types::{MessageId, Timestamp};
use uuid::Uuid;

use crate::{
    database::{Database, Value, counter, stored},
    record,
    unreadable::{Place, Unreadable},
};

/// How many messages one statement asks for.
const ASKED: usize = 64;
/// The most chunks that one row can hold: none is encoded in less than a byte.
const MOST_CHUNKS: usize = codec::MAX_BODY;

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

/// As [`quarry_ports::Store::chunks_of`]. Chunks that cannot be read keep their numbers, as resets:
/// from the first of them on nothing counts any more.
pub(crate) async fn chunks_of<D: Database>(
    database: &D,
    unreadable: &Unreadable,
    messages: &[MessageId],
) -> Result<Vec<Vec<ChunkBody>>, StoreError> {
    let mut found: BTreeMap<[u8; 16], Vec<ChunkBody>> = BTreeMap::new();
    for asked in messages.chunks(ASKED) {
        let marks: Vec<String> = (1..=asked.len()).map(|number| format!("${number}")).collect();
        let sql = format!(
            "select message_id, first, count, body from chunk where message_id in ({}) \
             order by message_id, first",
            marks.join(",")
        );
        let rows: Vec<(Uuid, i64, i64, Vec<u8>)> =
            database.fetch(sql, asked.iter().map(|asked| id(*asked)).collect()).await?;
        for (message_id, first, count, body) in rows {
            let message_id = message_id.into_bytes();
            let chunks = record::chunks(&body).unwrap_or_else(|error| {
                let place = Place::Chunks(MessageId::from_bytes(message_id), first);
                unreadable.tell(place, &error.to_string());
                resets(counter(first), counter(count))
            });
            found.entry(message_id).or_default().extend(chunks);
        }
    }
    Ok(messages.iter().map(|asked| found.remove(&asked.to_bytes()).unwrap_or_default()).collect())
}

fn resets(first: u64, count: u64) -> Vec<ChunkBody> {
    let reset = ChunkBody::Reset { attempt: 0, from: first };
    vec![reset; usize::try_from(count).unwrap_or(0).min(MOST_CHUNKS)]
}
