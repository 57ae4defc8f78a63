//! `/v1/cluster`: nodes, shards, and the changes that an operator asks for.

use std::collections::BTreeSet;

use axum::{Json, extract::State, http::Uri};
use quarry_core::coordinator::forecast;
use quarry_ports::Administration;
use quarry_types::{ClusterView, EntityType, NodeId, NodeView, api};

use crate::{
    Code, Gateway, Problem,
    placement::shard_document,
    request::{NoBody, NodeIds, PathOf, Query, node_ids},
    time,
};

/// The cluster as this node knows it.
pub(crate) async fn show(
    State(gateway): State<Gateway>,
    uri: Uri,
    _: NoBody,
) -> Result<Json<api::Cluster>, Problem> {
    Query::parse(uri.query(), &[])?;
    let view = gateway.node().view();
    let status = gateway.coordinator().status();
    let leader = leader(&gateway, &view);
    Ok(Json(api::Cluster {
        node: gateway.node().id().0,
        applied: view.applied,
        leader,
        term: status.term,
        voters: status.voters.iter().map(|node| node.0).collect(),
        has_quorum: status.has_quorum,
        planes: gateway.config().protection,
        shards: count(&view),
        bindings: view.bindings.bound().map(binding).collect(),
        nodes: view.nodes.values().map(|node| node_document(&view, node)).collect(),
    }))
}

/// Who leads the coordinator, as this node knows.
fn leader(gateway: &Gateway, view: &ClusterView) -> Option<u64> {
    gateway.coordinator().status().leader.or(view.leader).map(|node| node.0)
}

/// All shards, in order of their slots.
pub(crate) async fn shards(
    State(gateway): State<Gateway>,
    uri: Uri,
    _: NoBody,
) -> Result<Json<api::Shards>, Problem> {
    Query::parse(uri.query(), &[])?;
    let view = gateway.node().view();
    let shards = view.shards.iter().map(shard_document).collect();
    Ok(Json(api::Shards { applied: view.applied, leader: leader(&gateway, &view), shards }))
}

/// What would change hands if some nodes were lost, and what is still to come of itself.
pub(crate) async fn plan(
    State(gateway): State<Gateway>,
    uri: Uri,
    _: NoBody,
) -> Result<Json<api::Plan>, Problem> {
    let query = Query::parse(uri.query(), &["if_lost"])?;
    let NodeIds(lost) = query.value("if_lost")?.unwrap_or_default();
    let view = gateway.node().view();
    all_known(&view, &lost, "if_lost")?;
    let foreseen = forecast(&view, &lost).map_err(|unknown| no_such_node(&view, unknown.0))?;
    let moves = foreseen.moves.into_iter().map(|change| api::PlannedMove {
        shard: change.shard.0,
        from: change.from.map(|node| node.0),
        to: change.to.0,
        reason: change.reason,
        handed_over: change.is_handed_over,
    });
    Ok(Json(api::Plan {
        applied: view.applied,
        leader: leader(&gateway, &view),
        if_lost: lost.iter().map(|node| node.0).collect(),
        moves: moves.collect(),
        waiting: foreseen.waiting.iter().map(|shard| shard.0).collect(),
    }))
}

/// What changed hands lately, and why.
pub(crate) async fn moves(
    State(gateway): State<Gateway>,
    uri: Uri,
    _: NoBody,
) -> Result<Json<api::Moves>, Problem> {
    Query::parse(uri.query(), &[])?;
    let view = gateway.node().view();
    let moves = view.moves.iter().rev().map(|told| api::Move {
        index: told.index,
        at: time::rfc3339(told.at),
        from: told.from.map(|node| node.0),
        to: told.to.0,
        reason: told.reason,
        epoch: told.epoch.0,
        count: told.count,
        shards: told.shards.iter().map(|shard| shard.0).collect(),
    });
    let moves = moves.collect();
    Ok(Json(api::Moves { applied: view.applied, leader: leader(&gateway, &view), moves }))
}

/// Moves all shards away from nodes. Whoever ends a whole cluster ends its nodes.
pub(crate) async fn drain(
    State(gateway): State<Gateway>,
    PathOf(id): PathOf<String>,
    uri: Uri,
    _: NoBody,
) -> Result<Json<api::Change>, Problem> {
    administer(&gateway, &id, &uri, Administration::Drain).await
}

/// Lets nodes take shards again.
pub(crate) async fn undrain(
    State(gateway): State<Gateway>,
    PathOf(id): PathOf<String>,
    uri: Uri,
    _: NoBody,
) -> Result<Json<api::Change>, Problem> {
    administer(&gateway, &id, &uri, Administration::Undrain).await
}

async fn administer(
    gateway: &Gateway,
    id: &str,
    uri: &Uri,
    what: fn(BTreeSet<NodeId>) -> Administration,
) -> Result<Json<api::Change>, Problem> {
    Query::parse(uri.query(), &[])?;
    let NodeIds(nodes) = node_ids(id)?;
    all_known(&gateway.node().view(), &nodes, "id")?;
    let ids: Vec<u64> = nodes.iter().map(|node| node.0).collect();
    let applied = gateway.coordinator().administer(what(nodes)).await?;
    Ok(Json(api::Change { node: ids.first().copied().unwrap_or_default(), nodes: ids, applied }))
}

pub(crate) fn all_known(
    view: &ClusterView,
    nodes: &BTreeSet<NodeId>,
    field: &'static str,
) -> Result<(), Problem> {
    let unknown = nodes.iter().find(|node| !view.nodes.contains_key(node));
    unknown.map_or(Ok(()), |node| Err(no_such_node(view, *node).field(field)))
}

fn no_such_node(view: &ClusterView, node: NodeId) -> Problem {
    let known = view.nodes.keys().map(ToString::to_string);
    Problem::new(Code::NoSuchNode, format!("the cluster has no node {node}")).available(known)
}

fn binding((entity_type, group): (&EntityType, &str)) -> api::Binding {
    api::Binding { entity_type: entity_type.to_string(), group: group.to_owned() }
}

fn node_document(view: &ClusterView, node: &NodeView) -> api::Node {
    api::Node {
        id: node.id.0,
        state: node.state,
        roles: node.roles.iter().copied().collect(),
        weight: node.weight,
        groups: node.groups.iter().cloned().collect(),
        http: node.http.clone(),
        control: node.control.clone(),
        mesh: node.mesh.clone(),
        shards: number(view.owned_by(node.id).count()),
    }
}

fn count(view: &ClusterView) -> api::ShardCount {
    let total = number(view.shards.len());
    let owned = number(view.shards.iter().filter(|shard| shard.owner.is_some()).count());
    let moving = number(view.shards.iter().filter(|shard| shard.moving_to.is_some()).count());
    api::ShardCount { total, owned, unowned: total.saturating_sub(owned), moving }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
