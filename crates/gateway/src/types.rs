//! `GET /v1/types`: which entity types and methods exist.

use axum::{Json, extract::State, http::Uri};
use quarry_types::api;

use crate::{
    Gateway, Problem,
    request::{NoBody, Query},
};

/// Lists the types of this node, which are the same on every node.
pub(crate) async fn list(
    State(gateway): State<Gateway>,
    uri: Uri,
    _: NoBody,
) -> Result<Json<api::Types>, Problem> {
    Query::parse(uri.query(), &[])?;
    let types = gateway.node().registry().types().into_iter().map(|spec| api::TypeEntry {
        name: spec.name.to_owned(),
        methods: spec
            .methods
            .into_iter()
            .map(|method| api::MethodEntry {
                name: method.name.to_owned(),
                delivery: method.delivery,
            })
            .collect(),
    });
    Ok(Json(api::Types { types: types.collect() }))
}
