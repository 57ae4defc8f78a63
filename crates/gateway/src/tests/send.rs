//! Messages to entities: keys, replays, the three answers.

use axum::http::StatusCode;
use serde_json::json;

use super::harness::{Ask, World};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test]
async fn a_message_is_answered_with_the_handlers_reply() {
    let world = World::new().await;
    let answer = world.post("/v1/entities/Counter/c1/add", "5").await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, "5"), "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.header("quarry-message-id").is_some());
    assert!(answer.header("idempotency-key").is_some());
    assert_eq!(answer.header("idempotency-replayed"), None);
    assert_eq!(world.post("/v1/entities/Counter/c1/get", "").await.text, "5");
}

#[tokio::test]
async fn a_slash_in_an_id_is_escaped() {
    let world = World::new().await;
    world.post("/v1/entities/Counter/a%2Fb%20%E4%BD%A0/add", "2").await;
    let answer = world.get("/v1/entities?type=Counter").await;
    assert_eq!(answer.body["items"][0]["id"], "a/b 你");
}

#[tokio::test]
async fn the_same_key_is_handled_once() {
    let world = World::new().await;
    let add = |amount: &str| {
        Ask::post("/v1/entities/Counter/c1/add").header("idempotency-key", "k1").body(amount)
    };
    let first = world.ask(add("5")).await;
    let second = world.ask(add("5")).await;
    assert_eq!((first.text.as_str(), second.text.as_str()), ("5", "5"));
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
    assert_eq!(second.header("quarry-message-id"), first.header("quarry-message-id"));
    let other = world.ask(add("6")).await;
    assert_eq!(other.problem(), (422, "key_reused", Some("Idempotency-Key")));
    assert_eq!(world.post("/v1/entities/Counter/c1/get", "").await.text, "5");
}

#[tokio::test]
async fn a_message_can_be_accepted_and_asked_for_later() {
    let world = World::new().await;
    for ask in [
        Ask::post("/v1/entities/Counter/c1/add?async").body("5"),
        Ask::post("/v1/entities/Counter/c2/add").header("prefer", "respond-async").body("5"),
    ] {
        let answer = world.ask(ask).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
        let location = answer.header("location").unwrap();
        assert_eq!(answer.header("quarry-message-id"), answer.body["messageId"].as_str());
        let message = world.get(&format!("{location}?wait=10s")).await;
        assert_eq!(message.body["state"], "finished", "{message:?}");
        assert_eq!(message.body["outcome"], json!({ "status": "success", "reply": 5 }));
        assert_eq!(message.body["payload"], 5);
    }
}

#[tokio::test]
async fn a_preference_to_wait_less_is_passed_over_where_nothing_is_stored() {
    let world = World::new().await;
    let ask = Ask::post("/v1/entities/Counter/c1/get").header("prefer", "respond-async");
    let answer = world.ask(ask).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, "0"));
}

#[tokio::test]
async fn a_final_failure_is_a_stored_outcome() {
    let world = World::new().await;
    let refuse = || {
        let ask = Ask::post("/v1/entities/Moody/m/refuse").header("idempotency-key", "k");
        ask.body(r#"{"reason": "not today"}"#)
    };
    for replayed in [None, Some("true")] {
        let answer = world.ask(refuse()).await;
        assert_eq!(answer.problem(), (409, "in_a_mood", None), "{answer:?}");
        assert_eq!(answer.body["outcome"], "failed");
        assert_eq!(answer.body["detail"], "not today");
        assert_eq!(answer.header("idempotency-replayed"), replayed);
        let id = answer.header("quarry-message-id").unwrap();
        let message = world.get(&format!("/v1/messages/{id}")).await;
        let outcome = json!({ "status": "failure", "code": "in_a_mood", "message": "not today" });
        assert_eq!(message.body["outcome"], outcome);
    }
    let read = world.post("/v1/entities/Moody/m/fail", "").await;
    assert_eq!(read.problem(), (409, "in_a_mood", None));
    assert_eq!(read.body["outcome"], "failed");
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_unknown_and_can_be_asked_for() {
    let world = World::new().await;
    let answer = world.post("/v1/entities/Moody/m/hang?timeout=100ms", "").await;
    assert_eq!(answer.problem(), (504, "deadline", None), "{answer:?}");
    assert_eq!(answer.body["outcome"], "unknown");
    assert_eq!(answer.body["retryable"], true);
    assert!(answer.header("idempotency-key").is_some());
    let id = answer.header("quarry-message-id").unwrap();
    let message = world.get(&format!("/v1/messages/{id}")).await;
    assert_eq!(message.body["state"], "open", "{message:?}");
}

#[tokio::test]
async fn without_a_store_calls_are_refused_with_a_time_to_retry() {
    let world = World::new().await;
    world.database.faults().set_unavailable("pulled out");
    let answer = world.post("/v1/entities/Counter/c1/add?timeout=500ms", "5").await;
    let (status, _, _) = answer.problem();
    assert_eq!((status, &answer.body["outcome"]), (503, &"refused".into()), "{answer:?}");
    assert!(answer.header("retry-after").is_some());
    assert!(answer.header("ratelimit").is_some());
    world.database.faults().set_available();
}

#[tokio::test]
async fn a_full_mailbox_refuses_with_a_time_to_retry_and_others_go_on() {
    let world = World::new().await;
    let hang = async |id: &str| {
        let ask = Ask::post(&format!("/v1/entities/Narrow/{id}/hang"));
        world.ask(ask.header("prefer", "respond-async")).await
    };
    for _ in 0..2 {
        assert_eq!(hang("a").await.status, StatusCode::ACCEPTED);
    }
    let answer = hang("a").await;
    assert_eq!(answer.problem(), (429, "overloaded", None), "{answer:?}");
    assert_eq!(answer.body["outcome"], "refused");
    assert!(answer.header("retry-after").is_some());
    assert!(answer.header("ratelimit").is_some());
    assert_eq!(hang("b").await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn the_callers_trace_goes_on() {
    let world = World::new().await;
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let ask = Ask::post("/v1/entities/Counter/c1/add").header("traceparent", parent).body("5");
    let answer = world.ask(ask).await;
    assert!(answer.header("traceparent").unwrap().starts_with(&format!("00-{TRACE}-")));
    let ask = Ask::get("/nowhere").header("traceparent", "garbage");
    assert_ne!(world.ask(ask).await.body["trace_id"], TRACE);
}
