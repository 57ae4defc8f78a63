//! The read of a takeover: what is not finished. Every statement is put together from constants;
//! values are bound.

use quarry_ports::{OpenCursor, OpenMessage, OpenPage, Position, StoreError};
use quarry_types::{Sequence, SlotRange};
use sqlx::FromRow;

use crate::{
    database::{Database, Value, stored},
    read::cut,
    record::{OpenColumns, position, stored_errors},
    unreadable::{Perhaps, Place, Unreadable},
};

const OPEN_MESSAGES: &str = "select * from (\
    select p.message_id, p.tenant, p.entity_type, p.entity_id, p.method, p.key, p.payload, \
    p.digest, p.accepted_at, p.sequence, p.ordinal, p.attempts, p.due, p.state, p.errors, \
    cast(1 as bigint) as copied, \
    (select m.payload from message m where length(p.errors) > $7 \
        and m.message_id = p.message_id and m.payload <> p.payload) as original \
    from open_message p \
    where p.shard in (select f.shard from shard_fence f where f.first_slot <= $2 and f.last_slot >= $1) \
    and p.slot between $1 and $2 and p.state <> 1 and (p.sequence, p.ordinal) > ($4, $5) \
    union all \
    select m.message_id, m.tenant, m.entity_type, m.entity_id, m.method, m.key, m.payload, \
    m.digest, m.accepted_at, m.sequence, m.ordinal, 0, m.accepted_at, 0, null, 0, null \
    from message m \
    where m.shard in (select f.shard from shard_fence f where f.first_slot <= $2 and f.last_slot >= $1) \
    and m.slot between $1 and $2 and m.sequence > $3 and (m.sequence, m.ordinal) > ($4, $5) \
    and not exists (select 1 from outcome o where o.message_id = m.message_id) \
    and not exists (select 1 from open_message q where q.message_id = m.message_id)\
    ) u order by sequence, ordinal, message_id limit $6";

/// A row whose place in the order is known even where the rest cannot be read.
#[derive(Debug, FromRow)]
struct OpenRow {
    sequence: i64,
    ordinal: i64,
    /// Whether it is a row of the open messages, which is found whatever the mark.
    copied: i64,
    #[sqlx(flatten)]
    open: Perhaps<OpenColumns>,
}

impl OpenRow {
    fn position(&self) -> Position {
        position(self.sequence, self.ordinal)
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

/// As [`quarry_ports::Store::open_messages`]. A message that cannot be read is told and left out.
pub(crate) async fn open_messages<D: Database>(
    database: &D,
    unreadable: &Unreadable,
    range: SlotRange,
    low_water: Sequence,
    after: Option<OpenCursor>,
    limit: u32,
) -> Result<Found, StoreError> {
    let (sequence, ordinal) = after
        .map_or((-1, -1), |position| (stored(position.sequence.0), i64::from(position.ordinal)));
    let values = vec![
        Value::Int(i64::from(range.first.0)),
        Value::Int(i64::from(range.last.0)),
        Value::Int(stored(low_water.0)),
        Value::Int(sequence),
        Value::Int(ordinal),
        Value::Int(i64::from(limit).saturating_add(1)),
        Value::Int(no_errors()),
    ];
    let rows: Vec<OpenRow> = database.fetch(OPEN_MESSAGES.to_owned(), values).await?;
    let (rows, more) = cut(rows, limit);
    let next = rows.last().map(OpenRow::position).filter(|_| more);
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
