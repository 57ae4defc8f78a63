//! Lists for people, over the in-memory tables.

use quarry_ports::{
    EntityFilter, EntityRecord, MessageFilter, MessageRecord, MessageState, MessageStateKind, Page,
};
use quarry_types::MessageId;

use super::tables::Tables;

fn kind(state: &MessageState) -> MessageStateKind {
    match state {
        MessageState::Open { is_delayed: true, .. } => MessageStateKind::Delayed,
        MessageState::Open { .. } => MessageStateKind::Open,
        MessageState::Quarantined { .. } => MessageStateKind::Quarantined,
        MessageState::Finished { .. } => MessageStateKind::Finished,
    }
}

fn is_in(state: &MessageState, wanted: MessageStateKind) -> bool {
    let kind = kind(state);
    match wanted {
        MessageStateKind::Unfinished => kind != MessageStateKind::Finished,
        _ => kind == wanted,
    }
}

fn page<T>(mut found: impl Iterator<Item = T>, limit: u32, name: impl Fn(&T) -> String) -> Page<T> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let items: Vec<T> = found.by_ref().take(limit).collect();
    let next = if found.next().is_some() { items.last().map(name) } else { None };
    Page { items, next }
}

pub(super) fn messages(
    tables: &Tables,
    filter: &MessageFilter,
    before: Option<MessageId>,
    limit: u32,
) -> Page<MessageRecord> {
    let newest_first = tables.messages.keys().rev().filter(|id| before.is_none_or(|at| **id < at));
    let found = newest_first.filter_map(|id| tables.record(*id)).filter(|record| {
        let address = &record.message.address;
        filter.tenant.as_ref().is_none_or(|tenant| *tenant == address.tenant)
            && filter.address.as_ref().is_none_or(|wanted| wanted == address)
            && filter.entity_type.as_ref().is_none_or(|wanted| *wanted == address.entity_type)
            && filter.before.is_none_or(|before| record.message.accepted_at < before)
            && filter.state.is_none_or(|state| is_in(&record.state, state))
    });
    page(found, limit, |record| record.message.message_id.to_string())
}

pub(super) fn entities(
    tables: &Tables,
    filter: &EntityFilter,
    after: Option<&(String, String)>,
    limit: u32,
) -> Page<EntityRecord> {
    let found = tables.states.iter().filter(|(address, _)| {
        let place = (address.entity_type.as_str(), address.id.as_str());
        address.tenant == filter.tenant
            && filter.entity_type.as_ref().is_none_or(|wanted| *wanted == address.entity_type)
            && after.is_none_or(|(entity_type, id)| place > (entity_type.as_str(), id.as_str()))
    });
    let found = found.map(|(address, state)| EntityRecord {
        address: address.clone(),
        slot: address.slot(),
        state_bytes: u64::try_from(state.bytes.len()).unwrap_or(u64::MAX),
        updated_at: state.updated_at,
    });
    page(found, limit, |record| record.address.to_string())
}
