//! The read of an outbox. Every statement is put together from constants; values are bound.

use quarry_ports::{OpenSend, Position, SEND_PAGE_BYTES, SendPage, StoreError};
use quarry_types::{Sequence, SlotRange, Space};
use sqlx::FromRow;

use crate::{
    database::{Database, Value, counter, stored},
    fence_sql::ids_of,
    read::cut,
    record::SendColumns,
    unreadable::{Perhaps, Place, Unreadable},
};

/// `found` counts what is there up to the limit, `before` the bytes of payloads before a row.
const OPEN_SENDS: &str = "select * from (\
    select i.*, cast(count(*) over () as bigint) as found, \
    cast(sum(length(i.payload)) over (order by i.sequence, i.ordinal) as bigint) \
    - length(i.payload) as before \
    from (select o.message_id, o.place, o.tenant, o.sender_type, o.sender_id, o.send_id, \
    o.entity_type, o.entity_id, o.method, o.payload, o.due, o.made_at, o.sequence, o.ordinal \
    from outbox o \
    where o.shard in (select f.shard from shard_fence f \
    where f.first_slot <= $2 and f.last_slot >= $1 and f.shard between $7 and $8) \
    and o.slot between $1 and $2 and o.state = 0 and (o.sequence, o.ordinal) > ($3, $4) \
    order by o.sequence, o.ordinal limit $5) i\
    ) w where w.before < $6 order by w.sequence, w.ordinal";

/// A row whose place in the order is known even where the rest cannot be read.
#[derive(Debug, FromRow)]
struct SendRow {
    sequence: i64,
    ordinal: i64,
    found: i64,
    #[sqlx(flatten)]
    send: Perhaps<SendColumns>,
}

impl SendRow {
    fn position(&self) -> Position {
        Position {
            sequence: Sequence(counter(self.sequence)),
            ordinal: u32::try_from(self.ordinal).unwrap_or(u32::MAX),
        }
    }

    fn parse(self, unreadable: &Unreadable) -> Option<OpenSend> {
        let position = self.position();
        let parsed = self.send.0.and_then(|send| {
            let parsed = send.parse(position);
            parsed.map_err(|error| error.to_string())
        });
        parsed.inspect_err(|reason| unreadable.tell(Place::Send(position), reason)).ok()
    }
}

/// As [`quarry_ports::Store::open_sends`]. A send that cannot be read is told and left out.
pub(crate) async fn open_sends<D: Database>(
    database: &D,
    unreadable: &Unreadable,
    (space, range): (Space, SlotRange),
    after: Option<Position>,
    limit: u32,
) -> Result<SendPage, StoreError> {
    let (least, most) = ids_of(space);
    let (sequence, ordinal) = after
        .map_or((-1, -1), |position| (stored(position.sequence.0), i64::from(position.ordinal)));
    let values = vec![
        Value::Int(i64::from(range.first.0)),
        Value::Int(i64::from(range.last.0)),
        Value::Int(sequence),
        Value::Int(ordinal),
        Value::Int(i64::from(limit).saturating_add(1)),
        Value::Int(i64::try_from(SEND_PAGE_BYTES).unwrap_or(i64::MAX)),
        Value::Int(least),
        Value::Int(most),
    ];
    let rows: Vec<SendRow> = database.fetch(OPEN_SENDS.to_owned(), values).await?;
    let found = rows.first().map_or(0, |row| counter(row.found));
    let is_whole = u64::try_from(rows.len()).is_ok_and(|length| length >= found);
    let (rows, more) = cut(rows, limit);
    let next = rows.last().map(SendRow::position).filter(|_| more || !is_whole);
    let sends = rows.into_iter().filter_map(|row| row.parse(unreadable)).collect();
    Ok(SendPage { sends, next })
}
