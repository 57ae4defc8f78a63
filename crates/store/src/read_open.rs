//! The reads of what is not finished. Every statement is put together from constants;
//! values are bound.

use quarry_ports::{
    OPEN_PAGE_BYTES, OpenCursor, OpenMessage, OpenOf, OpenPage, OpenQuery, Position, StoreError,
};
use quarry_types::{Sequence, SlotRange, Timestamp};
use sqlx::FromRow;

use crate::{
    database::{Database, Value, counter, stored},
    fence_sql::ids_of,
    read::cut,
    record::{OpenColumns, position, stored_errors},
    unreadable::{Perhaps, Place, Unreadable},
};

/// The shards of a space that hold rows of a range; nearly always one.
const SHARDS: &str = "select shard from shard_fence \
    where first_slot <= $2 and last_slot >= $1 and shard between $3 and $4 order by shard";

/// The columns of an open row. Only what was tried before can have been edited.
const COPIED: &str = "select p.message_id, p.tenant, p.entity_type, p.entity_id, p.method, p.key, \
    p.payload, p.digest, p.accepted_at, p.sequence, p.ordinal, p.attempts, p.due, p.state, p.errors, p.lost, \
    cast(1 as bigint) as copied, \
    (select m.payload from message m where length(p.errors) > $7 \
        and m.message_id = p.message_id and m.payload <> p.payload) as original \
    from open_message p where p.shard = $1 and p.slot between $2 and $3";
/// Looks for the outcome and the open row one by one: a join would go through all that is retained.
/// What is settled has one of them; the index of positions holds only the others.
const FRESH: &str = "select m.message_id, m.tenant, m.entity_type, m.entity_id, m.method, m.key, \
    m.payload, m.digest, m.accepted_at, m.sequence, m.ordinal, 0, m.accepted_at, 0, \
    cast(null as bytea), 0, 0, cast(null as bytea) \
    from message m where m.shard = $1 and m.slot between $2 and $3 \
    and m.settled = 0 and (m.sequence, m.ordinal) > ($9, $10) \
    and (select 1 from outcome o where o.message_id = m.message_id) is null \
    and (select 1 from open_message q where q.message_id = m.message_id) is null";

/// Only what stands behind a place, in the order of places, and that order.
const BEHIND: (&str, &str) = ("(p.sequence, p.ordinal) > ($4, $5)", "sequence, ordinal");
const BEHIND_DUE: (&str, &str) =
    ("(p.due, p.sequence, p.ordinal) > ($9, $4, $5)", "due, sequence, ordinal");

/// `found` counts what is there up to the limit, `before` the bytes of payloads before a row.
fn statement(of: &OpenOf) -> String {
    let entity = |row: &str| {
        format!(" and {row}.tenant = $11 and {row}.entity_type = $12 and {row}.entity_id = $13")
    };
    let aside = " and p.tenant = $9 and p.entity_type = $10 and p.entity_id = $11";
    let (state, copied, fresh) = match of {
        OpenOf::Waiting => (0, String::new(), Some(String::new())),
        OpenOf::Entity(_) => (0, entity("p"), Some(entity("m"))),
        OpenOf::Delayed => (2, String::new(), None),
        OpenOf::Quarantined(_) => (1, aside.to_owned(), None),
    };
    let (behind, order) = if *of == OpenOf::Delayed { BEHIND_DUE } else { BEHIND };
    let fresh = fresh.map(|of_entity| {
        format!(
            " union all select * from \
            ({FRESH}{of_entity} order by m.sequence, m.ordinal limit $6) b"
        )
    });
    let fresh = fresh.unwrap_or_default();
    format!(
        "select * from (select i.*, cast(count(*) over () as bigint) as found, \
        cast(sum(length(i.payload)) over (order by {order}) as bigint) \
        - length(i.payload) as before \
        from (select * from (select * from ({COPIED} and {behind} and p.state = {state}{copied} \
        order by {order} limit $6) a{fresh}) u \
        order by {order} limit $6) i) w \
        where w.before < $8 order by {order}"
    )
}

/// A row whose place in the order is known even where the rest cannot be read.
#[derive(Debug, FromRow)]
struct OpenRow {
    due: i64,
    sequence: i64,
    ordinal: i64,
    /// Whether it is a row of the open messages, which is found whatever the mark.
    copied: i64,
    found: i64,
    #[sqlx(flatten)]
    open: Perhaps<OpenColumns>,
}

impl OpenRow {
    fn position(&self) -> Position {
        position(self.sequence, self.ordinal)
    }

    fn place(&self, of: &OpenOf) -> OpenCursor {
        let due = if *of == OpenOf::Delayed { Timestamp(self.due) } else { Timestamp(0) };
        OpenCursor { due, position: self.position() }
    }

    fn parse(self, unreadable: &Unreadable) -> Option<OpenMessage> {
        let position = self.position();
        let (message, parsed) = match self.open.0 {
            Ok(open) => {
                let message = open.message_id();
                (Some(message), open.parse(position).map_err(|error| error.to_string()))
            }
            Err(reason) => (None, Err(reason)),
        };
        parsed.inspect_err(|reason| unreadable.tell(Place::Open(message, position), reason)).ok()
    }
}

/// What one read of unfinished messages found.
pub(crate) struct Found {
    pub(crate) page: OpenPage,
    /// The first commit above the mark of which a message cannot be read. No open row stands for
    /// that message, so it is only found again while the mark stays below.
    pub(crate) hold: Option<Sequence>,
}

/// The length of a list of errors without any. Only what was tried before can have been edited.
fn no_errors() -> i64 {
    let length = stored_errors(&[]).map_or(0, |bytes| bytes.len());
    i64::try_from(length).unwrap_or(0)
}

/// The values of a statement for one shard.
fn values(query: &OpenQuery, shard: i64, limit: u32) -> Vec<Value> {
    let range = match &query.of {
        OpenOf::Entity(address) | OpenOf::Quarantined(address) => {
            SlotRange { first: address.slot(), last: address.slot() }
        }
        OpenOf::Waiting | OpenOf::Delayed => query.range,
    };
    let (due, sequence, ordinal) = query.after.map_or((i64::MIN, -1, -1), |after| {
        let position = after.position;
        (after.due.0, stored(position.sequence.0), i64::from(position.ordinal))
    });
    let mark = (stored(query.low_water.0), i64::MAX);
    let mut values = vec![
        Value::Int(shard),
        Value::Int(i64::from(range.first.0)),
        Value::Int(i64::from(range.last.0)),
        Value::Int(sequence),
        Value::Int(ordinal),
        Value::Int(i64::from(limit).saturating_add(1)),
        Value::Int(no_errors()),
        Value::Int(i64::try_from(OPEN_PAGE_BYTES).unwrap_or(i64::MAX)),
    ];
    match query.of {
        OpenOf::Delayed => values.push(Value::Int(due)),
        OpenOf::Waiting | OpenOf::Entity(_) => {
            let (sequence, ordinal) = mark.max((sequence, ordinal));
            values.extend([Value::Int(sequence), Value::Int(ordinal)]);
        }
        OpenOf::Quarantined(_) => {}
    }
    if let OpenOf::Entity(address) | OpenOf::Quarantined(address) = &query.of {
        values.extend([
            Value::Text(address.tenant.to_string()),
            Value::Text(address.entity_type.to_string()),
            Value::Text(address.id.to_string()),
        ]);
    }
    values
}

/// As [`quarry_ports::Store::open_messages`]. A message that cannot be read is told and left out.
pub(crate) async fn open_messages<D: Database>(
    database: &D,
    unreadable: &Unreadable,
    query: &OpenQuery,
    limit: u32,
) -> Result<Found, StoreError> {
    let (lowest, highest) = ids_of(query.space);
    let (first, last) = (i64::from(query.range.first.0), i64::from(query.range.last.0));
    let among = [first, last, lowest, highest].map(Value::Int).into();
    let shards: Vec<(i64,)> = database.fetch(SHARDS.to_owned(), among).await?;
    let (mut rows, mut end): (Vec<OpenRow>, Option<OpenCursor>) = (Vec::new(), None);
    let place = |row: &OpenRow| row.place(&query.of);
    for (shard,) in shards {
        let sql = statement(&query.of);
        let of_shard: Vec<OpenRow> = database.fetch(sql, values(query, shard, limit)).await?;
        let found = of_shard.first().map_or(0, |row| counter(row.found));
        let is_whole = u64::try_from(of_shard.len()).is_ok_and(|length| length >= found);
        if !is_whole {
            let last = of_shard.last().map(place);
            end = end.into_iter().chain(last).min();
        }
        rows.extend(of_shard);
    }
    rows.sort_by_key(place);
    let total = rows.len();
    rows.retain(|row| end.is_none_or(|end| place(row) <= end));
    let is_cut = rows.len() < total || end.is_some();
    let (rows, more) = cut(rows, limit);
    let next = rows.last().map(place).filter(|_| more || is_cut);
    let (mut messages, mut hold) = (Vec::with_capacity(rows.len()), None);
    for row in rows {
        let (sequence, copied) = (row.position().sequence, row.copied != 0);
        match row.parse(unreadable) {
            Some(message) => messages.push(message),
            None if copied => {}
            None => hold = hold.or(Some(sequence)),
        }
    }
    Ok(Found { page: OpenPage { messages, next }, hold })
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Connection as _, SqlSafeStr as _, SqliteConnection};

    use super::*;
    use crate::schema;

    /// How SQLite finds what is neither finished nor copied.
    #[tokio::test]
    async fn what_is_fresh_is_found_by_its_position() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        sqlx::query(schema::CREATE_VERSIONS).execute(&mut connection).await.unwrap();
        for migration in schema::SQLITE {
            let sql = sqlx::raw_sql(migration.sql.into_sql_str());
            sql.execute(&mut connection).await.unwrap();
        }
        let sql = format!("explain query plan {}", statement(&OpenOf::Waiting));
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
        let by = "SEARCH m USING INDEX message_position (shard=? AND (sequence,ordinal)>(?,?))";
        assert!(plan.iter().any(|(.., step)| step == by), "{plan:?}");
    }
}
