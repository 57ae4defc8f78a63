//! Reads of reply chunks, a page at a time. Every statement is put together from constants; values are
//! bound.

use std::collections::BTreeMap;

use quarry_ports::{CHUNK_PAGE_BYTES, ChunkBody, StoreError, StoredChunk, codec};
use quarry_types::{MessageId, Timestamp};
use sqlx::FromRow;
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

/// The rows that hold the numbers from $2 up to $3, the first of them found by its number. `before`
/// counts the bytes before a row: behind so many, what follows is left to the next page, and its body
/// is not read.
const PAGE: &str = "select p.first, p.count, p.made_at, \
    (select c.body from chunk c where c.message_id = $1 and c.first = p.first) as body from (\
        select r.first, r.count, r.made_at, \
        cast(sum(length(r.body)) over (order by r.first) as bigint) - length(r.body) as before \
        from chunk r where r.message_id = $1 and r.first < $3 and r.first >= coalesce(\
            (select b.first from chunk b where b.message_id = $1 and b.first <= $2 \
            order by b.first desc limit 1), 0)\
    ) p where p.before < $4 and p.first + p.count > $2 order by p.first";

/// A row of the table.
#[derive(Debug, FromRow)]
struct Columns {
    first: i64,
    count: i64,
    made_at: i64,
    body: Vec<u8>,
}

fn id(message_id: MessageId) -> Value {
    Value::Id(Uuid::from_bytes(message_id.to_bytes()))
}

/// The chunks of `row` that `page`, a number and a count, asks for, by number.
fn wanted(
    row: &Columns,
    chunks: Vec<ChunkBody>,
    (from, limit): (u64, u32),
) -> impl Iterator<Item = (u64, ChunkBody)> {
    let end = from.saturating_add(u64::from(limit));
    (counter(row.first)..).zip(chunks).filter(move |(number, _)| (from..end).contains(number))
}

async fn rows<D: Database>(
    database: &D,
    message_id: MessageId,
    (from, limit): (u64, u32),
) -> Result<Vec<Columns>, StoreError> {
    let values = vec![
        id(message_id),
        Value::Int(stored(from)),
        Value::Int(stored(from.saturating_add(u64::from(limit)))),
        Value::Int(i64::try_from(CHUNK_PAGE_BYTES).unwrap_or(i64::MAX)),
    ];
    database.fetch(PAGE.to_owned(), values).await
}

/// As [`quarry_ports::Store::chunks`].
pub(crate) async fn chunks<D: Database>(
    database: &D,
    message_id: MessageId,
    page: (u64, u32),
) -> Result<Vec<StoredChunk>, StoreError> {
    let mut chunks = Vec::new();
    for row in rows(database, message_id, page).await? {
        let made_at = Timestamp(row.made_at);
        let wanted = wanted(&row, record::chunks(&row.body)?, page);
        chunks.extend(wanted.map(|(sequence, body)| StoredChunk { sequence, made_at, body }));
    }
    Ok(chunks)
}

/// As [`quarry_ports::Store::chunk_bodies`].
pub(crate) async fn bodies<D: Database>(
    database: &D,
    unreadable: &Unreadable,
    message_id: MessageId,
    page: (u64, u32),
) -> Result<Vec<ChunkBody>, StoreError> {
    let mut bodies = Vec::new();
    for row in rows(database, message_id, page).await? {
        let chunks = record::chunks(&row.body).unwrap_or_else(|error| {
            unreadable.tell(Place::Chunks(message_id, row.first), &error.to_string());
            resets(counter(row.first), counter(row.count))
        });
        bodies.extend(wanted(&row, chunks, page).map(|(_, body)| body));
    }
    Ok(bodies)
}

fn resets(first: u64, count: u64) -> Vec<ChunkBody> {
    let reset = ChunkBody::Reset { attempt: 0, from: first };
    vec![reset; usize::try_from(count).unwrap_or(0).min(MOST_CHUNKS)]
}

/// Asks for the ends of so many streams. Both databases call the column of a list so.
fn counting(asked: usize) -> String {
    let marks: Vec<String> = (1..=asked).map(|number| format!("(${number})")).collect();
    format!(
        "select a.column1, coalesce((select c.first + c.count from chunk c \
         where c.message_id = a.column1 order by c.first desc limit 1), 0) \
         from (values {}) a",
        marks.join(",")
    )
}

/// As [`quarry_ports::Store::chunk_counts`]. The last row of a message says how many chunks it has.
pub(crate) async fn counts<D: Database>(
    database: &D,
    messages: &[MessageId],
) -> Result<Vec<u64>, StoreError> {
    let mut found: BTreeMap<[u8; 16], u64> = BTreeMap::new();
    for asked in messages.chunks(ASKED) {
        let values = asked.iter().map(|asked| id(*asked)).collect();
        let rows: Vec<(Uuid, i64)> = database.fetch(counting(asked.len()), values).await?;
        found.extend(rows.into_iter().map(|(id, count)| (id.into_bytes(), counter(count))));
    }
    Ok(messages.iter().map(|asked| found.get(&asked.to_bytes()).copied().unwrap_or(0)).collect())
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Connection as _, SqlSafeStr as _, SqliteConnection};

    use super::*;
    use crate::schema;

    /// How SQLite finds rows of chunks: by message and number, never by going through a stream.
    #[tokio::test]
    async fn chunks_are_found_by_their_numbers() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        sqlx::query(schema::CREATE_VERSIONS).execute(&mut connection).await.unwrap();
        for migration in schema::SQLITE {
            let sql = sqlx::raw_sql(migration.sql.into_sql_str());
            sql.execute(&mut connection).await.unwrap();
        }
        let mut plans = Vec::new();
        for sql in [PAGE.to_owned(), counting(2)] {
            let sql = format!("explain query plan {sql}");
            let plan: Vec<(i64, i64, i64, String)> =
                sqlx::query_as(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
            let steps = plan.into_iter().map(|(.., step)| step);
            plans.push(steps.filter(|step| step.contains("PRIMARY KEY")).collect::<Vec<_>>());
        }
        let by_key = |table: &str, bounds: &str| {
            format!("SEARCH {table} USING PRIMARY KEY (message_id=?{bounds})")
        };
        let page = [
            by_key("r", " AND first>? AND first<?"),
            by_key("b", " AND first<?"),
            by_key("c", " AND first=?"),
        ];
        assert_eq!(plans, [page.to_vec(), vec![by_key("c", "")]]);
    }
}
