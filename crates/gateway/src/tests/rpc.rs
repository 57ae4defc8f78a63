//! Procedures: the short form and the frames.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::harness::{Answer, Ask, World};

const TEXT: &str = "Blade Runner is a 1982 film directed by Ridley Scott.";
const FORM: &str = "application/x-www-form-urlencoded";

fn call(tag: &str, payload: &Value) -> String {
    json!({ "_tag": tag, "payload": payload }).to_string()
}

fn request(id: &Value, tag: &str, payload: &Value) -> Value {
    json!({ "_tag": "Request", "id": id, "tag": tag, "payload": payload, "headers": [] })
}

fn film() -> Value {
    json!({ "text": TEXT, "ontologyId": "film" })
}

async fn rpc(world: &World, content_type: Option<&str>, body: &str) -> Answer {
    let ask = Ask::post("/api/rpc").body(body);
    world
        .ask(match content_type {
            Some(content_type) => ask.header("content-type", content_type),
            None => ask,
        })
        .await
}

/// The frames of an answer in lines.
fn frames(answer: &Answer) -> Vec<Value> {
    answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn the_short_form_is_taken_with_any_content_type_that_curl_sends() {
    let world = World::new().await;
    let body = call("extraction.extract", &film());
    let first = rpc(&world, Some("application/json"), &body).await;
    assert_eq!((first.status, &first.body["_tag"]), (StatusCode::OK, &"Success".into()));
    assert_eq!(first.body["value"]["ontologyId"], "film");
    for content_type in [None, Some(FORM), Some("application/json; charset=utf-8")] {
        assert_eq!(rpc(&world, content_type, &body).await.body, first.body, "{content_type:?}");
    }
    let id = &first.body["value"]["requestId"];
    for payload in [json!({ "requestId": id }), film()] {
        let status = rpc(&world, None, &call("extraction.getStatus", &payload)).await;
        let value = json!({ "status": "complete", "result": first.body["value"] });
        assert_eq!(status.body, json!({ "_tag": "Success", "value": value }));
    }
    let graph = world.get(&format!("/v1/extractions/{}/graph", id.as_str().unwrap())).await;
    assert_eq!(graph.body, first.body["value"]);
}

#[tokio::test]
async fn the_built_in_person_pack_answers_for_foaf() {
    let world = World::new().await;
    let answer = rpc(
        &world,
        None,
        r#"{"_tag":"extraction.extract","payload":{"text":"test","ontologyId":"foaf"}}"#,
    )
    .await;
    assert_eq!(answer.body["value"]["ontologyId"], "person", "{answer:?}");
    let slash = Ask::post("/api/rpc/").body(call("extraction.extract", &film()));
    assert_eq!(world.ask(slash).await.body["_tag"], "Success");
}

#[tokio::test]
async fn the_seeds_options_are_understood() {
    let world = World::new().await;
    for options in [
        json!({ "maxTokens": 500, "temperature": 0.1, "timeout": 2 }),
        json!({ "timeout": "30s", "minConfidence": 0.6 }),
    ] {
        let payload = json!({ "text": TEXT, "ontologyId": "film", "options": options });
        let answer = rpc(&world, None, &call("extraction.extract", &payload)).await;
        assert_eq!(answer.body["_tag"], "Success", "{answer:?}");
    }
}

#[tokio::test]
async fn typed_errors_are_answers() {
    let world = World::new().await;
    let payload = json!({ "text": TEXT, "ontologyId": "nope" });
    let answer = rpc(&world, None, &call("extraction.extract", &payload)).await;
    assert_eq!((answer.status, &answer.body["_tag"]), (StatusCode::OK, &"Failure".into()));
    assert_eq!(answer.body["error"]["_tag"], "OntologyError");
    let model = json!({ "text": TEXT, "ontologyId": "film", "options": { "extractor": "llm" } });
    let unserved = rpc(&world, None, &call("extraction.extract", &model)).await;
    assert_eq!(unserved.body["error"]["_tag"], "ServiceUnavailable", "{unserved:?}");
    assert!(answer.body["error"]["message"].as_str().unwrap().contains("film"), "{answer:?}");
    let answer =
        rpc(&world, None, &call("extraction.getStatus", &json!({ "requestId": "never" }))).await;
    assert_eq!(answer.body, json!({ "_tag": "Success", "value": { "status": "not_found" } }));
}

#[tokio::test]
async fn an_extraction_that_cannot_be_done_in_time_times_out() {
    let world = World::new().await;
    let payload = json!({ "text": TEXT, "ontologyId": "film", "options": { "timeout": 1e-7 } });
    let answer = rpc(&world, None, &call("extraction.extract", &payload)).await;
    assert_eq!(answer.body["error"]["_tag"], "TimeoutError", "{answer:?}");
}

#[tokio::test]
async fn a_malformed_call_is_refused_with_its_path() {
    let world = World::new().await;
    let before = world.stored().await;
    let extract = |payload: Value| call("extraction.extract", &payload);
    let option = |options: Value| {
        call(
            "extraction.extract",
            &json!({ "text": TEXT, "ontologyId": "film", "options": options }),
        )
    };
    for (body, field) in [
        (String::new(), "body"),
        ("5".to_owned(), "body"),
        ("{}".to_owned(), "_tag"),
        (r#"{"_tag": 1}"#.to_owned(), "_tag"),
        (r#"{"_tag": "extraction.getStatus", "x": 1}"#.to_owned(), "x"),
        (call("extraction.exract", &json!({})), "_tag"),
        (extract(Value::Null), "payload"),
        (extract(json!({ "ontologyId": "film" })), "payload.text"),
        (extract(json!({ "text": TEXT })), "payload.ontologyId"),
        (extract(json!({ "text": " ", "ontologyId": "film" })), "payload.text"),
        (extract(json!({ "text": TEXT, "ontologyId": 1 })), "payload.ontologyId"),
        (extract(json!({ "text": TEXT, "ontologyId": "film", "x": 1 })), "payload.x"),
        (option(json!({ "chunkSize": 1 })), "payload.options.chunkSize"),
        (option(json!({ "chunkSize": "1" })), "payload.options.chunkSize"),
        (option(json!({ "timeout": -1 })), "payload.options.timeout"),
        (option(json!({ "timeout": "1h" })), "payload.options.timeout"),
        (option(json!({ "maxTokens": 0 })), "payload.options.maxTokens"),
        (option(json!({ "temperature": "hot" })), "payload.options.temperature"),
        (call("extraction.getStatus", &json!({})), "payload.requestId"),
        (call("extraction.getStatus", &json!({ "requestId": "" })), "payload.requestId"),
    ] {
        let answer = rpc(&world, None, &body).await;
        assert_eq!(answer.problem(), (400, "invalid_call", Some(field)), "{body}: {answer:?}");
    }
    let answer = rpc(&world, None, &call("extraction.exract", &json!({}))).await;
    assert_eq!(
        answer.body["available"],
        json!(["extraction.extract", "extraction.streamExtract", "extraction.getStatus"])
    );
    assert_eq!(world.stored().await, before);
}

#[tokio::test]
async fn a_request_id_that_stands_for_another_text_is_refused() {
    let world = World::new().await;
    let named = |text: &str| {
        let payload = json!({ "text": text, "ontologyId": "film", "requestId": "r1" });
        call("extraction.extract", &payload)
    };
    rpc(&world, None, &named(TEXT)).await;
    let answer = rpc(&world, None, &named("Another text.")).await;
    assert_eq!(answer.problem(), (422, "request_reused", Some("payload.requestId")));
}

#[tokio::test]
async fn only_json_is_taken_and_from_pages_only_under_its_own_name() {
    let world = World::new().await;
    let json = call("extraction.extract", &film());
    let field = Some("Content-Type");
    for (content_type, body) in [("text/plain", json.as_str()), (FORM, "a=b&c=d")] {
        let answer = rpc(&world, Some(content_type), body).await;
        assert_eq!(answer.problem(), (415, "unsupported_media_type", field), "{content_type}");
    }
    let torn = rpc(&world, Some(FORM), "{\"a\":").await;
    assert_eq!(
        torn.problem(),
        (400, "malformed_json", Some("a")),
        "what curl sends without a label"
    );
    let page = || Ask::post("/api/rpc").header("origin", "http://elsewhere.example").body(&json);
    for ask in [page(), page().header("content-type", FORM)] {
        assert_eq!(world.ask(ask).await.problem(), (415, "unsupported_media_type", field));
    }
    let answer = world.ask(page().header("content-type", "application/json")).await;
    assert_eq!(answer.status, StatusCode::OK);
    let add = Ask::post("/v1/entities/Counter/c/add").header("content-type", FORM).body("5");
    assert_eq!(world.ask(add).await.body, 5);
}

#[tokio::test]
async fn frames_in_json_are_answered_with_a_list() {
    let world = World::new().await;
    let one = request(&"0".into(), "extraction.extract", &film());
    let answer = rpc(&world, Some("application/json"), &one.to_string()).await;
    let [exit] = answer.body.as_array().unwrap().as_slice() else { panic!("{answer:?}") };
    assert_eq!((&exit["_tag"], &exit["requestId"]), (&"Exit".into(), &"0".into()));
    assert_eq!(exit["exit"]["_tag"], "Success", "{exit}");
    assert_eq!(exit["exit"]["value"]["ontologyId"], "film");
    let several = json!([
        request(&"1".into(), "extraction.getStatus", &json!({ "requestId": "never" })),
        { "_tag": "Ping" },
        { "_tag": "Ack", "requestId": "1" },
        { "_tag": "Eof" },
        { "_tag": "Ping" },
    ]);
    let answer = rpc(&world, Some("application/json"), &several.to_string()).await;
    let mut tags: Vec<_> = answer
        .body
        .as_array()
        .unwrap()
        .iter()
        .map(|frame| frame["_tag"].as_str().unwrap())
        .collect();
    tags.sort_unstable();
    assert_eq!(tags, ["Exit", "Pong"]);
}

#[tokio::test]
async fn frames_in_lines_are_answered_in_lines() {
    let world = World::new().await;
    let body =
        format!("{}\n{{\"_tag\":\"Ping\"}}\n", request(&"7".into(), "extraction.extract", &film()));
    for content_type in ["application/ndjson", "application/x-ndjson"] {
        let answer = rpc(&world, Some(content_type), &body).await;
        assert_eq!(answer.header("content-type"), Some(content_type));
        let frames = frames(&answer);
        assert_eq!(frames.len(), 2, "{frames:?}");
        assert!(frames.contains(&json!({ "_tag": "Pong" })), "{frames:?}");
        let exit = frames.iter().find(|frame| frame["_tag"] == "Exit").unwrap();
        assert_eq!(exit["exit"]["value"]["ontologyId"], "film");
    }
}

#[tokio::test]
async fn causes_are_written_as_the_client_reads_them() {
    let world = World::new().await;
    let unknown = json!({ "text": TEXT, "ontologyId": "nope" });
    for (id, listed) in [(json!("3"), false), (json!(3), true)] {
        let frame = request(&id, "extraction.extract", &unknown);
        let answer = rpc(&world, None, &frame.to_string()).await;
        assert_eq!(answer.body[0]["requestId"], id);
        let cause = &answer.body[0]["exit"]["cause"];
        let reason = if listed { &cause[0] } else { cause };
        assert_eq!(
            (&reason["_tag"], &reason["error"]["_tag"]),
            (&"Fail".into(), &"OntologyError".into())
        );
        let frame = request(&id, "extraction.extract", &json!({ "text": TEXT }));
        let answer = rpc(&world, None, &frame.to_string()).await;
        let cause = &answer.body[0]["exit"]["cause"];
        let reason = if listed { &cause[0] } else { cause };
        assert_eq!(reason["_tag"], "Die");
        assert!(reason["defect"].as_str().unwrap().starts_with("payload.ontologyId: "), "{reason}");
    }
}

#[tokio::test]
async fn an_interrupted_request_of_the_same_body_is_not_begun() {
    let world = World::new().await;
    let before = world.stored().await;
    let body = json!([
        request(&"1".into(), "extraction.extract", &film()),
        { "_tag": "Interrupt", "requestId": "1" },
    ]);
    let answer = rpc(&world, None, &body.to_string()).await;
    assert_eq!(
        answer.body[0]["exit"]["cause"],
        json!({ "_tag": "Interrupt", "fiberId": { "_tag": "None" } })
    );
    assert_eq!(world.stored().await, before);
}

#[tokio::test]
async fn a_discarded_request_is_stored_and_done_without_its_client() {
    let world = World::new().await;
    let payload = json!({ "text": TEXT, "ontologyId": "film", "requestId": "later" });
    let mut frame = request(&json!(1), "extraction.extract", &payload);
    frame["discard"] = true.into();
    let answer = rpc(&world, None, &frame.to_string()).await;
    assert_eq!(answer.body[0]["exit"], json!({ "_tag": "Success", "value": null }));
    world.until("/v1/extractions/later", |answer| answer.body["grade"] == "complete").await;
    let mut frame = request(&json!(2), "extraction.extract", &film());
    frame["isNotification"] = true.into();
    assert_eq!(rpc(&world, None, &frame.to_string()).await.body, json!([]));
}

#[tokio::test]
async fn malformed_frames_are_defects() {
    let world = World::new().await;
    let lines = "application/ndjson";
    for (content_type, body, word) in [
        (lines, "{", "line 1 is no JSON"),
        (lines, "\n", "from 1 to 1000 frames"),
        (lines, "{\"_tag\":\"Chunk\"}", "malformed frame"),
        ("application/json", "[]", "from 1 to 1000 frames"),
        ("application/json", "[5]", "malformed frame"),
        (
            "application/json",
            r#"[{"_tag":"Request","id":"1","tag":"extraction.exract"}]"#,
            "did you mean \"extraction.extract\"",
        ),
    ] {
        let answer = rpc(&world, Some(content_type), body).await;
        let frame: Value = serde_json::from_str(&answer.text).unwrap();
        let frame = if frame.is_array() { &frame[0] } else { &frame };
        assert_eq!(frame["_tag"], "Defect", "{body}: {answer:?}");
        assert!(frame["defect"].as_str().unwrap().contains(word), "{body}: {frame}");
    }
}
