//! Many messages in one request.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::harness::{Answer, Ask, World};

const BATCH: &str = "/v1/messages:batch";

async fn send(world: &World, messages: Value) -> Answer {
    let answer = world.post(BATCH, &json!({ "messages": messages }).to_string()).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer
}

fn statuses(answer: &Answer) -> Vec<u64> {
    let answers = answer.body["answers"].as_array().unwrap();
    answers.iter().map(|answer| answer["status"].as_u64().unwrap()).collect()
}

fn add(entity: &str, amount: i64) -> Value {
    json!({ "entity": entity, "method": "add", "payload": amount })
}

#[tokio::test]
async fn each_message_is_answered_by_itself_and_in_order() {
    let world = World::new().await;
    let answer = send(
        &world,
        json!([
            add("Counter/a", 5),
            { "entity": "Counter/a", "method": "add", "payload": 1, "async": true, "key": "k1" },
            { "entity": "Moody/m", "method": "refuse", "payload": { "reason": "no" } },
            add("Counter/b", 7),
            { "entity": "Counter/a", "method": "get" },
            { "entity": "Counter/c", "method": "add", "payload": "five" },
            { "entity": "Nope/c", "method": "add" },
            { "entity": "Counter/c", "method": "nope" },
            { "entity": "Counter", "method": "add" },
            { "entity": "Counter/c", "method": "get", "async": true },
            { "entity": "Counter/c", "method": "add", "payload": 1, "kee": "k" },
            { "entity": "Counter/c", "method": "add", "payload": 1, "key": "" },
            { "entity": "Counter/d", "method": "add", "payload": 1, "delay": "1h" },
            { "entity": "Counter/d", "method": "add", "payload": 1, "delay": "soon" },
            { "entity": "Counter/d", "method": "get", "delay": "1s" },
            7,
        ]),
    )
    .await;
    let expected = [200, 202, 409, 200, 200, 422, 404, 404, 400, 400, 400, 400, 202, 400, 400, 400];
    assert_eq!(statuses(&answer), expected, "{answer:?}");
    let told = &answer.body["answers"];
    assert_eq!((&told[0]["reply"], &told[3]["reply"]), (&json!(5), &json!(7)));
    assert_eq!(told[1]["key"], "k1");
    assert_eq!(told[4]["reply"], 6, "a read sees what stands before it in the batch");
    let refused = [5, 6, 7, 8, 9, 10, 11, 13, 14, 15];
    let fields = refused.map(|place| told[place]["problem"]["field"].as_str().unwrap());
    let known =
        ["payload", "entity", "method", "entity", "async", "kee", "key", "delay", "delay", "body"];
    assert_eq!(fields, known, "{answer:?}");
    assert_eq!(told[2]["problem"]["code"], "in_a_mood");
    assert_eq!(told[2]["problem"]["outcome"], "failed");
    assert_eq!(told[2]["problem"]["message_id"], told[2]["messageId"]);
    let id = told[1]["messageId"].as_str().unwrap();
    let message = world.get(&format!("/v1/messages/{id}?wait=10s")).await;
    assert_eq!(message.body["outcome"], json!({ "status": "success", "reply": 6 }));
}

#[tokio::test]
async fn messages_to_one_entity_are_handled_in_the_order_of_the_batch() {
    let world = World::new().await;
    let append = |number: usize| {
        let message = json!({
            "entity": format!("Register/r{}", number % 2), "method": "append",
            "payload": { "value": number.to_string() }, "async": number.is_multiple_of(3),
        });
        if number.is_multiple_of(5) { with_key(message, &number.to_string()) } else { message }
    };
    let answer = send(&world, (0..1_000).map(append).collect()).await;
    assert!(statuses(&answer).iter().all(|status| matches!(status, 200 | 202)), "{answer:?}");
    for half in 0..2 {
        let path = format!("/v1/entities/Register/r{half}/read");
        let read = world.ask(Ask::post(&path)).await;
        let values = read.body["values"].as_array().unwrap();
        let values: Vec<usize> =
            values.iter().map(|value| value["value"].as_str().unwrap().parse().unwrap()).collect();
        let expected: Vec<usize> = (0..1_000).filter(|number| number % 2 == half).collect();
        assert_eq!(values, expected);
    }
}

fn with_key(mut message: Value, key: &str) -> Value {
    message["key"] = key.into();
    message
}

#[tokio::test]
async fn the_same_batch_with_the_same_keys_is_handled_once() {
    let world = World::new().await;
    let messages: Vec<Value> = (0..20)
        .map(|number| with_key(add(&format!("Counter/c{}", number % 4), 1), &number.to_string()))
        .collect();
    let first = send(&world, json!(messages)).await;
    let second = send(&world, json!(messages)).await;
    for place in 0..20 {
        let (first, second) = (&first.body["answers"][place], &second.body["answers"][place]);
        assert_eq!(first["reply"], second["reply"]);
        assert_eq!(first["messageId"], second["messageId"]);
        assert_eq!((first.get("replayed"), &second["replayed"]), (None, &json!(true)));
    }
    let other = send(&world, json!([with_key(add("Counter/c0", 2), "0")])).await;
    assert_eq!(statuses(&other), [422]);
    assert_eq!(other.body["answers"][0]["problem"]["field"], "key");
    assert_eq!(world.post("/v1/entities/Counter/c0/get", "").await.text, "5");
}

#[tokio::test]
async fn a_message_that_takes_too_long_is_unknown_and_holds_up_no_other_entity() {
    let world = World::new().await;
    let messages = json!([
        { "entity": "Moody/m", "method": "hang" }, add("Counter/a", 5), add("Counter/a", 1),
    ]);
    let body = json!({ "messages": messages }).to_string();
    let answer = world.post(&format!("{BATCH}?timeout=200ms"), &body).await;
    assert_eq!(statuses(&answer), [504, 200, 200], "{answer:?}");
    let hung = &answer.body["answers"][0];
    assert_eq!(
        (&hung["problem"]["outcome"], &hung["problem"]["retryable"]),
        (&json!("unknown"), &json!(true))
    );
    assert!(hung["key"].is_string() && hung["messageId"].is_string(), "{hung}");
}

#[tokio::test]
async fn without_a_store_every_message_is_refused_with_a_time_to_retry() {
    let world = World::new().await;
    world.database.faults().set_unavailable("pulled out");
    let answer = send(&world, json!([add("Counter/a", 5), add("Counter/a", 6)])).await;
    assert_eq!(statuses(&answer), [503, 503], "{answer:?}");
    assert!(answer.body["answers"][0]["problem"]["retry_after_ms"].is_u64(), "{answer:?}");
    world.database.faults().set_available();
}

#[tokio::test]
async fn a_batch_that_is_none_is_refused_whole() {
    let world = World::new().await;
    let too_many: Vec<Value> = (0..1_001).map(|_| add("Counter/a", 1)).collect();
    let too_many = json!({ "messages": too_many }).to_string();
    for (body, field) in [
        ("", "body"),
        ("[]", "body"),
        (r#"{"messages": 1}"#, "messages"),
        (r#"{"messages": []}"#, "messages"),
        (r#"{"messages": [], "more": 1}"#, "more"),
        (too_many.as_str(), "messages"),
    ] {
        let answer = world.post(BATCH, body).await;
        assert_eq!(answer.problem(), (400, "invalid_body", Some(field)), "{body}");
    }
    assert_eq!(world.post(BATCH, "{").await.problem(), (400, "malformed_json", Some("body")));
    let large = format!(r#"{{"messages": ["{}"]}}"#, "x".repeat(1 << 20));
    assert_eq!(world.post(BATCH, &large).await.problem(), (413, "too_large", Some("body")));
    assert!(world.stored().await.contains("items: []"), "nothing is stored");
}
