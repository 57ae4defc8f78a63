//! Messages of which only the key is kept.

use axum::http::StatusCode;
use serde_json::json;

use super::harness::{Ask, World};

const ADD: &str = "/v1/entities/Counter/c1/add?discard";

#[tokio::test]
async fn of_a_discarded_message_its_key_is_kept_and_nothing_else() {
    let world = World::new().await;
    let add = |url: &str, body: &str| {
        world.ask(Ask::post(url).header("idempotency-key", "k1").body(body))
    };
    let sent = add(ADD, "5").await;
    assert_eq!(sent.status, StatusCode::ACCEPTED, "{sent:?}");
    let location = sent.header("location").unwrap();
    let ended = world.get(&format!("{location}?wait=10s")).await;
    assert_eq!(ended.body["outcome"], json!({ "status": "success", "reply": null }), "{ended:?}");
    assert_eq!(ended.body["payload"], json!(null));
    let again = add("/v1/entities/Counter/c1/add", "5").await;
    assert_eq!(
        (again.status, again.header("idempotency-replayed")),
        (StatusCode::OK, Some("true"))
    );
    assert_eq!(again.text, "null", "its reply is gone");
    let other = add(ADD, "6").await;
    assert_eq!(other.problem().0, 422, "{other:?}");
    let read = world.post("/v1/entities/Counter/c1/get", "").await;
    assert_eq!(read.text, "5", "it was handled once");
}

#[tokio::test]
async fn what_stores_nothing_cannot_be_discarded() {
    let world = World::new().await;
    let read = world.post("/v1/entities/Counter/c1/get?discard", "").await;
    assert_eq!(read.problem(), (400, "not_durable", Some("discard")), "{read:?}");
    let batch = json!({ "messages": [
        { "entity": "Counter/c1", "method": "add", "payload": 5, "discard": true },
        { "entity": "Counter/c1", "method": "get", "discard": true },
    ] });
    let answer = world.post("/v1/messages:batch", &batch.to_string()).await;
    let statuses = [&answer.body["answers"][0]["status"], &answer.body["answers"][1]["status"]];
    assert_eq!(statuses, [&json!(202), &json!(400)], "{answer:?}");
}
