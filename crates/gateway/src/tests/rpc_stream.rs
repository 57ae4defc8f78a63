//! `extraction.streamExtract`: events by line, server-sent, and in frames.

use serde_json::{Value, json};

use super::harness::{Answer, Ask, World};

const TEXT: &str = "Blade Runner is a 1982 film directed by Ridley Scott. ";

/// A text that is cut into several chunks.
fn long() -> String {
    TEXT.repeat(200)
}

fn call(payload: &Value) -> String {
    json!({ "_tag": "extraction.streamExtract", "payload": payload }).to_string()
}

fn request(id: &Value, payload: &Value) -> String {
    let tag = "extraction.streamExtract";
    json!({ "_tag": "Request", "id": id, "tag": tag, "payload": payload, "headers": [] })
        .to_string()
}

fn lines(answer: &Answer) -> Vec<Value> {
    answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Checks the order of events, and returns the result.
fn whole(events: &[Value]) -> Value {
    let [first, middle @ .., last] = events else { panic!("{events:?}") };
    assert_eq!(first["type"], "started", "{events:?}");
    assert!(first["requestId"].is_string(), "{first}");
    assert!(!middle.is_empty(), "{events:?}");
    let mut percents = Vec::new();
    for event in middle {
        assert_eq!(event["type"], "progress", "{event}");
        assert!(event["stage"].is_string(), "{event}");
        percents.push(event["percent"].as_f64().unwrap());
    }
    assert!(percents.is_sorted() && percents.last() == Some(&100.0), "{percents:?}");
    assert_eq!(last["type"], "complete", "{events:?}");
    last["result"].clone()
}

#[tokio::test]
async fn events_come_by_line_and_end_with_the_graph() {
    let world = World::new().await;
    let payload = json!({ "text": long(), "ontologyId": "film", "options": { "chunkSize": 50 } });
    let answer = world.ask(Ask::post("/api/rpc").body(call(&payload))).await;
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"), "{answer:?}");
    let events = lines(&answer);
    let graph = whole(&events);
    assert_eq!(graph["requestId"], events[0]["requestId"]);
    let id = graph["requestId"].as_str().unwrap();
    assert_eq!(world.get(&format!("/v1/extractions/{id}/graph")).await.body, graph);
}

#[tokio::test]
async fn an_extraction_that_is_known_completes_at_once() {
    let world = World::new().await;
    let body = call(&json!({ "text": TEXT, "ontologyId": "film" }));
    let first = lines(&world.post("/api/rpc", &body).await);
    let again = lines(&world.post("/api/rpc", &body).await);
    assert_eq!((&again[0], again.last()), (&first[0], first.last()));
    assert_eq!(again.len(), 2, "{again:?}");
}

#[tokio::test]
async fn events_are_server_sent_where_the_client_asks_for_it() {
    let world = World::new().await;
    let body = call(&json!({ "text": TEXT, "ontologyId": "film" }));
    let ask = Ask::post("/api/rpc").header("accept", "text/event-stream").body(body);
    let answer = world.ask(ask).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream"), "{answer:?}");
    let member = |event: &str, name: &str| {
        let line = event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("no {name}: {event}")).to_owned()
    };
    let mut events = Vec::new();
    for (number, event) in answer.text.split("\n\n").filter(|event| !event.is_empty()).enumerate() {
        assert_eq!(member(event, "id"), number.to_string());
        let data: Value = serde_json::from_str(&member(event, "data")).unwrap();
        assert_eq!(data["type"], member(event, "event").as_str());
        events.push(data);
    }
    assert_eq!(whole(&events)["ontologyId"], "film");
}

#[tokio::test]
async fn what_is_wrong_before_the_first_event_is_answered_as_ever() {
    let world = World::new().await;
    let answer = world.post("/api/rpc", &call(&json!({ "text": TEXT }))).await;
    assert_eq!(answer.problem(), (400, "invalid_call", Some("payload.ontologyId")));
    let unknown = call(&json!({ "text": TEXT, "ontologyId": "nope" }));
    let answer = world.post("/api/rpc", &unknown).await;
    assert_eq!(answer.body["error"]["_tag"], "OntologyError", "{answer:?}");
}

#[tokio::test]
async fn a_stream_that_does_not_end_in_time_says_so_last() {
    let world = World::new().await;
    let payload = json!({ "text": long(), "ontologyId": "film", "options": { "timeout": "1ms" } });
    let answer = world.post("/api/rpc", &call(&payload)).await;
    let events = lines(&answer);
    let last = events.last().unwrap();
    let error = if last["type"] == "failed" { &last["error"] } else { &answer.body["error"] };
    assert_eq!(error["_tag"], "TimeoutError", "{events:?}");
}

#[tokio::test]
async fn frames_carry_events_as_chunks_with_an_exit_behind() {
    let world = World::new().await;
    let payload = json!({ "text": TEXT, "ontologyId": "film" });
    for (content_type, id) in [
        ("application/json", json!("5")),
        ("application/ndjson", json!("6")),
        ("application/x-ndjson", json!(7)),
    ] {
        let ask = Ask::post("/api/rpc").header("content-type", content_type);
        let answer = world.ask(ask.body(request(&id, &payload) + "\n")).await;
        let frames = match &answer.body {
            Value::Array(frames) => frames.clone(),
            _ => lines(&answer),
        };
        let (exit, chunks) = frames.split_last().unwrap();
        let mut nothing = json!({ "_tag": "Success" });
        if id.is_number() {
            nothing["value"] = Value::Null;
        }
        assert_eq!(*exit, json!({ "_tag": "Exit", "requestId": id, "exit": nothing }));
        assert!(chunks.len() >= 2, "{frames:?}");
        for chunk in chunks {
            assert_eq!((&chunk["_tag"], &chunk["requestId"]), (&"Chunk".into(), &id));
        }
        assert_eq!(chunks[0]["values"][0]["type"], "started");
        assert_eq!(chunks.last().unwrap()["values"][0]["type"], "complete");
    }
    let unknown = request(&json!("8"), &json!({ "text": TEXT, "ontologyId": "nope" }));
    let answer = world.post("/api/rpc", &unknown).await;
    assert_eq!(answer.body[0]["exit"]["cause"]["error"]["_tag"], "OntologyError", "{answer:?}");
}

#[tokio::test]
async fn the_status_of_a_stored_extraction_is_known_from_the_start() {
    let world = World::new().await;
    let payload = json!({ "text": long(), "ontologyId": "film", "requestId": "r" });
    let mut frame: Value = serde_json::from_str(&request(&json!(1), &payload)).unwrap();
    frame["discard"] = true.into();
    world.post("/api/rpc", &frame.to_string()).await;
    let ask = json!({ "_tag": "extraction.getStatus", "payload": { "requestId": "r" } });
    let asking = async {
        loop {
            let answer = world.post("/api/rpc", &ask.to_string()).await;
            let value = &answer.body["value"];
            match value["status"].as_str().unwrap() {
                "pending" | "running" => assert!(value.get("result").is_none(), "{value}"),
                "complete" => return value["result"]["requestId"].clone(),
                other => panic!("{other}: {answer:?}"),
            }
            tokio::task::yield_now().await;
        }
    };
    let result = tokio::time::timeout(std::time::Duration::from_secs(20), asking).await;
    assert_eq!(result.unwrap(), "r");
}
