//! The work behind a submission: which message does it.

use quarry_ports::{
    MessageFilter, MessageRecord, MessageState, MessageStateKind, StoreError, StoredChunk,
};
use quarry_types::{Address, Timestamp};

use super::tail::Tail;
use crate::Gateway;

/// How many messages of the work are looked at.
const LOOKED_AT: u32 = 100;
/// How many of those are asked whether they told something.
const ASKED: usize = 8;
/// How far the clocks of two nodes may seem apart, in milliseconds.
const APART_MS: i64 = 2_000;

/// When a submission waited for its work: from the chunk that says so to the one behind it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waited {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
}

/// The message that does the work now: several may wait behind it for the same.
pub(super) async fn running(gateway: &Gateway, work: &Address) -> Result<Option<Tail>, StoreError> {
    let open = messages(gateway, work, Some(MessageStateKind::Open)).await?;
    Ok(open.last().map(tail))
}

/// The message that did the work while a submission waited for it, where one did.
pub(super) async fn done(
    gateway: &Gateway,
    work: &Address,
    waited: Waited,
) -> Result<Option<Tail>, StoreError> {
    let all = messages(gateway, work, None).await?;
    for record in all.iter().filter(|record| is_within(record, waited)).take(ASKED) {
        let tail = tail(record);
        if !tail.stored(gateway).await?.is_empty() {
            return Ok(Some(tail));
        }
    }
    Ok(None)
}

fn is_within(record: &MessageRecord, waited: Waited) -> bool {
    let begins_before = record.message.accepted_at.0 <= waited.until.0.saturating_add(APART_MS);
    let ends_behind = match &record.state {
        MessageState::Finished { finished_at, .. } => {
            finished_at.0 >= waited.from.0.saturating_sub(APART_MS)
        }
        MessageState::Open { .. } | MessageState::Quarantined { .. } => true,
    };
    begins_before && ends_behind
}

/// Newest first.
async fn messages(
    gateway: &Gateway,
    work: &Address,
    state: Option<MessageStateKind>,
) -> Result<Vec<MessageRecord>, StoreError> {
    let (tenant, address) = (Some(work.tenant.clone()), Some(work.clone()));
    let filter = MessageFilter { tenant, address, state, ..MessageFilter::default() };
    Ok(gateway.store().messages(filter, None, LOOKED_AT).await?.items)
}

fn tail(record: &MessageRecord) -> Tail {
    Tail { message_id: record.message.message_id, next: 0 }
}

/// When a chunk was stored.
pub(super) fn made_at(chunk: Option<&StoredChunk>) -> Option<Timestamp> {
    chunk.map(|chunk| chunk.made_at)
}
