//! A batch as one IMMEDIATE transaction.

use std::collections::BTreeSet;

use quarry_ports::{
    Host, MessageRow, OutcomeRow, Position,
    crash::{is_armed, point},
};
use quarry_types::{Address, Epoch, MessageId, ShardId, Tenant};
use uuid::Uuid;

use crate::{
    check::CHUNK_GAP,
    database::{Refused, Value, WriteError, counter, stored},
    group::{Batch, Chunks, Of, Opened, Part},
    record::{stored_digest, stored_open_state, stored_outcome},
};

use super::{
    journal,
    script::{MOST, Rows, Script},
    sends, statements,
    tally::Tally,
    writer::{Stopped, Turn, WRITE_FAILED, Writer, code, primary_code, reason},
};

/// Moves the newest row of a shard on to the next sequence (L3), where the fence stands and the row is
/// of the same epoch.
const RUNS: Rows = Rows {
    head: "update shard_commit set first = coalesce(first, sequence), sequence = p.column2, \
        low_water = p.column4, now_ms = p.column5 from (values ",
    row: "(?,?,?,?,?)",
    tail: ") p join shard_fence f on f.shard = p.column1 and f.epoch = p.column3 \
        where shard_commit.shard = p.column1 and shard_commit.sequence = p.column2 - 1 \
        and shard_commit.epoch = p.column3 and shard_commit.void = 0 \
        and not exists (select 1 from shard_commit n \
            where n.shard = p.column1 and n.sequence >= p.column2)",
};
/// Begins a run for the other parts whose fence stands and whose sequence is the next (L3): the first
/// of an epoch, and the one behind an empty commit. The rows of a part go only with it.
const PARTS: Rows = Rows {
    head: "insert into shard_commit (shard, sequence, epoch, low_water, now_ms, void) \
        select p.column1, p.column2, p.column3, p.column4, p.column5, 0 from (values ",
    row: "(?,?,?,?,?)",
    tail: ") p \
        join shard_fence f on f.shard = p.column1 and f.epoch = p.column3 \
        join shard_commit c on c.shard = p.column1 and c.sequence = p.column2 - 1 \
        where not exists (select 1 from shard_commit n \
            where n.shard = p.column1 and n.sequence >= p.column2)",
};
const MESSAGES: Rows = Rows {
    head: "insert into message (shard, sequence, ordinal, message_id, tenant, slot, entity_type, \
        entity_id, method, key, payload, digest, accepted_at, settled) select * from (values ",
    row: "(?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    tail: ") where column4 is not null",
};
const OUTCOMES: Rows = Rows {
    head: "insert into outcome (message_id, tenant, shard, sequence, slot, kind, body, attempts, \
        finished_at, keep_until) select * from (values ",
    row: "(?,coalesce(?,(select m.tenant from message m where m.message_id = ?)),?,?,?,?,?,?,?,?)",
    tail: ") where column1 is not null",
};
const OPEN: Rows = Rows {
    head: "insert into open_message (shard, sequence, ordinal, message_id, tenant, slot, \
        entity_type, entity_id, method, key, payload, digest, accepted_at, attempts, due, state, \
        errors, lost) select * from (values ",
    row: "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    tail: ") where column4 is not null on conflict (message_id) do update set shard = excluded.shard, \
        sequence = excluded.sequence, ordinal = excluded.ordinal, payload = excluded.payload, \
        attempts = excluded.attempts, due = excluded.due, state = excluded.state, \
        errors = excluded.errors, lost = excluded.lost",
};
/// A gap before a chunk makes its number null, which the column refuses (R1).
const CHUNKS: Rows = Rows {
    head: "insert into chunk (message_id, first, count, shard, tenant, slot, made_at, body) \
        select * from (values ",
    row: "(?,case when ? = 0 or ? = coalesce((select c.first + c.count from chunk c \
        where c.message_id = ? order by c.first desc limit 1), 0) then ? end,?,?,?,?,?,?)",
    tail: ") where column1 is not null",
};
const CLOSED: Rows =
    Rows { head: "delete from open_message where message_id in (", row: "?", tail: ")" };
const EMPTIED: Rows =
    Rows { head: "update message set payload = x'' where message_id in (", row: "?", tail: ")" };
const UNCHUNKED: Rows =
    Rows { head: "delete from chunk where message_id in (", row: "?", tail: ")" };
const STATES: Rows = Rows {
    head: "insert into entity_state (tenant, entity_type, entity_id, slot, sequence, updated_at, \
        state) select * from (values ",
    row: "(?,?,?,?,?,?,?)",
    tail: ") where column1 is not null on conflict (tenant, entity_type, entity_id) do update set \
        sequence = excluded.sequence, updated_at = excluded.updated_at, state = excluded.state",
};
const DELETED: Rows = Rows {
    head: "delete from entity_state where (tenant, entity_type, entity_id) in (values ",
    row: "(?,?,?)",
    tail: ")",
};

/// Writes `batch`; see [`crate::database::Database::write`]. First as if all its fences stood, which
/// is the rule and takes one exchange; where that shows a doubt, part by part.
pub(super) async fn write(
    writer: &Writer,
    host: &Host,
    batch: &Batch<'_>,
) -> Result<Vec<Refused>, WriteError> {
    point("commit-before-send");
    let is_plain = batch.statements.is_empty() && !is_armed("commit-inside");
    if is_plain && write_at_once(writer, host, batch).await? {
        return Ok(Vec::new());
    }
    let mut turn = begin(writer, host, batch).await?;
    let refused = match insert_by_part(&mut turn, batch).await {
        Ok(refused) => refused,
        Err(error) => return Err(undone(turn, inside(&error)).await),
    };
    if refused.is_empty()
        && let Err(error) = statements::run(&mut turn, host, batch.statements).await
    {
        return Err(undone(turn, error).await);
    }
    point("commit-inside");
    match turn.commit().await {
        Ok(()) => Ok(refused),
        Err(error) => Err(at_commit(&error)),
    }
}

/// Writes `batch` as one script that goes on to its commit only where all parts stand; whether it
/// did. Where one does not, rows were written that must not stand. Their own errors say nothing then:
/// a row of a shard that has another owner may collide with that owner's.
async fn write_at_once(
    writer: &Writer,
    host: &Host,
    batch: &Batch<'_>,
) -> Result<bool, WriteError> {
    let unavailable = |error: &sqlx::Error| WriteError::Unavailable(reason(error));
    let mut turn = writer.take(host).await.map_err(|error| unavailable(&error))?;
    // The wait for the connection may have been long (L2).
    if !batch.leases_are_held() {
        return Err(WriteError::LeaseOver);
    }
    let mut ended = turn.transact(whole(batch)).await;
    if matches!(ended, Err(Stopped::Busy)) {
        drop(turn);
        turn = begin(writer, host, batch).await?;
        ended = turn.transact(whole(batch)).await;
    }
    match ended {
        Ok(()) => Ok(true),
        Err(Stopped::Inside(error)) if is_own(&error) => Ok(false),
        Err(Stopped::Inside(error)) => Err(inside(&error)),
        Err(Stopped::Busy) => Err(WriteError::Unavailable(LOCKED.to_owned())),
        Err(Stopped::AtBegin(error)) => Err(unavailable(&error)),
        Err(Stopped::AtCommit(error)) => Err(at_commit(&error)),
    }
}

/// All rows of `batch`, which fail where a part does not stand.
fn whole(batch: &Batch<'_>) -> Script {
    let (mut script, mut tally) = (Script::default(), Tally::default());
    for parts in batch.parts.chunks(MOST) {
        let rows: Vec<Vec<Value>> = parts.iter().map(part_values).collect();
        for statement in [&RUNS, &PARTS] {
            tally.add(&mut script, statement, rows.clone());
        }
    }
    tally.compare(&mut script, batch.parts.len());
    add_rows(&mut script, batch, |_| true);
    script
}

async fn begin<'a>(
    writer: &'a Writer,
    host: &Host,
    batch: &Batch<'_>,
) -> Result<Turn<'a>, WriteError> {
    let turn = writer.begin(host).await;
    let turn = turn.map_err(|error| WriteError::Unavailable(reason(&error)))?;
    // The wait for the lock may have been long (L2).
    if batch.leases_are_held() { Ok(turn) } else { Err(undone(turn, WriteError::LeaseOver).await) }
}

async fn undone(turn: Turn<'_>, error: WriteError) -> WriteError {
    turn.rollback().await;
    error
}

/// Writes the parts one by one, and the rows of those that stand; returns the others.
async fn insert_by_part(
    turn: &mut Turn<'_>,
    batch: &Batch<'_>,
) -> Result<Vec<Refused>, sqlx::Error> {
    let mut refused = BTreeSet::new();
    for part in &batch.parts {
        let mut script = Script::default();
        script.add(&RUNS, vec![part_values(part)]);
        script.add(&PARTS, vec![part_values(part)]);
        if script.run(turn).await?.iter().sum::<u64>() != 1 {
            refused.insert(part.shard);
        }
    }
    let mut script = Script::default();
    add_rows(&mut script, batch, |part| !refused.contains(&part.shard));
    script.run(turn).await?;
    recorded(turn, refused).await
}

/// The rows of the parts that stand.
fn add_rows(script: &mut Script, batch: &Batch<'_>, stands: impl Fn(&Part) -> bool + Copy) {
    let rows = values(&batch.messages, stands, |part, (ordinal, row)| {
        let position = Position { sequence: part.sequence, ordinal: *ordinal };
        let mut values = message_values(part, position, row);
        values.push(Value::Int(i64::from(batch.is_settled(row))));
        values
    });
    script.add(&MESSAGES, rows);
    script.add(&OUTCOMES, values(&batch.outcomes, stands, outcome_values));
    let rows = values(&batch.open, stands, |part, Opened { position, row, errors }| {
        let mut values = message_values(part, *position, &row.message);
        values.push(Value::Int(i64::from(row.attempts)));
        values.push(Value::Int(row.due.0));
        values.push(Value::Int(stored_open_state(row.state)));
        values.push(Value::Bytes(errors.to_vec()));
        values.push(Value::Int(i64::from(row.lost)));
        values
    });
    script.add(&OPEN, rows);
    script.add(&CLOSED, values(&batch.closed, stands, |_, row| vec![id(*row)]));
    script.add(&CHUNKS, values(&batch.chunks, stands, |part, row| chunk_values(part, row)));
    journal::add(script, &batch.journal, stands);
    let rows = values(&batch.states, stands, |part, (address, state)| {
        let mut values = address_values(address);
        values.push(Value::Int(i64::from(address.slot().0)));
        values.push(Value::Int(stored(part.sequence.0)));
        values.push(Value::Int(part.now.0));
        values.push(Value::Bytes(state.to_vec()));
        values
    });
    script.add(&STATES, rows);
    sends::add(script, batch, stands);
    for statement in [EMPTIED, UNCHUNKED] {
        let discarded = values(&batch.discarded, stands, |_, discarded| vec![id(*discarded)]);
        script.add(&statement, discarded);
    }
    script.add(&DELETED, values(&batch.deleted, stands, |_, address| address_values(address)));
}

/// The epochs that stand for refused shards.
async fn recorded(
    turn: &mut Turn<'_>,
    shards: BTreeSet<ShardId>,
) -> Result<Vec<Refused>, sqlx::Error> {
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

fn outcome_values(part: &Part, (tenant, row): &(Option<&Tenant>, &OutcomeRow)) -> Vec<Value> {
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
}

fn address_values(address: &Address) -> Vec<Value> {
    vec![
        text(address.tenant.as_str()),
        text(address.entity_type.as_str()),
        text(address.id.as_str()),
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

/// What a write says that found the lock taken.
const LOCKED: &str = "database is locked";
/// Result codes that a commit's own rows cause: too large, a broken rule, a value of a wrong type.
const OWN: [i32; 3] = [18, 19, 20];

fn is_own(error: &sqlx::Error) -> bool {
    primary_code(error).is_some_and(|code| OWN.contains(&code))
}

/// What an error before the commit means: nothing was written.
fn inside(error: &sqlx::Error) -> WriteError {
    let mut reason = reason(error);
    if reason.contains("chunk.first") {
        reason = format!("{CHUNK_GAP}: {reason}");
    }
    if is_own(error) { WriteError::Culprit(reason) } else { WriteError::Unavailable(reason) }
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
