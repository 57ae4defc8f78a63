//! Journals: read in pages and as streams, followed, destroyed.

use std::time::Duration;

use axum::{body::Body, http::Method, http::Request};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{
    harness::{Answer, Ask, World},
    stream::{lines, sent},
};

const TEXT: &str = "Blade Runner is a 1982 film directed by Ridley Scott.";

async fn extract(world: &World, request_id: &str, key: &str) -> Answer {
    let body = json!({ "text": TEXT, "ontologyId": "film", "requestId": request_id }).to_string();
    let answer =
        world.ask(Ask::post("/v1/extractions").header("idempotency-key", key).body(body)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

fn items(answer: &Answer) -> &[Value] {
    answer.body["items"].as_array().unwrap_or_else(|| panic!("{answer:?}"))
}

fn kinds(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_extraction_is_recorded_once_and_not_when_it_is_told_again() {
    let world = World::new().await;
    let graph = extract(&world, "a/b", "k1").await.body;
    let journal = world.get("/v1/journal/extraction:a%2Fb").await;
    let entries = items(&journal);
    let entities = graph["entities"].as_array().unwrap().len();
    let facts = graph["relations"].as_array().unwrap().len();
    let wanted: Vec<&str> = ["started", "stage_started", "stage_completed"]
        .into_iter()
        .chain(std::iter::repeat_n("entity_found", entities))
        .chain(["entities_extracted"])
        .chain(std::iter::repeat_n("fact_found", facts))
        .chain(["relations_extracted", "completed"])
        .collect();
    assert_eq!(kinds(entries), wanted);
    for (sequence, entry) in (1_u64..).zip(entries) {
        assert_eq!((&entry["sequence"], &entry["chunk"]), (&json!(sequence), &json!(sequence - 1)));
        assert_eq!(
            (&entry["stream"], &entry["requestId"]),
            (&json!("extraction:a/b"), &json!("a/b"))
        );
        assert_eq!(entry["data"]["type"], entry["type"]);
        assert!(entry["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{entry}");
    }
    let ids: std::collections::BTreeSet<_> = entries.iter().map(|it| it["id"].as_str()).collect();
    assert_eq!(ids.len(), entries.len());
    let count = entries.iter().find(|entry| entry["type"] == "entities_extracted").unwrap();
    assert_eq!(count["data"]["count"], entities);
    assert_eq!(entries.last().unwrap()["data"]["resultId"], "a/b");
    extract(&world, "a/b", "k1").await;
    extract(&world, "a/b", "k2").await;
    assert_eq!(world.get("/v1/journal/extraction:a%2Fb").await.body, journal.body);
    let by_address = world.get("/v1/journal/KGExtractor%2Fa%2Fb").await;
    assert_eq!(items(&by_address).len(), entries.len());
}

#[tokio::test]
async fn a_journal_is_read_from_any_number_on_and_filtered() {
    let world = World::new().await;
    extract(&world, "r", "k").await;
    let read = async |query: &str| world.get(&format!("/v1/journal/extraction:r{query}")).await;
    let all = read("").await;
    let all = items(&all);
    let first = read("?limit=2").await;
    assert_eq!((items(&first), &first.body["next"]), (&all[..2], &json!("2")));
    let rest = read("?after=2").await;
    assert_eq!((items(&rest), rest.body.get("next")), (&all[2..], None));
    assert_eq!(items(&read("?after=1000").await).len(), 0);
    let facts = read("?type=fact_found&requestId=r").await;
    assert!(kinds(items(&facts)).iter().all(|kind| *kind == "fact_found"));
    assert_eq!(items(&read("?requestId=other").await).len(), 0);
    let ask = Ask::get("/v1/journal/extraction:r").header("accept", "application/x-ndjson");
    assert_eq!(lines(&world.ask(ask).await), all);
    let ask = Ask::get("/v1/journal/extraction:r?after=1").header("accept", "text/event-stream");
    let sent = sent(&world.ask(ask.header("last-event-id", "3")).await);
    let documents: Vec<&Value> = sent.iter().map(|(.., document)| document).collect();
    assert_eq!(documents, all[3..].iter().collect::<Vec<_>>());
    assert_eq!(sent[0].0.as_deref(), Some("4"));
}

#[tokio::test]
async fn a_journal_is_followed_from_before_it_begins() {
    let world = World::new().await;
    let request = Request::get("/v1/journal/extraction:later?follow").body(Body::empty()).unwrap();
    let response = world.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut told = response.into_body().into_data_stream();
    let mut hear = async || -> Value {
        let heard = tokio::time::timeout(Duration::from_secs(20), told.next()).await;
        serde_json::from_slice(&heard.unwrap().unwrap().unwrap()).unwrap()
    };
    let (_, first) = tokio::join!(extract(&world, "later", "k"), hear());
    let mut heard = vec![first];
    while heard.last().unwrap()["type"] != "completed" {
        heard.push(hear().await);
    }
    assert_eq!(heard, items(&world.get("/v1/journal/extraction:later").await));
    let destroy = Ask::new(Method::DELETE, "/v1/journal/extraction:later");
    let (destroyed, entry) = tokio::join!(world.ask(destroy), hear());
    assert_eq!(destroyed.status, 200, "{destroyed:?}");
    assert_eq!(
        (&entry["type"], &entry["sequence"]),
        (&json!("journal_destroyed"), &json!(heard.len() + 1))
    );
}

#[tokio::test]
async fn a_journal_that_is_destroyed_says_so_and_goes_on() {
    let world = World::new().await;
    extract(&world, "r", "k").await;
    let path = "/v1/journal/extraction:r";
    let count = items(&world.get(path).await).len();
    let destroy = || Ask::new(Method::DELETE, path).header("idempotency-key", "once");
    assert_eq!(world.ask(destroy()).await.body, Value::Null);
    assert_eq!(world.ask(destroy()).await.header("idempotency-replayed"), Some("true"));
    let left = world.get(path).await;
    assert_eq!(kinds(items(&left)), ["journal_destroyed"]);
    assert_eq!(items(&left)[0]["sequence"], count + 1);
    let graph = world.get("/v1/extractions/r/graph").await;
    assert_eq!(graph.body["requestId"], "r", "what was extracted stays");
}

#[tokio::test]
async fn a_run_that_says_something_else_is_recorded_behind_a_reset() {
    let world = World::new().await;
    let done = world.post("/v1/entities/Moody/m/confess", "").await;
    assert_eq!(done.body, 2, "{done:?}");
    let journal = world.get("/v1/journal/Moody%2Fm").await;
    let said: Vec<_> = items(&journal).iter().map(|entry| entry["data"].clone()).collect();
    let wanted = json!([
        { "type": "begun", "requestId": "of its own" },
        { "type": "attempt", "number": 1 },
        { "type": "reset", "attempt": 2, "from": 1 },
        { "type": "attempt", "number": 2 },
    ]);
    assert_eq!(json!(said), wanted);
    let requests: Vec<_> = items(&journal).iter().map(|entry| &entry["requestId"]).collect();
    assert_eq!(requests, ["of its own", "m", "m", "m"]);
}

#[tokio::test]
async fn what_names_no_journal_is_refused() {
    let world = World::new().await;
    world.post("/v1/entities/Counter/c/add", "1").await;
    for (path, status, code, field) in [
        ("extraction:never", 404, "no_such_journal", Some("stream")),
        ("Counter%2Fc", 404, "no_such_journal", Some("stream")),
        ("Conter%2Fc", 404, "unknown_type", None),
        ("x", 400, "invalid_name", Some("stream")),
        ("extraction:", 400, "invalid_name", None),
        ("extraction:r?after=x", 400, "invalid_parameter", Some("after")),
        ("extraction:r?afer=1", 400, "unknown_parameter", Some("afer")),
    ] {
        let answer = world.get(&format!("/v1/journal/{path}")).await;
        let (found, found_code, found_field) = answer.problem();
        assert_eq!((found, found_code), (status, code), "{path}");
        assert!(field.is_none() || found_field == field, "{path}: {answer:?}");
    }
    let destroy = async |name: &str| {
        world.ask(Ask::new(Method::DELETE, &format!("/v1/journal/{name}"))).await
    };
    assert_eq!(destroy("extraction:never").await.problem().1, "no_such_journal");
    assert_eq!(destroy("Counter%2Fc").await.problem().1, "unknown_method");
    let ask = Ask::get("/v1/journal/extraction:r?follow").header("accept", "application/json");
    assert_eq!(world.ask(ask).await.problem().1, "not_acceptable");
    let ask = Ask::get("/v1/journal/extraction:r").header("last-event-id", "x");
    assert_eq!(world.ask(ask).await.problem().1, "invalid_header");
    assert_eq!(world.get("/v1/extractions/never").await.status, 404, "nothing was stored");
}
