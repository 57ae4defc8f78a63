//! The rows of the outbox in a batch.

use quarry_ports::SendKey;

use crate::{
    group::Batch,
    record::{stored_due, stored_reason},
};

use super::write::{Write, column, number, uuid};

/// Binds them as the statement names them.
pub(super) fn bind<'q>(query: Write<'q>, batch: &'q Batch<'q>) -> Write<'q> {
    let sends = &batch.sends;
    let query = query
        .bind(column(sends, |of| number(of.part.shard)))
        .bind(column(sends, |of| i64::from(of.row.0)))
        .bind(column(sends, |of| uuid(of.row.1.key.message_id)))
        .bind(column(sends, |of| place(of.row.1.key)))
        .bind(column(sends, |of| of.row.1.sender.tenant.as_str()))
        .bind(column(sends, |of| i64::from(of.row.1.sender.slot().0)))
        .bind(column(sends, |of| of.row.1.sender.entity_type.as_str()))
        .bind(column(sends, |of| of.row.1.sender.id.as_str()))
        .bind(column(sends, |of| uuid(of.row.1.send_id)))
        .bind(column(sends, |of| of.row.1.address.entity_type.as_str()))
        .bind(column(sends, |of| of.row.1.address.id.as_str()))
        .bind(column(sends, |of| of.row.1.method.as_str()))
        .bind(column(sends, |of| of.row.1.payload.as_ref()))
        .bind(column(sends, |of| stored_due(of.row.1.due)))
        .bind(column(sends, |of| of.row.1.made_at.0));
    let (sent, stuck) = (&batch.sent, &batch.stuck);
    query
        .bind(column(sent, |of| number(of.part.shard)))
        .bind(column(sent, |of| uuid(of.row.message_id)))
        .bind(column(sent, |of| place(of.row)))
        .bind(column(stuck, |of| number(of.part.shard)))
        .bind(column(stuck, |of| uuid(of.row.key.message_id)))
        .bind(column(stuck, |of| place(of.row.key)))
        .bind(column(stuck, |of| stored_reason(&of.row.reason)))
}

fn place(key: SendKey) -> i64 {
    i64::from(key.index)
}
