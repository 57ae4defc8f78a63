//! A batch as one IMMEDIATE transaction.

use std::collections::BTreeSet;

use quarry_ports::{Host, MessageRow, Position, crash::point};
use quarry_types::{Epoch, MessageId, ShardId};
use uuid::Uuid;

use crate::{
    check::CHUNK_GAP,
    database::{Refused, Value, WriteError, counter, stored},
    group::{Batch, Chunks, Of, Opened, Part},
    record::{stored_digest, stored_open_state, stored_outcome},
};

use super::{
    insert::Rows,
    journal, sends, statements,
    writer::{Turn, WRITE_FAILED, Writer, code, primary_code, reason},
};

/// Writes the parts whose fence stands and whose sequence is the next (L3); the rows of a part go
/// only with it.
const PARTS: Rows = Rows {
    head: "insert into shard_commit (shard, sequence, epoch, low_water, now_ms, void) \
        select p.column1, p.column2, p.column3, p.column4, p.column5, 0 from (values ",
    row: "(?,?,?,?,?)",
    tail: ") p \
        join shard_fence f on f.shard = p.column1 and f.epoch = p.column3 \
        join shard_commit c on c.shard = p.column1 and c.sequence = p.column2 - 1 \
        where true on conflict (shard, sequence) do nothing returning shard",
};
const MESSAGES: Rows = Rows {
    head: "insert into message (shard, sequence, ordinal, message_id, tenant, slot, entity_type, \
        entity_id, method, key, payload, digest, accepted_at) values ",
    row: "(?,?,?,?,?,?,?,?,?,?,?,?,?)",
    tail: "",
};
const OUTCOMES: Rows = Rows {
    head: "insert into outcome (message_id, tenant, shard, sequence, slot, kind, body, attempts, \
        finished_at, keep_until) values ",
    row: "(?,coalesce(?,(select m.tenant from message m where m.message_id = ?)),?,?,?,?,?,?,?,?)",
    tail: "",
};
const OPEN: Rows = Rows {
    head: "insert into open_message (shard, sequence, ordinal, message_id, tenant, slot, \
        entity_type, entity_id, method, key, payload, digest, accepted_at, attempts, due, state, \
        errors) values ",
    row: "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    tail: " on conflict (message_id) do update set shard = excluded.shard, \
        sequence = excluded.sequence, ordinal = excluded.ordinal, payload = excluded.payload, \
        attempts = excluded.attempts, due = excluded.due, state = excluded.state, \
        errors = excluded.errors",
};
/// A gap before a chunk makes its number null, which the column refuses (R1).
const CHUNKS: Rows = Rows {
    head: "insert into chunk (message_id, first, count, shard, tenant, slot, made_at, body) values ",
    row: "(?,case when ? = 0 or ? = coalesce((select c.first + c.count from chunk c \
        where c.message_id = ? order by c.first desc limit 1), 0) then ? end,?,?,?,?,?,?)",
    tail: "",
};
const CLOSED: Rows =
    Rows { head: "delete from open_message where message_id in (", row: "?", tail: ")" };
const EMPTIED: Rows =
    Rows { head: "update message set payload = x'' where message_id in (", row: "?", tail: ")" };
const UNCHUNKED: Rows =
    Rows { head: "delete from chunk where message_id in (", row: "?", tail: ")" };
const STATES: Rows = Rows {
    head: "insert into entity_state (tenant, entity_type, entity_id, slot, sequence, updated_at, \
        state) values ",
    row: "(?,?,?,?,?,?,?)",
    tail: " on conflict (tenant, entity_type, entity_id) do update set \
        sequence = excluded.sequence, updated_at = excluded.updated_at, state = excluded.state",
};
const DELETED: Rows = Rows {
    head: "delete from entity_state where (tenant, entity_type, entity_id) in (values ",
    row: "(?,?,?)",
    tail: ")",
};

/// Writes `batch`; see [`crate::database::Database::write`].
pub(super) async fn write(
    writer: &Writer,
    host: &Host,
    batch: &Batch<'_>,
) -> Result<Vec<Refused>, WriteError> {
    point("commit-before-send");
    let mut turn = match writer.begin(host).await {
        Ok(turn) => turn,
        Err(error) => return Err(WriteError::Unavailable(reason(&error))),
    };
    // The wait for the lock may have been long (L2).
    if !batch.leases_are_held() {
        turn.rollback().await;
        return Err(WriteError::LeaseOver);
    }
    let refused = match insert(&mut turn, batch).await {
        Ok(refused) => refused,
        Err(error) => {
            turn.rollback().await;
            return Err(inside(&error));
        }
    };
    if refused.is_empty()
        && let Err(error) = statements::run(&mut turn, batch.statements).await
    {
        turn.rollback().await;
        return Err(error);
    }
    point("commit-inside");
    match turn.commit().await {
        Ok(()) => Ok(refused),
        Err(error) => Err(at_commit(&error)),
    }
}

async fn insert(turn: &mut Turn<'_>, batch: &Batch<'_>) -> Result<Vec<Refused>, sqlx::Error> {
    let written = PARTS.returning(turn, batch.parts.iter().map(part_values).collect()).await?;
    let written: BTreeSet<i64> = written.into_iter().collect();
    let stands = |part: &Part| written.contains(&i64::from(part.shard.0));
    let refused: Vec<ShardId> =
        batch.parts.iter().filter(|part| !stands(part)).map(|part| part.shard).collect();
    let rows = values(&batch.messages, stands, |part, (ordinal, row)| {
        let position = Position { sequence: part.sequence, ordinal: *ordinal };
        message_values(part, position, row)
    });
    MESSAGES.execute(turn, rows).await?;
    let rows = values(&batch.outcomes, stands, |part, (tenant, row)| {
        let (kind, body) = stored_outcome(&row.outcome);
        vec![
            id(row.message_id),
            tenant.map_or(Value::NoText, |tenant| text(tenant.as_str())),
            id(row.message_id),
            Value::Int(i64::from(part.shard.0)),
            Value::Int(stored(part.sequence.0)),
            Value::Int(i64::from(row.message_id.slot().0)),
            Value::Int(kind),
            Value::Bytes(body),
            Value::Int(i64::from(row.attempts)),
            Value::Int(row.finished_at.0),
            Value::Int(stored(row.keep_until.0)),
        ]
    });
    OUTCOMES.execute(turn, rows).await?;
    let rows = values(&batch.open, stands, |part, Opened { position, row, errors }| {
        let mut values = message_values(part, *position, &row.message);
        values.push(Value::Int(i64::from(row.attempts)));
        values.push(Value::Int(row.due.0));
        values.push(Value::Int(stored_open_state(row.state)));
        values.push(Value::Bytes(errors.to_vec()));
        values
    });
    OPEN.execute(turn, rows).await?;
    CLOSED.execute(turn, values(&batch.closed, stands, |_, row| vec![id(*row)])).await?;
    CHUNKS
        .execute(turn, values(&batch.chunks, stands, |part, row| chunk_values(part, row)))
        .await?;
    journal::write(turn, &batch.journal, stands).await?;
    let rows = values(&batch.states, stands, |part, (address, state)| {
        vec![
            text(address.tenant.as_str()),
            text(address.entity_type.as_str()),
            text(address.id.as_str()),
            Value::Int(i64::from(address.slot().0)),
            Value::Int(stored(part.sequence.0)),
            Value::Int(part.now.0),
            Value::Bytes(state.to_vec()),
        ]
    });
    STATES.execute(turn, rows).await?;
    sends::write(turn, batch, stands).await?;
    for rows in [EMPTIED, UNCHUNKED] {
        let discarded = values(&batch.discarded, stands, |_, discarded| vec![id(*discarded)]);
        rows.execute(turn, discarded).await?;
    }
    let rows = values(&batch.deleted, stands, |_, address| {
        vec![
            text(address.tenant.as_str()),
            text(address.entity_type.as_str()),
            text(address.id.as_str()),
        ]
    });
    DELETED.execute(turn, rows).await?;
    recorded(turn, refused).await
}

/// The epochs that stand for refused shards.
async fn recorded(turn: &mut Turn<'_>, shards: Vec<ShardId>) -> Result<Vec<Refused>, sqlx::Error> {
    let mut refused = Vec::with_capacity(shards.len());
    for shard in shards {
        let epoch: Option<i64> =
            sqlx::query_scalar("select epoch from shard_fence where shard = $1")
                .bind(i64::from(shard.0))
                .fetch_optional(turn.connection()?)
                .await?;
        let recorded = Epoch(counter(epoch.unwrap_or(0)));
        refused.push(Refused { shard, recorded });
    }
    Ok(refused)
}

/// The values of the rows whose part stands.
pub(super) fn values<T>(
    rows: &[Of<T>],
    stands: impl Fn(&Part) -> bool,
    mut row_values: impl FnMut(&Part, &T) -> Vec<Value>,
) -> Vec<Vec<Value>> {
    let standing = rows.iter().filter(|row| stands(&row.part));
    standing.map(|row| row_values(&row.part, &row.row)).collect()
}

fn part_values(part: &Part) -> Vec<Value> {
    vec![
        Value::Int(i64::from(part.shard.0)),
        Value::Int(stored(part.sequence.0)),
        Value::Int(stored(part.epoch.0)),
        Value::Int(stored(part.low_water.0)),
        Value::Int(part.now.0),
    ]
}

fn message_values(part: &Part, position: Position, row: &MessageRow) -> Vec<Value> {
    let address = &row.address;
    vec![
        Value::Int(i64::from(part.shard.0)),
        Value::Int(stored(position.sequence.0)),
        Value::Int(i64::from(position.ordinal)),
        id(row.message_id),
        text(address.tenant.as_str()),
        Value::Int(i64::from(address.slot().0)),
        text(address.entity_type.as_str()),
        text(address.id.as_str()),
        text(row.method.as_str()),
        text(row.key.as_str()),
        Value::Bytes(row.payload.to_vec()),
        stored_digest(row).map_or(Value::NoBytes, Value::Bytes),
        Value::Int(row.accepted_at.0),
    ]
}

fn chunk_values(part: &Part, chunks: &Chunks<'_>) -> Vec<Value> {
    let row = chunks.row;
    vec![
        id(row.message_id),
        Value::Int(i64::from(chunks.leads)),
        Value::Int(stored(row.first)),
        id(row.message_id),
        Value::Int(stored(row.first)),
        Value::Int(stored(chunks.count())),
        Value::Int(i64::from(part.shard.0)),
        text(row.address.tenant.as_str()),
        Value::Int(i64::from(row.message_id.slot().0)),
        Value::Int(part.now.0),
        Value::Bytes(chunks.body.to_vec()),
    ]
}

pub(super) fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

pub(super) fn id(message_id: MessageId) -> Value {
    Value::Id(Uuid::from_bytes(message_id.to_bytes()))
}

/// Result codes that a commit's own rows cause: too large, a broken rule, a value of a wrong type.
const OWN: [i32; 3] = [18, 19, 20];

/// What an error before the commit means: nothing was written.
fn inside(error: &sqlx::Error) -> WriteError {
    let own = primary_code(error).is_some_and(|code| OWN.contains(&code));
    let mut reason = reason(error);
    if reason.contains("chunk.first") {
        reason = format!("{CHUNK_GAP}: {reason}");
    }
    if own { WriteError::Culprit(reason) } else { WriteError::Unavailable(reason) }
}

/// What an error at the commit means. Locked (5), full (13) and a write that failed undo it; after any
/// other, for example a failed flush, its pages may stand in the log.
fn at_commit(error: &sqlx::Error) -> WriteError {
    let reason = reason(error);
    if code(error) == Some(WRITE_FAILED) {
        return WriteError::Unavailable(reason);
    }
    match primary_code(error) {
        Some(5 | 13) => WriteError::Unavailable(reason),
        Some(code) if OWN.contains(&code) => WriteError::Culprit(reason),
        _ => WriteError::Lost(reason),
    }
}
