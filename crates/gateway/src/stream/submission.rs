//! Which message of an extraction is told of, and which work is behind it.

use quarry::runtime::Entity;
use quarry_extract::{ExtractionWork, Submission};
use quarry_ports::{MessageFilter, MessageRecord, MessageState, MessageStateKind, StoreError};
use quarry_types::{Address, MessageId};

use super::{
    position::{Position, not_ours},
    tail::Tail,
};
use crate::{Code, Gateway, Problem, extractions::EXTRACT, progress::newest};

/// How many open messages of a submission are looked at.
const LOOKED_AT: u32 = 100;

/// The message that extracts now, or did last; from its beginning.
pub(super) async fn latest(gateway: &Gateway, address: &Address) -> Result<Position, Problem> {
    let record = match open(gateway, address).await?.pop() {
        Some(record) => Some(record),
        None => newest(gateway, address).await?,
    };
    let record = record.filter(is_submission).ok_or_else(|| {
        let detail = format!("there is no message of an extraction {}", address.id);
        Problem::new(Code::NoSuchExtraction, detail).field("id")
    })?;
    let own = Tail { message_id: record.message.message_id, next: 0 };
    Ok(Position { own, work: None })
}

/// The message that the event `id` of an extraction is of; from behind that event.
pub(super) async fn behind(
    gateway: &Gateway,
    address: &Address,
    id: &str,
) -> Result<Position, Problem> {
    let position = Position::parse(id)?;
    let own = gateway.store().message(position.own.message_id).await?;
    let own = own.filter(|record| record.message.address == *address && is_submission(record));
    own.ok_or_else(|| not_ours(id))?;
    if let Some(tail) = position.work {
        let record = gateway.store().message(tail.message_id).await?;
        let is_work = record.is_some_and(|record| {
            let of = record.message.address;
            of.tenant == address.tenant && of.entity_type.as_str() == ExtractionWork::TYPE
        });
        if !is_work {
            return Err(not_ours(id));
        }
    }
    Ok(position)
}

/// The open message that asks for the same as `submission`.
pub(crate) async fn same(
    gateway: &Gateway,
    address: &Address,
    submission: &Submission,
) -> Result<Option<MessageId>, StoreError> {
    let open = open(gateway, address).await?;
    let same = open.into_iter().rev().find(|record| {
        let asked = serde_json::from_slice::<Submission>(&record.message.payload);
        is_submission(record) && asked.is_ok_and(|asked| asked == *submission)
    });
    Ok(same.map(|record| record.message.message_id))
}

/// Newest first: the last of them runs.
async fn open(gateway: &Gateway, address: &Address) -> Result<Vec<MessageRecord>, StoreError> {
    let filter = MessageFilter {
        tenant: Some(address.tenant.clone()),
        address: Some(address.clone()),
        state: Some(MessageStateKind::Open),
        ..MessageFilter::default()
    };
    let mut items = gateway.store().messages(filter, None, LOOKED_AT).await?.items;
    items.retain(|record| matches!(record.state, MessageState::Open { .. }));
    Ok(items)
}

fn is_submission(record: &MessageRecord) -> bool {
    record.message.method.as_str() == EXTRACT
}
