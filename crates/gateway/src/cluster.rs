//! `/v1/cluster`: nodes, shards, and the changes that an operator asks for.

use axum::{Json, extract::State, http::Uri};
use quarry_ports::Administration;
use quarry_types::{ClusterView, NodeId, NodeView, api};

use crate::{
    Code, Gateway, Problem,
    placement::shard_document,
    request::{NoBody, PathOf, Query, node_id},
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
    Ok(Json(api::Cluster {
        node: gateway.node().id().0,
        applied: view.applied,
        leader: status.leader.or(view.leader).map(|node| node.0),
        term: status.term,
        voters: status.voters.iter().map(|node| node.0).collect(),
        has_quorum: status.has_quorum,
        planes: gateway.config().protection,
        shards: count(&view),
        nodes: view.nodes.values().map(|node| node_document(&view, node)).collect(),
    }))
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
    Ok(Json(api::Shards { applied: view.applied, shards }))
}

/// Moves all shards away from a node.
pub(crate) async fn drain(
    State(gateway): State<Gateway>,
    PathOf(id): PathOf<String>,
    uri: Uri,
    _: NoBody,
) -> Result<Json<api::Change>, Problem> {
    administer(&gateway, &id, &uri, Administration::Drain).await
}

/// Lets a node take shards again.
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
    what: fn(NodeId) -> Administration,
) -> Result<Json<api::Change>, Problem> {
    Query::parse(uri.query(), &[])?;
    let node = node_id(id)?;
    let view = gateway.node().view();
    if !view.nodes.contains_key(&node) {
        let known = view.nodes.keys().map(ToString::to_string);
        let problem = Problem::new(Code::NoSuchNode, format!("the cluster has no node {node}"));
        return Err(problem.field("id").available(known));
    }
    let applied = gateway.coordinator().administer(what(node)).await?;
    Ok(Json(api::Change { node: node.0, applied }))
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
