//! Chunks of messages: by line and server-sent, late, from within, with resets.

use axum::{body::Body, http::Request};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::harness::{Answer, Ask, World};

const TELL: &str = "/v1/entities/Moody/m/tell";
const LINES: &str = "application/x-ndjson";
const EVENTS: &str = "text/event-stream";

pub(super) fn lines(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.header("content-type"), Some(LINES), "{answer:?}");
    answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The events of a whole answer: id, name and document.
pub(super) fn sent(answer: &Answer) -> Vec<(Option<String>, String, Value)> {
    assert_eq!(answer.header("content-type"), Some(EVENTS), "{answer:?}");
    let events = answer.text.split("\n\n").filter(|event| !event.is_empty());
    let event = |event: &str| {
        let member = |name: &str| {
            let prefix = format!("{name}: ");
            event.lines().find_map(|line| line.strip_prefix(&prefix)).map(str::to_owned)
        };
        let document: Value = serde_json::from_str(&member("data").unwrap()).unwrap();
        assert_eq!(document["type"], member("event").unwrap().as_str(), "{event}");
        (member("id"), member("event").unwrap(), document)
    };
    events.map(event).collect()
}

async fn tell(world: &World, count: u32, pause_ms: u64) -> Answer {
    let body = json!({ "count": count, "pause_ms": pause_ms }).to_string();
    world.ask(Ask::post(TELL).header("accept", LINES).body(body)).await
}

/// Starts a message that tells, and returns the path of its chunks.
async fn begin(world: &World, path: &str, body: &str) -> String {
    let ask = Ask::post(path).header("prefer", "respond-async").body(body);
    let accepted = world.ask(ask).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    format!("{}/chunks", accepted.header("location").unwrap())
}

#[tokio::test]
async fn a_message_is_answered_with_its_chunks_and_then_its_outcome() {
    let world = World::new().await;
    let answer = tell(&world, 200, 0).await;
    let told = lines(&answer);
    let (end, chunks) = told.split_last().unwrap();
    assert_eq!(chunks.len(), 200);
    for (number, chunk) in chunks.iter().enumerate() {
        let is = (&chunk["type"], &chunk["sequence"], &chunk["chunk"]);
        assert_eq!(is, (&json!("chunk"), &json!(number), &json!(number)));
        assert!(chunk["madeAt"].is_string(), "{chunk}");
    }
    let id = answer.header("quarry-message-id").unwrap();
    let outcome = json!({ "status": "success", "reply": 200 });
    let expected =
        json!({ "type": "end", "messageId": id, "state": "finished", "outcome": outcome });
    assert_eq!(*end, expected);
    let late = world.get(answer.header("location").unwrap()).await;
    assert_eq!(late.text, answer.text, "a late reader hears the same");
}

#[tokio::test]
async fn a_stream_goes_on_behind_the_last_event_that_was_read() {
    let world = World::new().await;
    let path = begin(&world, TELL, r#"{"count": 5, "pause_ms": 1}"#).await;
    let whole = sent(&world.ask(Ask::get(&path).header("accept", EVENTS)).await);
    let ids: Vec<_> = whole.iter().map(|(id, ..)| id.as_deref()).collect();
    assert_eq!(ids, [Some("0"), Some("1"), Some("2"), Some("3"), Some("4"), None]);
    for read in 0..5 {
        let ask = Ask::get(&format!("{path}?from=1")).header("accept", EVENTS);
        let rest = world.ask(ask.header("last-event-id", read.to_string())).await;
        assert_eq!(sent(&rest), whole[read + 1..], "the header goes before the parameter");
        let rest = world.get(&format!("{path}?from={read}")).await;
        let documents: Vec<_> = whole[read..].iter().map(|(.., document)| document).collect();
        assert_eq!(lines(&rest).iter().collect::<Vec<_>>(), documents);
    }
    let beyond = world.get(&format!("{path}?from=9223372036854775807")).await;
    assert_eq!(lines(&beyond), [whole[5].2.clone()]);
}

#[tokio::test]
async fn chunks_of_an_earlier_attempt_are_taken_back() {
    let world = World::new().await;
    let path = begin(&world, "/v1/entities/Moody/m/stumble", "").await;
    let told = sent(&world.ask(Ask::get(&path).header("accept", EVENTS)).await);
    let shown: Vec<_> = told.iter().map(|(_, name, told)| (name.as_str(), told)).collect();
    let [("chunk", same), ("chunk", one), ("reset", reset), ("chunk", two), ("end", end)] =
        shown[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!(
        (&same["chunk"], &one["chunk"], &two["chunk"]),
        (&"same".into(), &1.into(), &2.into())
    );
    assert_eq!(
        (&reset["sequence"], &reset["attempt"], &reset["from"]),
        (&2.into(), &2.into(), &1.into())
    );
    assert_eq!(end["outcome"]["reply"], 2);
}

#[tokio::test]
async fn several_readers_hear_a_running_message_as_it_tells() {
    let world = World::new().await;
    let path = begin(&world, TELL, r#"{"count": 30, "pause_ms": 5}"#).await;
    let request = Request::get(&path).body(Body::empty()).unwrap();
    let mut body =
        world.router.clone().oneshot(request).await.unwrap().into_body().into_data_stream();
    let first = body.next().await.unwrap().unwrap();
    let first: Value = serde_json::from_slice(&first).unwrap();
    assert_eq!(first["sequence"], 0);
    let message = world.get(path.strip_suffix("/chunks").unwrap()).await;
    assert_eq!(message.body["state"], "open", "it is told while it runs");
    let (one, other) = tokio::join!(world.get(&path), world.get(&path));
    assert_eq!(one.text, other.text);
    assert_eq!(lines(&one).len(), 31);
    assert_eq!(body.count().await, 30);
}

#[tokio::test]
async fn a_page_is_read_when_the_one_before_was_taken() {
    let world = World::new().await;
    let path = begin(&world, TELL, r#"{"count": 200, "pause_ms": 0}"#).await;
    assert_eq!(lines(&world.get(&path).await).len(), 201);
    let request = Request::get(&path).body(Body::empty()).unwrap();
    let response = world.router.clone().oneshot(request).await.unwrap();
    let mut body = response.into_body().into_data_stream();
    assert!(body.next().await.is_some());
    world.database.faults().set_unavailable("switched off");
    let rest: Vec<Value> =
        body.map(|line| serde_json::from_slice(&line.unwrap()).unwrap()).collect().await;
    let (error, held) = rest.split_last().unwrap();
    assert_eq!(held.len(), 63, "no more than a page is held");
    assert_eq!((&error["type"], &error["code"]), (&"error".into(), &"store_unavailable".into()));
    assert_eq!(error["retryable"], true);
}

#[tokio::test]
async fn a_failure_is_told_last_and_a_refusal_as_ever() {
    let world = World::new().await;
    let ask = Ask::post("/v1/entities/Moody/m/refuse").header("accept", LINES);
    let told = lines(&world.ask(ask.body(r#"{"reason": "rain"}"#)).await);
    let failure = json!({ "status": "failure", "code": "in_a_mood", "message": "rain" });
    assert_eq!((told.len(), &told[0]["outcome"]), (1, &failure));
    let ask = Ask::post(TELL).header("accept", EVENTS).body("{}");
    assert_eq!(world.ask(ask).await.problem(), (422, "invalid_payload", Some("count")));
}

#[tokio::test]
async fn who_does_not_wait_is_told_where_to_ask() {
    let world = World::new().await;
    let body = r#"{"count": 1, "pause_ms": 0}"#;
    let ask = Ask::post(&format!("{TELL}?async")).header("accept", EVENTS).body(body);
    assert_eq!(world.ask(ask).await.status, 202);
    let ask = || Ask::post(TELL).header("accept", LINES).header("idempotency-key", "k");
    let first = world.ask(ask().body(body)).await;
    let again = world.ask(ask().body(body)).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.text, first.text);
}
