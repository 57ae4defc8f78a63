//! The rows of the outbox in a batch.

use quarry_ports::{SendKey, SendRow, StuckSend};

use crate::{
    database::{Value, stored},
    group::{Batch, Part},
    record::{stored_due, stored_reason},
};

use super::{
    script::{Rows, Script},
    write::{id, text, values},
};

const SENDS: Rows = Rows {
    head: "insert into outbox (message_id, place, shard, sequence, ordinal, tenant, slot, \
        sender_type, sender_id, send_id, entity_type, entity_id, method, payload, due, made_at, \
        state) select * from (values ",
    row: "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,0)",
    tail: ") where column1 is not null",
};
const SENT: Rows = Rows {
    head: "delete from outbox where (message_id, place) in (values ",
    row: "(?,?)",
    tail: ")",
};
const STUCK: Rows = Rows {
    head: "update outbox set state = 1, reason = r.column3 from (values ",
    row: "(?,?,?)",
    tail: ") r where message_id = r.column1 and place = r.column2",
};

/// Adds the sends of the parts that stand.
pub(super) fn add(script: &mut Script, batch: &Batch<'_>, stands: impl Fn(&Part) -> bool + Copy) {
    let rows = values(&batch.sends, stands, |part, (ordinal, row)| send(part, *ordinal, row));
    script.add(&SENDS, rows);
    script.add(&SENT, values(&batch.sent, stands, |_, key| named(*key).into()));
    let rows = values(&batch.stuck, stands, |_, StuckSend { key, reason }| {
        let [message_id, place] = named(*key);
        vec![message_id, place, text(&stored_reason(reason))]
    });
    script.add(&STUCK, rows);
}

fn named(key: SendKey) -> [Value; 2] {
    [id(key.message_id), Value::Int(i64::from(key.index))]
}

fn send(part: &Part, ordinal: u32, row: &SendRow) -> Vec<Value> {
    let [message_id, place] = named(row.key);
    let (sender, target) = (&row.sender, &row.address);
    vec![
        message_id,
        place,
        Value::Int(i64::from(part.shard.0)),
        Value::Int(stored(part.sequence.0)),
        Value::Int(i64::from(ordinal)),
        text(sender.tenant.as_str()),
        Value::Int(i64::from(sender.slot().0)),
        text(sender.entity_type.as_str()),
        text(sender.id.as_str()),
        id(row.send_id),
        text(target.entity_type.as_str()),
        text(target.id.as_str()),
        text(row.method.as_str()),
        Value::Bytes(row.payload.to_vec()),
        Value::Int(stored_due(row.due)),
        Value::Int(row.made_at.0),
    ]
}
