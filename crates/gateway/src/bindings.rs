//! `POST /v1/cluster/types:bind`.

use axum::{Json, extract::State, http::Uri};
use quarry_ports::Administration;
use quarry_types::api;

use crate::{
    Gateway, Problem,
    placement::check_type,
    request::{JsonBody, Query, decode, entity_type},
};

/// Binds an entity type that was never used to a group of runners.
pub(crate) async fn bind(
    State(gateway): State<Gateway>,
    uri: Uri,
    JsonBody(body): JsonBody,
) -> Result<Json<api::Bound>, Problem> {
    Query::parse(uri.query(), &[])?;
    let api::Binding { entity_type: name, group } = decode(&body)?;
    let entity_type = entity_type(&name)?;
    check_type(&gateway, &entity_type)?;
    let what = Administration::Bind { entity_type, group: group.clone() };
    let applied = gateway.coordinator().administer(what).await?;
    Ok(Json(api::Bound { entity_type: name, group, applied }))
}
