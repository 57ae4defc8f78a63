//! `POST /v1/cluster/shards/{id}:split`.

use axum::{Json, extract::State, http::Uri};
use quarry_ports::{Administration, CoordinatorError};
use quarry_types::{ClusterView, ShardId, api};

use crate::{
    Code, Gateway, Problem,
    placement::shard_document,
    request::{NoBody, PathOf, Query},
};

/// What can be done to a shard.
const VERB: &str = "split";

/// Does to a shard what the verb behind its id says.
pub(crate) async fn act(
    State(gateway): State<Gateway>,
    PathOf(text): PathOf<String>,
    uri: Uri,
    _: NoBody,
) -> Result<Json<api::Split>, Problem> {
    let (id, verb) = text.rsplit_once(':').unwrap_or((&text, ""));
    if verb != VERB {
        let detail = format!("{verb:?} is nothing that can be done to a shard");
        return Err(Problem::new(Code::NoSuchRoute, detail).field("id").available([VERB]));
    }
    Query::parse(uri.query(), &[])?;
    let shard = shard_id(id)?;
    let applied = match gateway.coordinator().administer(Administration::Split(shard)).await {
        Ok(applied) => applied,
        Err(CoordinatorError::Refused { .. }) if !is_known(&gateway.node().view(), shard) => {
            let detail = format!("the cluster has no shard {shard}, and never had");
            return Err(Problem::new(Code::NoSuchShard, detail).field("id"));
        }
        Err(error) => return Err(error.into()),
    };
    let mut view = gateway.coordinator().view();
    // Whoever hears that it is applied is shown what it made. The layer bounds the wait.
    let view = loop {
        let seen = view.borrow_and_update().clone();
        if seen.applied >= applied || view.changed().await.is_err() {
            break seen;
        }
    };
    let parts = view.shards.iter().filter(|part| part.is_part_of(shard));
    let parts = parts.map(shard_document).collect();
    Ok(Json(api::Split { shard: shard.0, parts, applied }))
}

fn shard_id(text: &str) -> Result<ShardId, Problem> {
    text.parse().map(ShardId).map_err(|_| {
        let detail = format!("shard {text:?} is not valid: a whole number from 0");
        Problem::new(Code::InvalidName, detail).field("id")
    })
}

fn is_known(view: &ClusterView, shard: ShardId) -> bool {
    view.shards.iter().any(|known| known.id == shard || known.is_part_of(shard))
}
