//! `GET /v1/placement/{type}/{id}`: where an entity lives, and why.

use axum::{Json, extract::State, http::Uri};
use quarry_core::{
    coordinator::planner_input,
    placement::{Suitor, explain},
};
use quarry_types::{Address, ClusterView, EntityType, Home, NodeId, RefusalCode, ShardView, api};

use crate::{
    Code, Gateway, Problem,
    request::{NoBody, PathOf, Query, did_you_mean, entity_id, entity_type},
};

/// Where the entity of the path lives.
pub(crate) async fn show(
    State(gateway): State<Gateway>,
    PathOf((entity_type, id)): PathOf<(String, String)>,
    uri: Uri,
    _: NoBody,
) -> Result<Json<api::Placement>, Problem> {
    Query::parse(uri.query(), &[])?;
    let address = address(&gateway, &entity_type, &id)?;
    Ok(Json(placement(&gateway.node().view(), &address)))
}

/// The address that a path names, of a type that exists.
pub(crate) fn address(gateway: &Gateway, type_text: &str, id: &str) -> Result<Address, Problem> {
    let entity_type = entity_type(type_text)?;
    check_type(gateway, &entity_type)?;
    Ok(Address { tenant: gateway.tenant().clone(), entity_type, id: entity_id(id)? })
}

/// Refuses a type that does not exist, and lists those that do.
pub(crate) fn check_type(gateway: &Gateway, entity_type: &EntityType) -> Result<(), Problem> {
    let registry = gateway.node().registry();
    if registry.get(entity_type).is_some() {
        return Ok(());
    }
    let types = registry.types();
    let names = || types.iter().map(|spec| spec.name);
    let meant = did_you_mean(entity_type.as_str(), names());
    let detail = format!("there is no entity type {entity_type}{meant}");
    let problem = Problem::new(Code::Refused(RefusalCode::UnknownType), detail);
    Err(problem.field("type").available(names()))
}

/// Where `address` lives by `view`.
pub(crate) fn placement(view: &ClusterView, address: &Address) -> api::Placement {
    let slot = address.slot();
    let (shard, space) = match view.home_of(address) {
        Home::Shard(shard) => (Some(shard), shard.id.space()),
        Home::Unmade(space) | Home::Unused(space) => (view.shard_at(space, slot), space),
    };
    let suitors = shard.map(|shard| explain(&planner_input(view), shard.id)).unwrap_or_default();
    let owner = shard.and_then(|shard| shard.owner).and_then(|owner| view.nodes.get(&owner));
    api::Placement {
        entity_type: address.entity_type.to_string(),
        id: address.id.to_string(),
        tenant: address.tenant.to_string(),
        slot: slot.0,
        group: view.bindings.group_name(space).to_owned(),
        space: space.0,
        shard: shard.map(shard_document),
        owner_http: owner.map(|node| node.http.clone()),
        applied: view.applied,
        leader: view.leader.map(|node| node.0),
        reason: reason(shard, slot.0, view.bindings.group(space), &suitors),
        candidates: suitors.iter().map(candidate).collect(),
    }
}

fn candidate(suitor: &Suitor) -> api::Candidate {
    api::Candidate {
        node: suitor.node.0,
        cost: suitor.cost.millionths(),
        load: suitor.count,
        share: suitor.share,
    }
}

/// A shard as it is shown.
pub(crate) fn shard_document(shard: &ShardView) -> api::Shard {
    api::Shard {
        id: shard.id.0,
        space: shard.id.space().0,
        first: shard.range.first.0,
        last: shard.range.last.0,
        owner: shard.owner.map(|node| node.0),
        epoch: shard.epoch.0,
        moving_to: shard.moving_to.map(|node| node.0),
        load: shard.load,
    }
}

fn reason(shard: Option<&ShardView>, slot: u16, group: Option<&str>, suitors: &[Suitor]) -> String {
    let Some(shard) = shard else {
        return format!("slot {slot} is in no shard yet: the coordinator has not made the shards");
    };
    let of = group.map(|group| format!(" of group {group:?}, to which the type is bound"));
    let lies = format!("slot {slot} lies in shard {}{}", shard.id, of.unwrap_or_default());
    match (shard.owner, shard.moving_to) {
        (Some(owner), None) => {
            let why = why(owner, suitors);
            format!("{lies}, granted to node {owner} in epoch {}{why}", shard.epoch)
        }
        (Some(owner), Some(next)) => {
            format!(
                "{lies}, granted to node {owner} in epoch {} and on its way to node {next}",
                shard.epoch
            )
        }
        (None, Some(next)) => format!("{lies}, which nobody owns; node {next} is to get it"),
        (None, None) => {
            let of_group = group.map(|_| " of the group").unwrap_or_default();
            format!(
                "{lies}, which nobody owns: no runner{of_group} with a lease is free to take it"
            )
        }
    }
}

/// Why the owner has it and not a runner that suits it better.
fn why(owner: NodeId, suitors: &[Suitor]) -> String {
    match suitors.first() {
        None => String::new(),
        Some(best) if best.node == owner && suitors.len() == 1 => {
            ": no other runner may take it".to_owned()
        }
        Some(best) if best.node == owner => {
            format!(": that suits it best of {} runners", suitors.len())
        }
        Some(best) if best.count >= best.share => format!(
            ": node {} suits it better, and has its share of {} shards",
            best.node, best.share
        ),
        Some(best) => format!(
            ": node {} suits it better, and takes no shard from an owner that stays within its share",
            best.node
        ),
    }
}
