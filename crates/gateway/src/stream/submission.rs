//! Which message of an extraction is told of, and which work is behind it.

use quarry_extract::Submission;
use quarry_ports::{MessageFilter, MessageRecord, MessageState, MessageStateKind, StoreError};
use quarry_types::{Address, MessageId};

use super::{
    position::{Position, not_ours},
    tail::Tail,
};
use crate::{
    Code, Gateway, Problem,
    extractions::{EXTRACT, addressee, newest},
};

/// How many open messages of a submission are looked at.
const LOOKED_AT: u32 = 100;

/// A submission that is told of.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) position: Position,
    /// None where it cannot be named any more, because its ontology is gone.
    pub(super) work: Option<Address>,
}

/// The message that extracts now, or did last; from its beginning.
pub(super) async fn latest(gateway: &Gateway, address: &Address) -> Result<Told, Problem> {
    let record = match open(gateway, address).await?.pop() {
        Some(record) => Some(record),
        None => newest(gateway, address).await?,
    };
    let record = record.filter(is_submission).ok_or_else(|| {
        let detail = format!("there is no message of an extraction {}", address.id);
        Problem::new(Code::NoSuchExtraction, detail).field("id")
    })?;
    let own = Tail { message_id: record.message.message_id, next: 0 };
    Ok(Told { position: Position { own, work: None }, work: work(gateway, &record) })
}

/// The message that the event `id` of an extraction is of; from behind that event.
pub(super) async fn behind(
    gateway: &Gateway,
    address: &Address,
    id: &str,
) -> Result<Told, Problem> {
    let position = Position::parse(id)?;
    let own = gateway.store().message(position.own.message_id).await?;
    let own = own.filter(|record| record.message.address == *address && is_submission(record));
    let own = own.ok_or_else(|| not_ours(id))?;
    let work = work(gateway, &own);
    if let Some(tail) = position.work {
        let record = gateway.store().message(tail.message_id).await?;
        if record.map(|record| record.message.address) != work {
            return Err(not_ours(id));
        }
    }
    Ok(Told { position, work })
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
    };
    let mut items = gateway.store().messages(filter, None, LOOKED_AT).await?.items;
    items.retain(|record| matches!(record.state, MessageState::Open { .. }));
    Ok(items)
}

fn is_submission(record: &MessageRecord) -> bool {
    record.message.method.as_str() == EXTRACT
}

fn work(gateway: &Gateway, record: &MessageRecord) -> Option<Address> {
    let submission: Submission = serde_json::from_slice(&record.message.payload).ok()?;
    Some(addressee(gateway, &submission).ok()?.work)
}
