//! Extractions: submitted, repeated, asked for.

use axum::http::StatusCode;
use quarry_extract::pack::Ontologies;

use super::harness::{Ask, World};

const TEXT: &str = "Blade Runner is a 1982 film directed by Ridley Scott.";

fn submission(request_id: Option<&str>, text: &str) -> String {
    let mut body = serde_json::json!({ "text": text, "ontologyId": "film" });
    if let Some(request_id) = request_id {
        body["requestId"] = request_id.into();
    }
    body.to_string()
}

#[tokio::test]
async fn a_text_becomes_a_graph_that_stays() {
    let world = World::new().await;
    let first = world.post("/v1/extractions", &submission(None, TEXT)).await;
    assert_eq!(first.status, StatusCode::OK, "{first:?}");
    assert_eq!(first.body["ontologyId"], "film");
    let names: Vec<_> =
        first.body["entities"].as_array().unwrap().iter().map(|entity| &entity["name"]).collect();
    assert!(names.contains(&&"Ridley Scott".into()), "{names:?}");
    let again = world.post("/v1/extractions", &submission(None, TEXT)).await;
    assert_eq!(again.body, first.body);
    let id = first.body["requestId"].as_str().unwrap();
    assert_eq!(id.len(), 64, "named by its work");
    let graph = world.get(&format!("/v1/extractions/{id}/graph?format=json")).await;
    assert_eq!(graph.body, first.body);
    let shown = world.get(&format!("/v1/extractions/{id}")).await;
    assert_eq!(
        (&shown.body["state"], &shown.body["grade"]),
        (&"finished".into(), &first.body["grade"])
    );
}

#[tokio::test]
async fn a_graph_is_written_in_the_format_that_is_asked_for() {
    let world = World::new().await;
    let graph = world.post("/v1/extractions", &submission(Some("f"), TEXT)).await;
    assert_eq!(graph.status, StatusCode::OK, "{graph:?}");
    for (format, media_type) in [("turtle", "text/turtle"), ("ntriples", "application/n-triples")] {
        let written = world.get(&format!("/v1/extractions/f/graph?format={format}")).await;
        assert_eq!(written.header("content-type"), Some(media_type), "{written:?}");
        assert!(written.text.contains("Ridley Scott"), "{format}: {}", written.text);
    }
}

#[tokio::test]
async fn an_extraction_is_accepted_and_asked_for_later() {
    let world = World::new().await;
    let ask = Ask::post("/v1/extractions").header("prefer", "respond-async");
    let accepted = world.ask(ask.body(submission(Some("my/1"), TEXT))).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{accepted:?}");
    assert_eq!(accepted.header("location"), Some("/v1/extractions/my%2F1"));
    let id = accepted.header("quarry-message-id").unwrap();
    let message = world.get(&format!("/v1/messages/{id}?wait=20s")).await;
    assert_eq!(message.body["state"], "finished", "{message:?}");
    let shown = world.get(accepted.header("location").unwrap()).await;
    assert_eq!((&shown.body["requestId"], &shown.body["messageId"]), (&"my/1".into(), &id.into()));
}

#[tokio::test]
async fn a_request_id_stands_for_one_text() {
    let world = World::new().await;
    world.post("/v1/extractions", &submission(Some("r1"), TEXT)).await;
    let other = world.post("/v1/extractions", &submission(Some("r1"), "Another text.")).await;
    assert_eq!(other.problem(), (422, "request_reused", Some("requestId")));
    let unknown = r#"{"text": "x", "ontologyId": "nope"}"#;
    let answer = world.post("/v1/extractions", unknown).await;
    let known = Ontologies::built_in().unwrap();
    let ids: Vec<_> = known.iter().map(|ontology| ontology.id()).collect();
    assert_eq!(answer.body["available"], serde_json::json!(ids));
}

fn choosing(options: &serde_json::Value) -> String {
    serde_json::json!({ "text": TEXT, "ontologyId": "film", "options": options }).to_string()
}

#[tokio::test]
async fn options_of_a_model_are_taken_and_change_no_graph_of_the_embedded_extractor() {
    let world = World::new().await;
    let plain = world.post("/v1/extractions", &choosing(&serde_json::json!({}))).await;
    for options in [
        serde_json::json!({ "maxTokens": 500, "temperature": 0.1, "timeout": 2 }),
        serde_json::json!({ "timeout": "90s", "extractor": "embedded", "chunkSize": 500 }),
    ] {
        let answer = world.post("/v1/extractions", &choosing(&options)).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(answer.body, plain.body, "{options}");
    }
}

#[tokio::test]
async fn an_option_that_cannot_be_is_refused_by_its_path() {
    let world = World::new().await;
    let before = world.stored().await;
    for (options, field) in [
        (serde_json::json!({ "maxTokens": 0 }), "options.maxTokens"),
        (serde_json::json!({ "maxTokens": "many" }), "options.maxTokens"),
        (serde_json::json!({ "temperature": 2.5 }), "options.temperature"),
        (serde_json::json!({ "timeout": "soon" }), "options.timeout"),
        (serde_json::json!({ "timeout": 0 }), "options.timeout"),
        (serde_json::json!({ "timeout": true }), "options.timeout"),
        (serde_json::json!({ "timeout": "6m" }), "options.timeout"),
        (serde_json::json!({ "extractor": "gpt" }), "options.extractor"),
        (serde_json::json!({ "chunks": 5 }), "options.chunks"),
    ] {
        let answer = world.post("/v1/extractions", &choosing(&options)).await;
        assert_eq!(answer.problem(), (422, "invalid_payload", Some(field)), "{answer:?}");
    }
    let model = choosing(&serde_json::json!({ "extractor": "llm" }));
    let answer = world.post("/v1/extractions", &model).await;
    assert_eq!(answer.problem(), (503, "no_provider", Some("options.extractor")));
    assert_eq!(answer.body["retryable"], false);
    assert_eq!(world.stored().await, before);
}

#[tokio::test]
async fn an_extraction_that_takes_too_long_ends_and_its_work_goes_on() {
    let world = World::new().await;
    let mut body = serde_json::json!({ "text": TEXT, "ontologyId": "film", "requestId": "long" });
    // Inducing the extractor alone takes longer.
    body["options"] = serde_json::json!({ "timeout": "1ms" });
    let answer = world.post("/v1/extractions", &body.to_string()).await;
    assert_eq!(answer.problem(), (409, "TimeoutError", None), "{answer:?}");
    assert_eq!(answer.body["outcome"], "failed");
    let shown = world.get("/v1/extractions/long").await;
    assert_eq!(shown.body["failure"]["code"], "TimeoutError", "{shown:?}");
    body["options"] = serde_json::json!({ "timeout": "60s" });
    let again = world.post("/v1/extractions", &body.to_string()).await;
    assert_eq!(again.status, StatusCode::OK, "{again:?}");
    assert_eq!(again.body["requestId"], "long");
}
