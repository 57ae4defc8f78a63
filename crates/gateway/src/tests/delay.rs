//! Messages that are to be handled at a time.

use axum::http::StatusCode;
use serde_json::json;

use super::harness::{Ask, World};

const ADD: &str = "/v1/entities/Counter/c1/add";

#[tokio::test]
async fn a_delayed_message_is_accepted_shown_as_such_and_handled_later() {
    let world = World::new().await;
    let answer = world.post(&format!("{ADD}?delay=400ms"), "5").await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    let location = answer.header("location").unwrap();
    let shown = world.get(location).await;
    assert_eq!((&shown.body["state"], &shown.body["attempts"]), (&json!("delayed"), &json!(0)));
    assert!(shown.body["due"].as_str().unwrap() > shown.body["acceptedAt"].as_str().unwrap());
    let listed = world.get("/v1/messages?state=delayed").await;
    assert_eq!(listed.body["items"][0]["messageId"], answer.body["messageId"]);
    assert_eq!(world.get("/v1/messages?state=open").await.body["items"], json!([]));
    let entity = world.get("/v1/entities/Counter/c1").await;
    assert_eq!(entity.body["delayed"][0], answer.body["messageId"], "{entity:?}");
    assert_eq!(world.post(ADD, "1").await.text, "1", "it holds nothing back");
    let ended = world.get(&format!("{location}?wait=10s")).await;
    assert_eq!(ended.body["outcome"], json!({ "status": "success", "reply": 6 }), "{ended:?}");
    assert!(ended.body["finishedAt"].as_str().unwrap() >= shown.body["due"].as_str().unwrap());
}

#[tokio::test]
async fn a_delayed_message_with_the_same_key_is_the_same_message() {
    let world = World::new().await;
    let add = |delay: &str| {
        Ask::post(&format!("{ADD}?delay={delay}")).header("idempotency-key", "k1").body("5")
    };
    let first = world.ask(add("1h")).await;
    let second = world.ask(add("2h")).await;
    assert_eq!(second.body["messageId"], first.body["messageId"]);
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
}

#[tokio::test]
async fn a_message_may_be_given_a_time() {
    let world = World::new().await;
    let far = world.post(&format!("{ADD}?deliver_at=2000-01-01T00:00:00%2B01:00"), "5").await;
    assert_eq!(far.status, StatusCode::ACCEPTED, "{far:?}");
    let ended = world.get(&format!("{}?wait=10s", far.header("location").unwrap())).await;
    assert_eq!(ended.body["state"], "finished", "a time that has passed is now");
    let late = world.post(&format!("{ADD}?deliver_at=3000-01-01T00:00:00Z"), "5").await;
    assert_eq!(late.problem(), (400, "invalid_parameter", Some("deliver_at")), "{late:?}");
    assert!(late.body["detail"].as_str().unwrap().contains("366 days"));
}
