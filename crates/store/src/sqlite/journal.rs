//! Entries of journals.

use quarry_ports::JournalRow;
use uuid::Uuid;

use crate::{
    database::{Value, stored},
    group::{Of, Part},
};

use super::{
    script::{Rows, Script},
    write::{id, text, values},
};

/// Entries follow the last one of their journal that stands (J1).
const JOURNAL: Rows = Rows {
    head: "insert into journal (tenant, entity_type, entity_id, sequence, slot, shard, entry_id, \
        message_id, chunk, kind, request_id, made_at, data) \
        select r.column1, r.column2, r.column3, \
        coalesce((select j.sequence from journal j where j.tenant = r.column1 \
            and j.entity_type = r.column2 and j.entity_id = r.column3 \
            order by j.sequence desc limit 1), 0) \
            + row_number() over (partition by r.column1, r.column2, r.column3 order by r.column4), \
        r.column5, r.column6, r.column7, r.column8, r.column9, r.column10, r.column11, r.column12, \
        r.column13 from (values ",
    row: "(?,?,?,?,?,?,?,?,?,?,?,?,?)",
    tail: ") r where r.column1 is not null",
};
const CLEARED: Rows = Rows {
    head: "delete from journal where (tenant, entity_type, entity_id, sequence) in (\
        select j.tenant, j.entity_type, j.entity_id, j.sequence from (values ",
    row: "(?,?,?,?)",
    tail: ") c join journal k on k.tenant = c.column1 and k.entity_type = c.column2 \
        and k.entity_id = c.column3 and k.entry_id = c.column4 \
        join journal j on j.tenant = k.tenant and j.entity_type = k.entity_type \
        and j.entity_id = k.entity_id and j.sequence < k.sequence)",
};

/// Appends entries to journals, and removes what they clear.
pub(super) fn add(
    script: &mut Script,
    journal: &[Of<&JournalRow>],
    stands: impl Fn(&Part) -> bool + Copy,
) {
    let mut ordinal = 0;
    let rows = values(journal, stands, |part, row| {
        ordinal += 1;
        journal_values(part, ordinal, row)
    });
    script.add(&JOURNAL, rows);
    let clearing: Vec<_> = journal.iter().filter(|of| of.row.clears).copied().collect();
    script.add(&CLEARED, values(&clearing, stands, |_, row| entry_values(row)));
}

fn journal_values(part: &Part, ordinal: i64, row: &JournalRow) -> Vec<Value> {
    let address = &row.address;
    vec![
        text(address.tenant.as_str()),
        text(address.entity_type.as_str()),
        text(address.id.as_str()),
        Value::Int(ordinal),
        Value::Int(i64::from(address.slot().0)),
        Value::Int(i64::from(part.shard.0)),
        entry_id(row),
        id(row.message_id),
        Value::Int(stored(row.chunk)),
        text(&row.kind),
        text(&row.request_id),
        Value::Int(part.now.0),
        Value::Bytes(row.data.to_vec()),
    ]
}

/// What finds an entry that was written.
fn entry_values(row: &JournalRow) -> Vec<Value> {
    let address = &row.address;
    vec![
        text(address.tenant.as_str()),
        text(address.entity_type.as_str()),
        text(address.id.as_str()),
        entry_id(row),
    ]
}

fn entry_id(row: &JournalRow) -> Value {
    Value::Id(Uuid::from_bytes(row.entry_id.to_bytes()))
}
