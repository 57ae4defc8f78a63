//! `GET /metrics`: the node's metrics as Prometheus reads them.

use axum::{
    extract::State,
    http::{Uri, header},
    response::{IntoResponse, Response},
};
use prometheus::{Encoder, TextEncoder};
use quarry_ports::Metrics;

use crate::{Code, Gateway, Problem, request::Query};

/// All families of the node's registry. What changes by time alone is read at this moment.
pub(crate) async fn metrics(State(gateway): State<Gateway>, uri: Uri) -> Result<Response, Problem> {
    Query::parse(uri.query(), &[])?;
    refresh(&gateway);
    text(gateway.metrics())
}

/// All families of a registry.
pub(crate) fn text(metrics: &Metrics) -> Result<Response, Problem> {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    let families = metrics.registry.gather();
    encoder.encode(&families, &mut text).map_err(|error| {
        Problem::new(Code::ReadPanic, format!("the metrics cannot be written: {error}"))
    })?;
    let content_type = encoder.format_type().to_owned();
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}

fn refresh(gateway: &Gateway) {
    let metrics = gateway.metrics();
    let view = gateway.node().view();
    let unowned = view.shards.iter().filter(|shard| shard.owner.is_none()).count();
    metrics.shards_unowned.set(i64::try_from(unowned).unwrap_or(i64::MAX));
    let left = gateway.coordinator().lease().deadline().since(gateway.host().now());
    metrics.lease_seconds.set(left.as_secs_f64());
    let status = gateway.coordinator().status();
    metrics.raft_term.set(i64::try_from(status.term).unwrap_or(i64::MAX));
    metrics.raft_applied.set(i64::try_from(status.applied).unwrap_or(i64::MAX));
    metrics.raft_lag.set(i64::try_from(status.behind).unwrap_or(i64::MAX));
}
