//! `POST /v1/cluster/voters:replace`.

use axum::{Json, extract::State, http::Uri};
use quarry_ports::Administration;
use quarry_types::{NodeId, api};

use crate::{
    Gateway, Problem,
    cluster::all_known,
    request::{JsonBody, Query, decode},
};

/// Lets one node vote in the place of another.
pub(crate) async fn replace(
    State(gateway): State<Gateway>,
    uri: Uri,
    JsonBody(body): JsonBody,
) -> Result<Json<api::VoterReplaced>, Problem> {
    Query::parse(uri.query(), &[])?;
    let api::ReplaceVoter { old, new } = decode(&body)?;
    // The old one need not be known: a voter may never have joined.
    all_known(&gateway.node().view(), &[NodeId(new)].into(), "new")?;
    let what = Administration::ReplaceVoter { old: NodeId(old), new: NodeId(new) };
    let applied = gateway.coordinator().administer(what).await?;
    Ok(Json(api::VoterReplaced { old, new, applied }))
}
