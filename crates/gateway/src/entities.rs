//! `GET /v1/entities`: list entities, look at one.

use std::time::Duration;

use axum::{Json, extract::State, http::Uri};
use quarry::runtime::InMemory;
use quarry_ports::{EntityFilter, EntityRecord, MessageFilter, MessageState, MessageStateKind};
use quarry_types::{Address, EntityType, api};

use crate::{
    Code, Gateway, Problem,
    placement::{address, check_type, placement},
    request::{Cursors, NoBody, PathOf, Query},
    time::rfc3339,
};

/// How many messages of each state a look at an entity shows.
const SHOWN: u32 = 100;
/// How long the owner may take to say what it has in memory.
const LOOK_WITHIN: Duration = Duration::from_secs(1);

/// Lists the entities that have a stored state, in order of type and id.
pub(crate) async fn list(
    State(gateway): State<Gateway>,
    uri: Uri,
    _: NoBody,
) -> Result<Json<api::Page<api::EntitySummary>>, Problem> {
    let query = Query::parse(uri.query(), &["type", "limit", "cursor"])?;
    let limit = query.limit()?;
    let entity_type: Option<EntityType> = query.value("type")?;
    if let Some(entity_type) = &entity_type {
        check_type(&gateway, entity_type)?;
    }
    let cursors = Cursors::of(format!("entities {} {entity_type:?}", gateway.tenant()));
    let cursor = query.text("cursor").map(|sealed| cursors.open(sealed)).transpose()?;
    let filter = EntityFilter { tenant: gateway.tenant().clone(), entity_type };
    let page = gateway.store().entities(filter, cursor, limit).await?;
    let next = page.next.map(|next| cursors.seal(&next));
    Ok(Json(api::Page { items: page.items.iter().map(summary).collect(), next }))
}

fn summary(record: &EntityRecord) -> api::EntitySummary {
    api::EntitySummary {
        entity_type: record.address.entity_type.to_string(),
        id: record.address.id.to_string(),
        slot: record.slot.0,
        state_bytes: record.state_bytes,
        updated_at: rfc3339(record.updated_at),
    }
}

/// Looks at one entity: owner, state, queue, last error.
pub(crate) async fn show(
    State(gateway): State<Gateway>,
    PathOf((entity_type, id)): PathOf<(String, String)>,
    uri: Uri,
    _: NoBody,
) -> Result<Json<api::Entity>, Problem> {
    Query::parse(uri.query(), &[])?;
    let address = address(&gateway, &entity_type, &id)?;
    let state = gateway.store().states(vec![address.clone()]).await?.into_iter().flatten().next();
    let open = messages(&gateway, &address, MessageStateKind::Open).await?;
    let delayed = messages(&gateway, &address, MessageStateKind::Delayed).await?;
    let quarantined = messages(&gateway, &address, MessageStateKind::Quarantined).await?;
    let waits = [&open, &delayed, &quarantined].iter().any(|waiting| !waiting.ids.is_empty());
    let known = state.is_some() || waits;
    if !known && !has_finished(&gateway, &address).await? {
        let detail = format!("nothing is stored of {address}; it begins with its first message");
        return Err(Problem::new(Code::NoSuchEntity, detail).field("id"));
    }
    let state_bytes = state.as_ref().map(|stored| stored.state.len());
    Ok(Json(api::Entity {
        placement: placement(&gateway.node().view(), &address),
        state_bytes: state_bytes.map(|bytes| u64::try_from(bytes).unwrap_or(u64::MAX)),
        sequence: state.map(|stored| stored.sequence.0),
        open: open.ids,
        delayed: delayed.ids,
        quarantined: quarantined.ids,
        last_error: open.error.or(quarantined.error),
        memory: gateway.node().look(&address, LOOK_WITHIN).await.map(memory),
    }))
}

fn memory(seen: InMemory) -> api::EntityMemory {
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    api::EntityMemory {
        resident: seen.is_resident,
        running: seen.is_running,
        waiting: count(seen.waiting),
        mailbox: count(seen.mailbox),
    }
}

/// The newest messages of one state, with the last error of the newest that failed.
struct Waiting {
    ids: Vec<String>,
    error: Option<String>,
}

async fn messages(
    gateway: &Gateway,
    address: &Address,
    state: MessageStateKind,
) -> Result<Waiting, Problem> {
    let page = gateway.store().messages(filter(address, state), None, SHOWN).await?;
    let error = page.items.iter().find_map(|record| match &record.state {
        MessageState::Open { errors, .. } | MessageState::Quarantined { errors, .. } => {
            errors.last().cloned()
        }
        MessageState::Finished { .. } => None,
    });
    let ids = page.items.iter().map(|record| record.message.message_id.to_string()).collect();
    Ok(Waiting { ids, error })
}

async fn has_finished(gateway: &Gateway, address: &Address) -> Result<bool, Problem> {
    let filter = filter(address, MessageStateKind::Finished);
    Ok(!gateway.store().messages(filter, None, 1).await?.items.is_empty())
}

fn filter(address: &Address, state: MessageStateKind) -> MessageFilter {
    MessageFilter {
        tenant: Some(address.tenant.clone()),
        address: Some(address.clone()),
        state: Some(state),
        ..MessageFilter::default()
    }
}
