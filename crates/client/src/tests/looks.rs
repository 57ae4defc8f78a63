//! Reads and changes.

use std::time::Duration;

use quarry_types::{
    Address, NodeId, Tenant,
    api::{HealthStatus, MessageOutcome, MessageStatus},
};
use serde_json::json;

use super::script::{Act, Script, nobody};
use crate::{Client, ClientError, EntityQuery, MessageQuery};

fn answer(body: &serde_json::Value) -> Act {
    Act::Answer(200, String::new(), body.to_string())
}

fn first_line(script: &Script) -> String {
    script.requests().last().unwrap().lines().next().unwrap().to_owned()
}

#[tokio::test]
async fn a_message_is_read_with_its_outcome() {
    let id = "01890000-0000-7000-8000-000000000001";
    let body = json!({
        "messageId": id, "type": "Counter", "id": "c", "method": "add", "key": "k",
        "state": "finished", "attempts": 1, "acceptedAt": "2026-01-01T00:00:00.000Z",
        "finishedAt": "2026-01-01T00:00:00.005Z", "outcome": { "status": "success", "reply": 5 },
    });
    let script = Script::play([answer(&body)]).await;
    let client = Client::new([nobody().await, script.url.clone()], None).unwrap();
    let wait = Some(Duration::from_secs(3));
    let message = client.message(id.parse().unwrap(), wait).await.unwrap();
    assert_eq!(message.outcome, Some(MessageOutcome::Success { reply: json!(5) }));
    assert_eq!(first_line(&script), format!("GET /v1/messages/{id}?wait=3000ms HTTP/1.1"));
}

#[tokio::test]
async fn lists_are_asked_for_by_filter() {
    let page = answer(&json!({ "items": [], "next": "n" }));
    let script = Script::play([page.clone(), page]).await;
    let client = Client::new([&script.url], None).unwrap();
    let entity = Address::parse(Tenant::default_tenant(), "Counter/a&b").unwrap();
    let query = MessageQuery {
        state: Some(MessageStatus::Open),
        entity: Some(entity),
        older_than: Some(Duration::from_secs(5)),
        limit: Some(5),
        cursor: Some("c".to_owned()),
    };
    assert_eq!(client.messages(&query).await.unwrap().next.as_deref(), Some("n"));
    let asked = "GET /v1/messages?state=open&entity=Counter%2Fa%26b&older_than=5000ms\
                 &limit=5&cursor=c HTTP/1.1";
    assert_eq!(first_line(&script), asked);
    client.entities(&EntityQuery::default()).await.unwrap();
    assert_eq!(first_line(&script), "GET /v1/entities HTTP/1.1");
}

#[tokio::test]
async fn bad_health_is_read_like_good() {
    let body = json!({ "type": "urn:quarry:problem:not_ready", "title": "Not ready",
        "detail": "store: gone", "instance": "/readyz", "code": "not_ready", "trace_id": "0",
        "retryable": true, "outcome": "refused", "retry_after_ms": 1_000,
        "status": 503, "health": "unhealthy", "shards": 0, "checks": [
            { "name": "store", "status": "unhealthy", "detail": "gone" },
        ] });
    let script = Script::play([Act::Answer(503, String::new(), body.to_string())]).await;
    // The first of the bases is gone.
    let client = Client::new(["http://127.0.0.1:1", script.url.as_str()], None).unwrap();
    let health = client.ready().await.unwrap();
    assert_eq!((health.status, health.checks.len()), (HealthStatus::Unhealthy, 1));
    assert_eq!(first_line(&script), "GET /readyz?verbose=true HTTP/1.1");
}

#[tokio::test]
async fn a_change_whose_answer_is_lost_is_asked_for_again() {
    let script = Script::play([Act::HangUp]).await;
    let other = Script::play([answer(&json!({ "node": 2, "nodes": [2, 3], "applied": 9 }))]).await;
    let client = Client::new([&script.url, &other.url], None).unwrap();
    let change = client.drain(&[NodeId(2), NodeId(3)]).await.unwrap();
    assert_eq!((change.nodes, change.applied), (vec![2, 3], 9));
    assert_eq!(first_line(&other), "POST /v1/cluster/nodes/2,3/drain HTTP/1.1");
    let error = client.undrain(&[NodeId(2)]).await.unwrap_err();
    assert!(matches!(error, ClientError::Unknown { .. }), "{error:?}");
}

#[tokio::test]
async fn a_refused_read_is_told_at_once() {
    let script = Script::play([Act::problem(404, "refused", false)]).await;
    let client = Client::new([&script.url, &script.url], None).unwrap();
    assert!(matches!(client.types().await, Err(ClientError::Refused(_))));
    assert_eq!(script.requests().len(), 1);
}
