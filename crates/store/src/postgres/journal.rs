//! Entries of journals, as they are bound to the statement that writes a group.

use uuid::Uuid;

use crate::{database::stored, group::Batch};

use super::write::{Write, bind_addresses, column, uuid};

/// Binds the entries; see the statement.
pub(super) fn bind<'q>(query: Write<'q>, batch: &'q Batch<'q>) -> Write<'q> {
    let journal = &batch.journal;
    let ordinals: Vec<i64> = (0..).zip(journal).map(|(ordinal, _)| ordinal).collect();
    bind_addresses(query, journal, |row| &row.address)
        .bind(ordinals)
        .bind(column(journal, |of| i64::from(of.row.address.slot().0)))
        .bind(column(journal, |of| Uuid::from_bytes(of.row.entry_id.to_bytes())))
        .bind(column(journal, |of| uuid(of.row.message_id)))
        .bind(column(journal, |of| stored(of.row.chunk)))
        .bind(column(journal, |of| of.row.kind.as_str()))
        .bind(column(journal, |of| of.row.request_id.as_str()))
        .bind(column(journal, |of| of.row.data.as_ref()))
        .bind(column(journal, |of| of.row.clears))
}
