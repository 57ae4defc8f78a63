//! `/livez`, `/readyz`, `/healthz`. Good news is an [`api::Health`]; bad news is a problem, 503, that
//! holds what was looked at: an [`api::IllHealth`].

use std::time::Duration;

use axum::{Json, extract::State, http::Uri};
use quarry_types::{
    NodeId, NodeState, Role,
    api::{self, HealthStatus},
};

use crate::{Code, Gateway, Problem, request::Query};

/// How long a runner may be without shards.
const WITHOUT_SHARDS: Duration = Duration::from_secs(10);

/// The loop is alive: it answers. Looks at nothing else.
pub(crate) async fn live(uri: Uri) -> Result<Json<serde_json::Value>, Problem> {
    Query::parse(uri.query(), &[])?;
    Ok(Json(serde_json::json!({ "status": HealthStatus::Healthy })))
}

/// Whether the node takes work. `?verbose` shows all checks, else those that failed.
pub(crate) async fn ready(
    State(gateway): State<Gateway>,
    uri: Uri,
) -> Result<Json<api::Health>, Problem> {
    let verbose = Query::parse(uri.query(), &["verbose"])?.flag("verbose")?;
    let mut checks = vec![store(&gateway).await, coordinator(&gateway), draining(&gateway)];
    checks.extend(lease(&gateway));
    let status = worst(&checks);
    if !verbose {
        checks.retain(|check| check.status != HealthStatus::Healthy);
    }
    answer(&gateway, Code::NotReady, status, checks)
}

/// How the node is, in depth.
pub(crate) async fn deep(
    State(gateway): State<Gateway>,
    uri: Uri,
) -> Result<Json<api::Health>, Problem> {
    Query::parse(uri.query(), &[])?;
    let mut checks = vec![store(&gateway).await, coordinator(&gateway)];
    checks.extend(lease(&gateway));
    checks.extend(shards(&gateway));
    let status = worst(&checks);
    answer(&gateway, Code::Unhealthy, status, checks)
}

/// What was looked at; a problem of kind `ill` where any of it is not well.
fn answer(
    gateway: &Gateway,
    ill: Code,
    status: HealthStatus,
    checks: Vec<api::Check>,
) -> Result<Json<api::Health>, Problem> {
    let health = api::Health { status, shards: serving(gateway), checks };
    match status {
        HealthStatus::Healthy | HealthStatus::Degraded => Ok(Json(health)),
        HealthStatus::Unhealthy => Err(Problem::ill(ill, health)),
    }
}

fn worst(checks: &[api::Check]) -> HealthStatus {
    checks.iter().map(|check| check.status).max().unwrap_or(HealthStatus::Healthy)
}

fn check(name: &str, status: HealthStatus, detail: impl Into<String>) -> api::Check {
    api::Check { name: name.to_owned(), status, detail: detail.into() }
}

/// The store takes writes; it was opened with the schema of this program, or not at all.
async fn store(gateway: &Gateway) -> api::Check {
    let store = gateway.store();
    match store.check_writable(gateway.config().check_timeout).await {
        Ok(()) => {
            check("store", HealthStatus::Healthy, format!("{} takes writes", store.describe()))
        }
        Err(error) => check("store", HealthStatus::Unhealthy, error.to_string()),
    }
}

/// The coordinator has a leader. Without one, leases run on until they end: degraded.
fn coordinator(gateway: &Gateway) -> api::Check {
    let status = gateway.coordinator().status();
    led(status.leader.filter(|_| status.has_quorum), status.term, status.applied)
}

/// How a node is that knows this leader with a quorum, if any.
fn led(leader: Option<NodeId>, term: u64, applied: u64) -> api::Check {
    match leader {
        Some(leader) => {
            let detail = format!("node {leader} leads in term {term}, applied {applied}");
            check("coordinator", HealthStatus::Healthy, detail)
        }
        _ if applied == 0 => {
            check("coordinator", HealthStatus::Unhealthy, "no leader was heard of yet")
        }
        _ => {
            let detail = format!("no leader with a quorum is known in term {term}");
            check("coordinator", HealthStatus::Degraded, detail)
        }
    }
}

fn draining(gateway: &Gateway) -> api::Check {
    let view = gateway.node().view();
    let ordered = view.nodes.get(&gateway.node().id()).map(|node| node.state);
    if gateway.node().is_draining() || ordered == Some(NodeState::Draining) {
        return check("draining", HealthStatus::Unhealthy, "the node gives its shards away");
    }
    check("draining", HealthStatus::Healthy, "the node keeps its shards")
}

/// Whether this node hosts entities; unknown before it has joined.
fn is_runner(gateway: &Gateway) -> bool {
    let view = gateway.node().view();
    let node = view.nodes.get(&gateway.node().id());
    node.is_none_or(|node| node.roles.contains(&Role::Runner))
}

fn lease(gateway: &Gateway) -> Option<api::Check> {
    if !is_runner(gateway) {
        return None;
    }
    let left = gateway.coordinator().lease().deadline().since(gateway.host().now());
    Some(if left.is_zero() {
        check("lease", HealthStatus::Unhealthy, "the lease is not held: nothing is admitted")
    } else {
        check("lease", HealthStatus::Healthy, format!("{} ms left", left.as_millis()))
    })
}

/// A runner that has had no shards for a while, in a cluster that has some to give, is ill.
fn shards(gateway: &Gateway) -> Option<api::Check> {
    if !is_runner(gateway) {
        return None;
    }
    let view = gateway.node().view();
    let me = view.nodes.get(&gateway.node().id());
    let wants = me.is_some_and(|node| node.state == NodeState::Up && node.weight > 0);
    let serving = serving(gateway);
    let age = gateway.host().now().since(gateway.begun());
    let detail = format!("{serving} of {} shards are served here", view.shards.len());
    let is_due = wants && !view.shards.is_empty();
    Some(check("shards", serves(serving, is_due, age), detail))
}

/// How a runner of this age is that serves so many shards; whether it is due some.
fn serves(shards: u32, is_due: bool, age: Duration) -> HealthStatus {
    match shards {
        0 if is_due && age > WITHOUT_SHARDS => HealthStatus::Unhealthy,
        0 => HealthStatus::Degraded,
        _ => HealthStatus::Healthy,
    }
}

fn serving(gateway: &Gateway) -> u32 {
    u32::try_from(gateway.metrics().active_shards.get()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_leader_a_node_is_degraded_and_ill_where_it_never_heard_of_one() {
        let status = |leader, applied| led(leader, 3, applied).status;
        assert_eq!(status(Some(NodeId(2)), 7), HealthStatus::Healthy);
        assert_eq!(status(None, 7), HealthStatus::Degraded, "leases run on");
        assert_eq!(status(None, 0), HealthStatus::Unhealthy);
    }

    #[test]
    fn a_runner_that_gets_no_shards_for_long_is_ill() {
        let (young, old) = (WITHOUT_SHARDS, WITHOUT_SHARDS + Duration::from_millis(1));
        for (shards, is_due, age, expected) in [
            (1, true, old, HealthStatus::Healthy),
            (0, true, young, HealthStatus::Degraded),
            (0, true, old, HealthStatus::Unhealthy),
            (0, false, old, HealthStatus::Degraded),
        ] {
            assert_eq!(serves(shards, is_due, age), expected, "{shards} {is_due} {age:?}");
        }
    }
}
