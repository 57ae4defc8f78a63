//! Events of extractions: as they happen, later, and from within.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    harness::{Ask, World},
    stream::{lines, sent},
};

const TEXT: &str = "Blade Runner is a 1982 film directed by Ridley Scott. ";
const EVENTS: &str = "text/event-stream";

fn submission(id: &str) -> String {
    let (text, options) = (TEXT.repeat(100), json!({ "chunkSize": 50 }));
    json!({ "text": text, "ontologyId": "film", "requestId": id, "options": options }).to_string()
}

/// Checks that the events are whole and in order.
pub(super) fn check(told: &[Value]) {
    let kinds: Vec<_> = told.iter().map(|told| told["type"].as_str().unwrap()).collect();
    assert_eq!(kinds[..2], ["started", "stage_started"], "{kinds:?}");
    assert_eq!(kinds[kinds.len() - 2..], ["completed", "end"], "{kinds:?}");
    for kind in ["progress", "entity_found", "entities_extracted", "relations_extracted"] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
    let (end, events) = told.split_last().unwrap();
    let mut next = std::collections::BTreeMap::<_, u64>::new();
    for event in events {
        let next = next.entry(event["messageId"].as_str().unwrap()).or_default();
        assert_eq!(event["sequence"], *next, "without gap or repeat: {event}");
        *next += 1;
    }
    assert_eq!(next.len(), 2, "the submission's and the work's");
    let entities = kinds.iter().filter(|kind| **kind == "entity_found").count();
    let graph = &end["outcome"]["reply"];
    assert_eq!(graph["entities"].as_array().unwrap().len(), entities);
}

#[tokio::test]
async fn an_extraction_is_told_as_it_happens_and_ends_with_the_graph() {
    let world = World::new().await;
    let ask = Ask::post("/v1/extractions").header("accept", EVENTS).body(submission("a/b"));
    let answer = world.ask(ask).await;
    let told = sent(&answer);
    let documents: Vec<Value> = told.iter().map(|(.., document)| document.clone()).collect();
    check(&documents);
    for (id, _, document) in &told[..told.len() - 1] {
        assert_eq!(document["id"], id.as_deref().unwrap());
    }
    let graph = world.get("/v1/extractions/a%2Fb/graph").await;
    assert_eq!(documents.last().unwrap()["outcome"]["reply"], graph.body);
    assert_eq!(answer.header("location"), Some("/v1/extractions/a%2Fb/events"));
    let later = world.get("/v1/extractions/a%2Fb/events").await;
    assert_eq!(lines(&later), documents, "a late reader hears the same");
}

#[tokio::test]
async fn an_extraction_goes_on_behind_any_of_its_events() {
    let world = World::new().await;
    let ask = Ask::post("/v1/extractions").header("accept", "application/x-ndjson");
    let whole = lines(&world.ask(ask.body(submission("r"))).await);
    check(&whole);
    // One that asks again has a message of its own, which tells the same graph.
    world.post("/v1/extractions", &submission("r")).await;
    for (read, event) in whole.iter().enumerate().take(whole.len() - 1) {
        let id = event["id"].as_str().unwrap();
        let ask = Ask::get("/v1/extractions/r/events").header("last-event-id", id);
        assert_eq!(lines(&world.ask(ask).await), whole[read + 1..], "behind {id}");
        let again = Ask::post("/v1/extractions").header("accept", "application/x-ndjson");
        let again = again.header("last-event-id", id).body(submission("r"));
        assert_eq!(lines(&world.ask(again).await), whole[read + 1..], "sent again behind {id}");
    }
    let foreign = Ask::get("/v1/extractions/other/events");
    let foreign = foreign.header("last-event-id", whole[0]["id"].as_str().unwrap());
    let answer = world.ask(foreign).await;
    assert_eq!(answer.problem(), (400, "invalid_header", Some("Last-Event-ID")));
}

#[tokio::test]
async fn who_asks_for_what_is_running_hears_that() {
    let world = World::new().await;
    // Long enough to be asked for meanwhile.
    world.database.faults().set_commit_time(Duration::from_millis(20));
    let submit = || Ask::post("/v1/extractions").body(submission("r"));
    let accepted = world.ask(submit().header("prefer", "respond-async")).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let events = world.ask(submit().header("accept", EVENTS));
    let (told, looked) = tokio::join!(events, world.get("/v1/extractions/r/events"));
    let told: Vec<Value> = sent(&told).into_iter().map(|(.., document)| document).collect();
    check(&told);
    assert_eq!(lines(&looked), told);
    let id = accepted.header("quarry-message-id").unwrap();
    assert_eq!(told[0]["messageId"], id, "nothing was sent again");
}

#[tokio::test]
async fn a_request_id_that_stands_for_another_text_is_told_as_a_failure() {
    let world = World::new().await;
    world.post("/v1/extractions", &submission("r")).await;
    let other = json!({ "text": "Another.", "ontologyId": "film", "requestId": "r" });
    let ask = Ask::post("/v1/extractions").header("accept", EVENTS).body(other.to_string());
    let told = sent(&world.ask(ask).await);
    assert_eq!(told.last().unwrap().2["outcome"]["code"], "request_reused", "{told:?}");
}
