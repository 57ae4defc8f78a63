//! A batch as one statement.

use std::{collections::BTreeMap, sync::LazyLock, time::Duration};

use quarry_ports::{MessageRow, crash::point};
use quarry_types::{
    Address, Epoch, MessageId, ShardId,
    planted::{Bug, is_planted},
};
use sqlx::{
    Postgres as Pg,
    postgres::{PgArguments, PgDatabaseError, PgSeverity},
    query::QueryAs,
};
use uuid::Uuid;

use crate::{
    check::CHUNK_GAP,
    database::{Refused, WriteError, counter, stored},
    group::{Batch, Of, Opened},
    record::{stored_digest, stored_open_state, stored_outcome},
};

use super::{connect::Lane, journal, pool::is_read_only, sends, statements};

/// A statement that is not answered within this time counts as lost.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// `fence` waits for a takeover that is under way and then sees its epoch, whatever the snapshot of
/// the statement; `written` is L3; everything else goes with it. A gap before a chunk makes its
/// number null, which the column refuses (R1). Entries of a journal follow the last one that stands:
/// L3 has its commit in the snapshot (J1).
const WRITE: &str = "\
with part as materialized (
    select unnest($1::bigint[]) as shard, unnest($2::bigint[]) as sequence,
        unnest($3::bigint[]) as epoch, unnest($4::bigint[]) as low_water,
        unnest($5::bigint[]) as now_ms
), fence as materialized (
    select f.shard, f.epoch from shard_fence f where f.shard = any($1::bigint[])
    order by f.shard for share
), written as (
    insert into shard_commit (shard, sequence, epoch, low_water, now_ms, void)
    select p.shard, p.sequence, p.epoch, p.low_water, p.now_ms, 0 from part p
    join fence f on f.shard = p.shard and f.epoch = p.epoch
    join shard_commit c on c.shard = p.shard and c.sequence = p.sequence - 1
    on conflict (shard, sequence) do nothing
    returning shard, sequence, now_ms
), messages as (
    insert into message (shard, sequence, ordinal, message_id, tenant, slot, entity_type,
        entity_id, method, key, payload, accepted_at, digest, settled)
    select w.shard, w.sequence, r.ordinal, r.message_id, r.tenant, r.slot, r.entity_type,
        r.entity_id, r.method, r.key, r.payload, r.accepted_at, r.digest, r.settled
    from (select unnest($6::bigint[]) as shard, unnest($7::bigint[]) as ordinal,
        unnest($8::uuid[]) as message_id, unnest($9::text[]) as tenant,
        unnest($10::bigint[]) as slot, unnest($11::text[]) as entity_type,
        unnest($12::text[]) as entity_id, unnest($13::text[]) as method,
        unnest($14::text[]) as key, unnest($15::bytea[]) as payload,
        unnest($16::bigint[]) as accepted_at, unnest($97::bytea[]) as digest,
        unnest($102::bigint[]) as settled) r
    join written w on w.shard = r.shard
), outcomes as (
    insert into outcome (message_id, shard, sequence, tenant, slot, kind, body, attempts,
        finished_at, keep_until)
    select r.message_id, w.shard, w.sequence,
        coalesce(r.tenant, (select m.tenant from message m where m.message_id = r.message_id)),
        r.slot, r.kind, r.body, r.attempts, r.finished_at,
        r.keep_until
    from (select unnest($17::bigint[]) as shard, unnest($18::uuid[]) as message_id,
        unnest($19::text[]) as tenant, unnest($20::bigint[]) as slot,
        unnest($21::bigint[]) as kind, unnest($22::bytea[]) as body,
        unnest($23::bigint[]) as attempts, unnest($24::bigint[]) as finished_at,
        unnest($61::bigint[]) as keep_until) r
    join written w on w.shard = r.shard
), opened as (
    insert into open_message (shard, sequence, ordinal, message_id, tenant, slot, entity_type,
        entity_id, method, key, payload, accepted_at, attempts, due, state, errors, digest,
        lost)
    select w.shard, r.sequence, r.ordinal, r.message_id, r.tenant, r.slot, r.entity_type,
        r.entity_id, r.method, r.key, r.payload, r.accepted_at, r.attempts, r.due, r.state,
        r.errors, r.digest, r.lost
    from (select unnest($25::bigint[]) as shard, unnest($26::bigint[]) as ordinal,
        unnest($27::uuid[]) as message_id, unnest($28::text[]) as tenant,
        unnest($29::bigint[]) as slot, unnest($30::text[]) as entity_type,
        unnest($31::text[]) as entity_id, unnest($32::text[]) as method,
        unnest($33::text[]) as key, unnest($34::bytea[]) as payload,
        unnest($35::bigint[]) as accepted_at, unnest($36::bigint[]) as sequence,
        unnest($37::bigint[]) as attempts, unnest($38::bigint[]) as due,
        unnest($39::bigint[]) as state, unnest($40::bytea[]) as errors,
        unnest($98::bytea[]) as digest, unnest($101::bigint[]) as lost) r
    join written w on w.shard = r.shard
    on conflict (message_id) do update set shard = excluded.shard, sequence = excluded.sequence,
        ordinal = excluded.ordinal, payload = excluded.payload, attempts = excluded.attempts,
        due = excluded.due, state = excluded.state, errors = excluded.errors,
        lost = excluded.lost
), closed as (
    delete from open_message o
    using (select unnest($41::bigint[]) as shard, unnest($42::uuid[]) as message_id) r, written w
    where w.shard = r.shard and o.message_id = r.message_id
), states as (
    insert into entity_state (tenant, entity_type, entity_id, slot, sequence, updated_at, state)
    select r.tenant, r.entity_type, r.entity_id, r.slot, w.sequence, w.now_ms, r.state
    from (select unnest($43::bigint[]) as shard, unnest($44::text[]) as tenant,
        unnest($45::text[]) as entity_type, unnest($46::text[]) as entity_id,
        unnest($47::bigint[]) as slot, unnest($48::bytea[]) as state) r
    join written w on w.shard = r.shard
    on conflict (tenant, entity_type, entity_id) do update set sequence = excluded.sequence,
        updated_at = excluded.updated_at, state = excluded.state
), deleted as (
    delete from entity_state s
    using (select unnest($49::bigint[]) as shard, unnest($50::text[]) as tenant,
        unnest($51::text[]) as entity_type, unnest($52::text[]) as entity_id) r, written w
    where w.shard = r.shard and s.tenant = r.tenant and s.entity_type = r.entity_type
        and s.entity_id = r.entity_id
), chunks as (
    insert into chunk (message_id, first, count, shard, tenant, slot, made_at, body)
    select r.message_id,
        case when not r.leads or r.first = coalesce((select c.first + c.count from chunk c
            where c.message_id = r.message_id order by c.first desc limit 1), 0) then r.first end,
        r.count, w.shard, r.tenant, r.slot, w.now_ms, r.body
    from (select unnest($53::bigint[]) as shard, unnest($54::uuid[]) as message_id,
        unnest($55::bigint[]) as first, unnest($56::bigint[]) as count,
        unnest($57::text[]) as tenant, unnest($58::bigint[]) as slot,
        unnest($59::bytea[]) as body, unnest($60::boolean[]) as leads) r
    join written w on w.shard = r.shard
), sends as (
    insert into outbox (shard, sequence, ordinal, message_id, place, tenant, slot, sender_type,
        sender_id, send_id, entity_type, entity_id, method, payload, due, made_at, state)
    select w.shard, w.sequence, r.ordinal, r.message_id, r.place, r.tenant, r.slot, r.sender_type,
        r.sender_id, r.send_id, r.entity_type, r.entity_id, r.method, r.payload, r.due, r.made_at, 0
    from (select unnest($62::bigint[]) as shard, unnest($63::bigint[]) as ordinal,
        unnest($64::uuid[]) as message_id, unnest($65::bigint[]) as place,
        unnest($66::text[]) as tenant, unnest($67::bigint[]) as slot,
        unnest($68::text[]) as sender_type, unnest($69::text[]) as sender_id,
        unnest($70::uuid[]) as send_id, unnest($71::text[]) as entity_type,
        unnest($72::text[]) as entity_id, unnest($73::text[]) as method,
        unnest($74::bytea[]) as payload, unnest($75::bigint[]) as due,
        unnest($76::bigint[]) as made_at) r
    join written w on w.shard = r.shard
), sent as (
    delete from outbox o
    using (select unnest($77::bigint[]) as shard, unnest($78::uuid[]) as message_id,
        unnest($79::bigint[]) as place) r,
        written w
    where w.shard = r.shard and o.message_id = r.message_id and o.place = r.place
), stuck as (
    update outbox o set state = 1, reason = r.reason
    from (select unnest($80::bigint[]) as shard, unnest($81::uuid[]) as message_id,
        unnest($82::bigint[]) as place, unnest($83::text[]) as reason) r, written w
    where w.shard = r.shard and o.message_id = r.message_id and o.place = r.place
), journaled as (
    insert into journal (tenant, entity_type, entity_id, sequence, slot, shard, entry_id,
        message_id, chunk, kind, request_id, made_at, data)
    select r.tenant, r.entity_type, r.entity_id,
        coalesce((select j.sequence from journal j where j.tenant = r.tenant
            and j.entity_type = r.entity_type and j.entity_id = r.entity_id
            order by j.sequence desc limit 1), 0)
            + row_number() over (partition by r.tenant, r.entity_type, r.entity_id
                order by r.ordinal),
        r.slot, w.shard, r.entry_id, r.message_id, r.chunk, r.kind, r.request_id, w.now_ms, r.data
    from (select unnest($84::bigint[]) as shard, unnest($85::text[]) as tenant,
        unnest($86::text[]) as entity_type, unnest($87::text[]) as entity_id,
        unnest($88::bigint[]) as ordinal, unnest($89::bigint[]) as slot,
        unnest($90::uuid[]) as entry_id, unnest($91::uuid[]) as message_id,
        unnest($92::bigint[]) as chunk, unnest($93::text[]) as kind,
        unnest($94::text[]) as request_id, unnest($95::bytea[]) as data) r
    join written w on w.shard = r.shard
), cleared as (
    delete from journal j
    using (select unnest($84::bigint[]) as shard, unnest($85::text[]) as tenant,
        unnest($86::text[]) as entity_type, unnest($87::text[]) as entity_id,
        unnest($96::boolean[]) as clears) r, written w
    where r.clears and w.shard = r.shard and j.tenant = r.tenant
        and j.entity_type = r.entity_type and j.entity_id = r.entity_id
), emptied as (
    update message m set payload = ''::bytea
    from (select unnest($99::bigint[]) as shard, unnest($100::uuid[]) as message_id) r, written w
    where w.shard = r.shard and m.message_id = r.message_id
), unchunked as (
    delete from chunk c
    using (select unnest($99::bigint[]) as shard, unnest($100::uuid[]) as message_id) r, written w
    where w.shard = r.shard and c.message_id = r.message_id
)
select f.shard, f.epoch, w.shard is not null from fence f left join written w on w.shard = f.shard";

/// The queries of [`WRITE`] for messages that outlive their commit.
const OPEN: &[&str] = &["opened", "closed"];
/// Those for rows that few batches have: see [`Batch::has_rare`].
const RARE: &[&str] = &[
    "deleted",
    "chunks",
    "sends",
    "sent",
    "stuck",
    "journaled",
    "cleared",
    "emptied",
    "unchunked",
];

/// [`WRITE`] without the queries for which `batch` has no rows, in groups so that there are few
/// statements: the server begins and ends each query of a statement, whatever it has to do.
fn statement(batch: &Batch<'_>) -> &'static str {
    static STATEMENTS: LazyLock<[String; 4]> = LazyLock::new(|| {
        [without(&[]), without(OPEN), without(RARE), without(&[OPEN, RARE].concat())]
    });
    if is_planted(Bug::NoFence) {
        return unfenced();
    }
    let has_open = !(batch.open.is_empty() && batch.closed.is_empty());
    let [whole, no_open, no_rare, least] = &*STATEMENTS;
    match (has_open, batch.has_rare()) {
        (true, true) => whole,
        (false, true) => no_open,
        (true, false) => no_rare,
        (false, false) => least,
    }
}

/// [`WRITE`] without the queries of these names. Parameters keep their numbers; those that are not
/// read any more are bound with their types all the same.
fn without(names: &[&str]) -> String {
    let (queries, result) = WRITE.rsplit_once("\n)\n").unwrap_or((WRITE, ""));
    let stays = |query: &&str| !names.iter().any(|name| query.starts_with(&format!("{name} as (")));
    let queries: Vec<&str> = queries.split("\n), ").filter(stays).collect();
    format!("{}\n)\n{result}", queries.join("\n), "))
}

/// What is left of [`WRITE`] where [`Bug::NoFence`] is planted: any owner's part is taken, becomes the
/// last of its shard, and passes over what another owner has written of it.
fn unfenced() -> &'static str {
    const CHECKED: &str =
        "select p.shard, p.sequence, p.epoch, p.low_water, p.now_ms, 0 from part p
    join fence f on f.shard = p.shard and f.epoch = p.epoch
    join shard_commit c on c.shard = p.shard and c.sequence = p.sequence - 1
";
    const UNCHECKED: &str = "select p.shard, (select max(c.sequence) + 1 from shard_commit c
        where c.shard = p.shard), p.epoch, p.low_water, p.now_ms, 0 from part p
";
    static UNFENCED: LazyLock<String> = LazyLock::new(|| {
        let behind = |next: &str| format!("\n), {next} as (");
        let passing = |next: &str| format!("\n    on conflict do nothing{}", behind(next));
        WRITE
            .replace(CHECKED, UNCHECKED)
            .replace(&behind("outcomes"), &passing("outcomes"))
            .replace(&behind("opened"), &passing("opened"))
    });
    &UNFENCED
}

/// A fence row that the statement saw, and whether its part was written.
pub(super) type Seen = (i64, i64, bool);
pub(super) type Write<'q> = QueryAs<'q, Pg, Seen, PgArguments>;

/// Writes `batch`; see [`crate::database::Database::write`].
pub(super) async fn write(lane: &Lane, batch: &Batch<'_>) -> Result<Vec<Refused>, WriteError> {
    let query = bind_rows(bind_parts(sqlx::query_as(statement(batch)), batch), batch);
    let mut turn = match lane.connect().await {
        Ok(turn) => turn,
        Err(error) => return Err(WriteError::Unavailable(error.to_string())),
    };
    // Connecting may have taken long (L2).
    if !batch.leases_are_held() {
        return Err(WriteError::LeaseOver);
    }
    // What stops from here on is sent when it wakes up, and refused by the fence (G3).
    point("commit-before-send");
    let connection =
        turn.connection().map_err(|error| WriteError::Unavailable(error.to_string()))?;
    let answer = async {
        if batch.statements.is_empty() {
            return query.fetch_all(connection).await.map_err(|error| {
                if is_read_only(&error) {
                    lane.connector.suspect_all();
                }
                meaning(&error)
            });
        }
        statements::write(connection, query, batch.statements).await
    };
    let answer = tokio::time::timeout(ANSWER_WITHIN, answer).await;
    let error = match answer {
        Ok(Ok(seen)) => return Ok(refused(batch, &seen)),
        Ok(Err(error)) => error,
        Err(_) => {
            // Its fate is decided on a connection that is made after this.
            lane.connector.suspect_all();
            WriteError::Lost(format!("no answer to a commit within {ANSWER_WITHIN:?}"))
        }
    };
    // A transaction that was not ended goes with its connection.
    if matches!(error, WriteError::Lost(_)) || !batch.statements.is_empty() {
        turn.discard();
    }
    Err(error)
}

/// What an error says of the batch. The server answers an error that undid the statement, and only
/// that, with severity ERROR; a session that is ended says FATAL, before or after its commit.
pub(super) fn meaning(error: &sqlx::Error) -> WriteError {
    let reason = error.to_string();
    let answered = match error {
        sqlx::Error::Database(error) => error.try_downcast_ref::<PgDatabaseError>(),
        sqlx::Error::Encode(_) => return WriteError::Culprit(reason),
        _ => None,
    };
    match answered {
        Some(error) if error.severity() == PgSeverity::Error => {
            // Data that does not fit, a broken rule, a limit of the program: the rows' own.
            if error.table() == Some("chunk") {
                return WriteError::Culprit(format!("{CHUNK_GAP}: {reason}"));
            }
            let own = ["22", "23", "54"].iter().any(|class| error.code().starts_with(class));
            if own { WriteError::Culprit(reason) } else { WriteError::Unavailable(reason) }
        }
        _ => WriteError::Lost(reason),
    }
}

fn refused(batch: &Batch<'_>, seen: &[Seen]) -> Vec<Refused> {
    let seen: BTreeMap<i64, (i64, bool)> =
        seen.iter().map(|(shard, epoch, written)| (*shard, (*epoch, *written))).collect();
    let mut refused = Vec::new();
    for part in &batch.parts {
        let fence = seen.get(&number(part.shard));
        if !fence.is_some_and(|(_, written)| *written) {
            let recorded = fence.map_or(0, |(epoch, _)| counter(*epoch));
            refused.push(Refused { shard: part.shard, recorded: Epoch(recorded) });
        }
    }
    refused
}

pub(super) fn number(shard: ShardId) -> i64 {
    i64::from(shard.0)
}

pub(super) fn uuid(id: MessageId) -> Uuid {
    Uuid::from_bytes(id.to_bytes())
}

/// One column of rows.
pub(super) fn column<'r, T, V>(rows: &'r [Of<T>], value: impl Fn(&'r Of<T>) -> V) -> Vec<V> {
    rows.iter().map(value).collect()
}

fn bind_parts<'q>(query: Write<'q>, batch: &'q Batch<'q>) -> Write<'q> {
    let parts = || batch.parts.iter();
    query
        .bind(parts().map(|part| number(part.shard)).collect::<Vec<_>>())
        .bind(parts().map(|part| stored(part.sequence.0)).collect::<Vec<_>>())
        .bind(parts().map(|part| stored(part.epoch.0)).collect::<Vec<_>>())
        .bind(parts().map(|part| stored(part.low_water.0)).collect::<Vec<_>>())
        .bind(parts().map(|part| part.now.0).collect::<Vec<_>>())
}

fn bind_rows<'q>(query: Write<'q>, batch: &'q Batch<'q>) -> Write<'q> {
    let messages = &batch.messages;
    let query = bind_messages(query, messages, |row| (row.0, row.1, batch.payload(row.1)));
    let query = bind_outcomes(query, batch);
    let open = &batch.open;
    let opened = |row: &'q Opened<'q>| {
        let message = &row.row.message;
        (row.position.ordinal, message, message.payload.as_ref())
    };
    let query = bind_messages(query, open, opened)
        .bind(column(open, |of| stored(of.row.position.sequence.0)))
        .bind(column(open, |of| i64::from(of.row.row.attempts)))
        .bind(column(open, |of| of.row.row.due.0))
        .bind(column(open, |of| stored_open_state(of.row.row.state)))
        .bind(column(open, |of| of.row.errors))
        .bind(column(&batch.closed, |of| number(of.part.shard)))
        .bind(column(&batch.closed, |of| uuid(of.row)));
    let states = &batch.states;
    let query = bind_addresses(query, states, |row| row.0)
        .bind(column(states, |of| i64::from(of.row.0.slot().0)))
        .bind(column(states, |of| of.row.1));
    let query = bind_addresses(query, &batch.deleted, |row| row);
    let chunks = &batch.chunks;
    let query = query
        .bind(column(chunks, |of| number(of.part.shard)))
        .bind(column(chunks, |of| uuid(of.row.row.message_id)))
        .bind(column(chunks, |of| stored(of.row.row.first)))
        .bind(column(chunks, |of| stored(of.row.count())))
        .bind(column(chunks, |of| of.row.row.address.tenant.as_str()))
        .bind(column(chunks, |of| i64::from(of.row.row.message_id.slot().0)))
        .bind(column(chunks, |of| of.row.body))
        .bind(column(chunks, |of| of.row.leads))
        .bind(column(&batch.outcomes, |of| stored(of.row.1.keep_until.0)));
    journal::bind(sends::bind(query, batch), batch)
        .bind(column(messages, |of| stored_digest(of.row.1)))
        .bind(column(open, |of| stored_digest(&of.row.row.message)))
        .bind(column(&batch.discarded, |of| number(of.part.shard)))
        .bind(column(&batch.discarded, |of| uuid(of.row)))
        .bind(column(open, |of| i64::from(of.row.row.lost)))
        .bind(column(messages, |of| i64::from(batch.is_settled(of.row.1))))
}

fn bind_messages<'q, T>(
    query: Write<'q>,
    rows: &'q [Of<T>],
    message: impl Fn(&'q T) -> (u32, &'q MessageRow, &'q [u8]),
) -> Write<'q> {
    let of = |row: &'q Of<T>| message(&row.row).1;
    query
        .bind(column(rows, |row| number(row.part.shard)))
        .bind(column(rows, |row| i64::from(message(&row.row).0)))
        .bind(column(rows, |row| uuid(of(row).message_id)))
        .bind(column(rows, |row| of(row).address.tenant.as_str()))
        .bind(column(rows, |row| i64::from(of(row).address.slot().0)))
        .bind(column(rows, |row| of(row).address.entity_type.as_str()))
        .bind(column(rows, |row| of(row).address.id.as_str()))
        .bind(column(rows, |row| of(row).method.as_str()))
        .bind(column(rows, |row| of(row).key.as_str()))
        .bind(column(rows, |row| message(&row.row).2))
        .bind(column(rows, |row| of(row).accepted_at.0))
}

fn bind_outcomes<'q>(query: Write<'q>, batch: &'q Batch<'q>) -> Write<'q> {
    let rows = &batch.outcomes;
    let (kinds, bodies): (Vec<i64>, Vec<Vec<u8>>) =
        rows.iter().map(|of| stored_outcome(&of.row.1.outcome)).unzip();
    query
        .bind(column(rows, |of| number(of.part.shard)))
        .bind(column(rows, |of| uuid(of.row.1.message_id)))
        .bind(column(rows, |of| of.row.0.map(quarry_types::Tenant::as_str)))
        .bind(column(rows, |of| i64::from(of.row.1.message_id.slot().0)))
        .bind(kinds)
        .bind(bodies)
        .bind(column(rows, |of| i64::from(of.row.1.attempts)))
        .bind(column(rows, |of| of.row.1.finished_at.0))
}

pub(super) fn bind_addresses<'q, T>(
    query: Write<'q>,
    rows: &'q [Of<T>],
    address: impl Fn(&'q T) -> &'q Address,
) -> Write<'q> {
    query
        .bind(column(rows, |of| number(of.part.shard)))
        .bind(column(rows, |of| address(&of.row).tenant.as_str()))
        .bind(column(rows, |of| address(&of.row).entity_type.as_str()))
        .bind(column(rows, |of| address(&of.row).id.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_lacks_the_queries_that_were_left_out_and_no_other() {
        assert_eq!(without(&[]), WRITE);
        let queries = |statement: &str| statement.matches(" as (\n").count();
        for name in OPEN.iter().chain(RARE) {
            assert_eq!(queries(&without(&[name])), queries(WRITE) - 1, "{name}");
        }
        let least = without(&[OPEN, RARE].concat());
        for table in ["open_message", "chunk", "outbox", "journal", "delete", "update message"] {
            assert!(!least.contains(table), "{table}: {least}");
        }
        for query in ["part as mat", "fence as mat", "written as", "messages as", "outcomes as"] {
            assert!(least.contains(query), "{query}: {least}");
        }
        assert!(least.contains("states as (") && least.ends_with("w.shard = f.shard"), "{least}");
    }
}
