//! Bad input on every route: a clear error with the field, the right status, nothing stored.

use axum::http::Method;

use super::harness::{Ask, World};
use crate::router::ROUTES;

const REPLACE: &str = "/v1/cluster/voters:replace";
const ADD: &str = "/v1/entities/Counter/c/add";
const APPEND: &str = "/v1/entities/Register/r/append";
const NO_MESSAGE: &str = "/v1/messages/01890000-0000-7000-8000-000000000000";

/// What is asked, and the status, code and field of its refusal.
type Case = (Ask, u16, &'static str, Option<&'static str>);

fn names() -> Vec<Case> {
    let long = "x".repeat(257);
    let long_id = format!("/v1/entities/Counter/{long}/add");
    vec![
        (Ask::get("/nowhere"), 404, "no_such_route", None),
        (Ask::post("/v1/entities/Counter/a/b/add"), 404, "no_such_route", None),
        (Ask::post("/v1/entities/Counter//add"), 400, "invalid_name", Some("id")),
        (Ask::post("/v1/entities/Nope/c/add"), 404, "unknown_type", Some("type")),
        (Ask::post("/v1/entities/no-type/c/add"), 400, "invalid_name", Some("type")),
        (Ask::post("/v1/entities/Counter/c/nope"), 404, "unknown_method", Some("method")),
        (Ask::post("/v1/entities/Counter/c/no-pe"), 400, "invalid_name", Some("method")),
        (Ask::post("/v1/entities/Counter/a%0Ab/add"), 400, "invalid_name", Some("id")),
        (Ask::post(&long_id), 400, "invalid_name", Some("id")),
        (Ask::post("/v1/entities/Counter/%ff/add"), 400, "malformed_path", Some("id")),
        (Ask::post("/v1/entities/Counter/%zz/add"), 400, "malformed_path", None),
        (Ask::get("/v1/entities/Nope/c"), 404, "unknown_type", Some("type")),
        (Ask::get("/v1/entities/Counter/never"), 404, "no_such_entity", Some("id")),
        (Ask::get("/v1/placement/Nope/c"), 404, "unknown_type", Some("type")),
        (Ask::get("/v1/messages/42"), 400, "invalid_name", Some("mid")),
        (Ask::get(NO_MESSAGE), 404, "no_such_message", Some("mid")),
        (Ask::get(&format!("{NO_MESSAGE}?wait=1ms")), 404, "no_such_message", Some("mid")),
        (Ask::post("/v1/cluster/nodes/x/drain"), 400, "invalid_name", Some("id")),
        (Ask::post("/v1/cluster/nodes/-1/drain"), 400, "invalid_name", Some("id")),
        (Ask::post("/v1/cluster/nodes/99/drain"), 404, "no_such_node", Some("id")),
        (Ask::post("/v1/cluster/nodes/99/undrain"), 404, "no_such_node", Some("id")),
        (Ask::post(REPLACE).body(r#"{"old":2,"new":99}"#), 404, "no_such_node", Some("new")),
        (Ask::post(REPLACE).body(r#"{"old":2}"#), 400, "invalid_body", Some("new")),
        (Ask::post(REPLACE).body(r#"{"old":2,"new":1}"#), 412, "cluster_refused", None),
        (Ask::post("/v1/cluster/shards/99:split"), 404, "no_such_shard", Some("id")),
        (Ask::post("/v1/cluster/shards/x:split"), 400, "invalid_name", Some("id")),
        (Ask::post("/v1/cluster/shards/1:merge"), 404, "no_such_route", Some("id")),
        (Ask::post("/v1/cluster/shards/1"), 404, "no_such_route", Some("id")),
    ]
}

fn parameters() -> Vec<Case> {
    let bad = "invalid_parameter";
    vec![
        (Ask::post(&format!("{ADD}?timeout=5")).body("1"), 400, bad, Some("timeout")),
        (Ask::post(&format!("{ADD}?timeout=1h")).body("1"), 400, bad, Some("timeout")),
        (Ask::post(&format!("{ADD}?async=perhaps")).body("1"), 400, bad, Some("async")),
        (Ask::post(&format!("{ADD}?async&async")).body("1"), 400, bad, Some("async")),
        (Ask::post("/v1/entities/Counter/c/get?async"), 400, "not_durable", Some("async")),
        (Ask::post("/v1/entities/Counter/c/get?delay=5s"), 400, "not_durable", Some("delay")),
        (Ask::post(&format!("{ADD}?delay=soon")).body("1"), 400, bad, Some("delay")),
        (Ask::post(&format!("{ADD}?delay=9000h")).body("1"), 400, bad, Some("delay")),
        (Ask::post(&format!("{ADD}?deliver_at=noon")).body("1"), 400, bad, Some("deliver_at")),
        (
            Ask::post(&format!("{ADD}?delay=1s&deliver_at=2026-11-21T00:00:00Z")).body("1"),
            400,
            bad,
            Some("deliver_at"),
        ),
        (Ask::post("/v1/extractions?delay=5s"), 400, "unknown_parameter", Some("delay")),
        (Ask::get("/v1/messages?state=lost"), 400, bad, Some("state")),
        (Ask::get("/v1/messages?entity=Counter"), 400, bad, Some("entity")),
        (Ask::get("/v1/messages?limit=0"), 400, bad, Some("limit")),
        (Ask::get("/v1/messages?cursor=x"), 400, bad, Some("cursor")),
        (Ask::get("/v1/entities?cursor=x"), 400, bad, Some("cursor")),
        (Ask::get("/v1/entities?type=no-type"), 400, bad, Some("type")),
        (Ask::get("/v1/entities?limit=many"), 400, bad, Some("limit")),
        (Ask::get("/v1/entities?type=%ff"), 400, bad, Some("type")),
        (Ask::get(&format!("{NO_MESSAGE}?wait=soon")), 400, bad, Some("wait")),
        (Ask::get("/readyz?verbose=loud"), 400, bad, Some("verbose")),
    ]
}

fn headers() -> Vec<Case> {
    let add = || Ask::post(ADD).body("1");
    // As curl labels what it is given.
    let form = || Ask::post(ADD).header("content-type", "application/x-www-form-urlencoded");
    let key = Some("Idempotency-Key");
    let bad = "invalid_header";
    vec![
        (add().header("idempotency-key", ""), 400, bad, key),
        (add().header("idempotency-key", "x".repeat(257)), 400, bad, key),
        (add().header("idempotency-key", b"\xff\xfe"), 400, bad, key),
        (add().header("idempotency-key", "a\tb"), 400, bad, key),
        (add().header("idempotency-key", "a").header("idempotency-key", "b"), 400, bad, key),
        (add().header("quarry-send-count", "-1"), 400, bad, Some("Quarry-Send-Count")),
        (add().header("prefer", b"\xff"), 400, bad, Some("Prefer")),
        (add().header("accept", "text/html"), 406, "not_acceptable", Some("Accept")),
        (
            Ask::post("/v1/entities/Counter/c/get").header("accept", "text/event-stream"),
            406,
            "not_acceptable",
            Some("Accept"),
        ),
        (
            add().header("content-type", "text/plain"),
            415,
            "unsupported_media_type",
            Some("Content-Type"),
        ),
        (form().body("a=1"), 415, "unsupported_media_type", Some("Content-Type")),
        (form().body("{\"a\":"), 400, "malformed_json", Some("a")),
    ]
}

fn streams() -> Vec<Case> {
    let chunks = format!("{NO_MESSAGE}/chunks");
    let events = "/v1/extractions/never/events";
    let last = |path: &str, id: &str| Ask::get(path).header("last-event-id", id);
    let (header, field) = ("invalid_header", Some("Last-Event-ID"));
    let accept = Some("Accept");
    let position = format!("{}.0", &NO_MESSAGE["/v1/messages/".len()..]);
    let from = format!("{chunks}?from=");
    vec![
        (Ask::get(&chunks), 404, "no_such_message", Some("mid")),
        (Ask::get("/v1/messages/42/chunks"), 400, "invalid_name", Some("mid")),
        (Ask::get(&format!("{from}x")), 400, "invalid_parameter", Some("from")),
        (Ask::get(&format!("{from}-1")), 400, "invalid_parameter", Some("from")),
        (Ask::get(&chunks).header("accept", "application/json"), 406, "not_acceptable", accept),
        (Ask::get(&chunks).body("{}"), 400, "unexpected_body", Some("body")),
        (last(&chunks, "x"), 400, header, field),
        (last(&chunks, ""), 400, header, field),
        (last(&chunks, "18446744073709551615"), 400, header, field),
        (last(&chunks, "1").header("last-event-id", "2"), 400, header, field),
        (Ask::get(events), 404, "no_such_extraction", Some("id")),
        (Ask::get("/v1/extractions/a%0A/events"), 400, "invalid_name", Some("id")),
        (Ask::get(events).header("accept", "text/html"), 406, "not_acceptable", accept),
        (last(events, "1"), 400, header, field),
        (last(events, &position), 400, header, field),
        (
            Ask::post("/v1/extractions").header("accept", "text/event-stream").body("{}"),
            422,
            "invalid_payload",
            Some("text"),
        ),
    ]
}

fn submissions() -> Vec<Case> {
    let submit = |body: &str| Ask::post("/v1/extractions").body(body);
    let option = |options: &str| {
        let body = format!(r#"{{"text": "x", "ontologyId": "film", "options": {options}}}"#);
        Ask::post("/v1/extractions").body(body)
    };
    let named = |id: &str| {
        let body = serde_json::json!({ "text": "x", "ontologyId": "film", "requestId": id });
        Ask::post("/v1/extractions").body(body.to_string())
    };
    let invalid = "invalid_payload";
    vec![
        (submit(""), 422, invalid, Some("body")),
        (submit("{"), 400, "malformed_json", Some("body")),
        (submit("[]"), 422, invalid, Some("body")),
        (submit(r#"{"text": "x"}"#), 422, invalid, Some("ontologyId")),
        (submit(r#"{"text": 1, "ontologyId": "film"}"#), 422, invalid, Some("text")),
        (submit(r#"{"text": " ", "ontologyId": "film"}"#), 422, invalid, Some("text")),
        (
            submit(r#"{"text": "x", "ontologyId": "f"}"#),
            422,
            "unknown_ontology",
            Some("ontologyId"),
        ),
        (submit(r#"{"text": "x", "ontologyId": "film", "x": 1}"#), 422, invalid, Some("x")),
        (option(r#"{"chunkSize": 1}"#), 422, invalid, Some("options.chunkSize")),
        (option(r#"{"chunkSize": "1"}"#), 422, invalid, Some("options.chunkSize")),
        (option(r#"{"size": 1}"#), 422, invalid, Some("options.size")),
        (option(r#"{"minConfidence": 2}"#), 422, invalid, Some("options.minConfidence")),
        (named(""), 422, invalid, Some("requestId")),
        (named(&"x".repeat(257)), 422, invalid, Some("requestId")),
        (Ask::get("/v1/extractions/never"), 404, "no_such_extraction", Some("id")),
        (Ask::get("/v1/extractions/never/graph"), 404, "no_such_extraction", Some("id")),
        (Ask::get("/v1/extractions/a%0A/graph"), 400, "invalid_name", Some("id")),
        (
            Ask::get("/v1/extractions/never/graph?format=pdf"),
            400,
            "invalid_parameter",
            Some("format"),
        ),
    ]
}

fn packed(how: &'static str) -> Ask {
    Ask::post(ADD).header("content-encoding", how).body("5")
}

fn labelled(label: &'static str) -> Ask {
    Ask::post(ADD).header("content-type", label).body("5")
}

fn bodies() -> Vec<Case> {
    let large = vec![b' '; 1024 * 1024 + 1];
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let invalid = "invalid_payload";
    vec![
        (Ask::post(ADD).body("{\"a\":"), 400, "malformed_json", Some("a")),
        (Ask::post(ADD).body("1 2"), 400, "malformed_json", Some("body")),
        (Ask::post(ADD).body(" "), 400, "malformed_json", Some("body")),
        (Ask::post(ADD).body(b"\"\xff\""), 400, "malformed_json", Some("body")),
        (Ask::post(ADD).body(large), 413, "too_large", Some("body")),
        (
            Ask::post(ADD).header("content-length", "99999999").body("1"),
            413,
            "too_large",
            Some("body"),
        ),
        (Ask::post(ADD), 422, invalid, Some("body")),
        (Ask::post(ADD).body("\"five\""), 422, invalid, Some("body")),
        (Ask::post(ADD).body("1.5"), 422, invalid, Some("body")),
        (Ask::post(ADD).body("9223372036854775808"), 422, invalid, Some("body")),
        (Ask::post(ADD).body(deep), 400, "malformed_json", Some("body")),
        (Ask::post(ADD).body("{\"a\":1,\"a\":2}"), 400, "malformed_json", Some("a")),
        (Ask::post(APPEND).body("[\"v\"]"), 422, invalid, Some("body")),
        (
            Ask::post("/v1/extractions").body("[\"Alien is a film.\",\"film\"]"),
            422,
            invalid,
            Some("body"),
        ),
        (Ask::post("/v1/messages:drop").body("[]"), 400, "invalid_body", Some("body")),
        (packed("gzip"), 415, "unsupported_media_type", Some("Content-Encoding")),
        (
            labelled("application/json; charset=utf-16"),
            415,
            "unsupported_media_type",
            Some("Content-Type"),
        ),
        (Ask::get("/v1/messages/m:drop"), 405, "method_not_allowed", None),
        (Ask::post("/v1/messages/m"), 405, "method_not_allowed", None),
        (Ask::post("/v1/messages/m:burn"), 404, "no_such_route", Some("mid")),
        (Ask::get("/v1/ontologies/film?version=zz"), 404, "no_such_ontology", Some("version")),
        (Ask::post(APPEND).body("{}"), 422, invalid, Some("value")),
        (Ask::post(APPEND).body("{\"value\": 5}"), 422, invalid, Some("value")),
        (Ask::post(APPEND).body("{\"value\": \"v\", \"extra\": 1}"), 422, invalid, Some("extra")),
        (Ask::post("/v1/entities/Counter/c/get").body("1"), 422, invalid, Some("body")),
        (Ask::get("/v1/cluster").body("{}"), 400, "unexpected_body", Some("body")),
        (Ask::get("/").body("{}"), 400, "unexpected_body", Some("body")),
        (Ask::get("/openapi.json").body("{}"), 400, "unexpected_body", Some("body")),
        (Ask::post("/v1/cluster/nodes/1/drain").body("{}"), 400, "unexpected_body", Some("body")),
    ]
}

#[tokio::test]
async fn every_bad_input_is_refused_with_its_field_and_stores_nothing() {
    let world = World::new().await;
    let before = world.stored().await;
    for (ask, status, code, field) in
        [names(), parameters(), headers(), bodies(), submissions(), streams()].concat_all()
    {
        let shown: String = format!("{ask:?}").chars().take(160).collect();
        let answer = world.ask(ask).await;
        assert_eq!(answer.problem(), (status, code, field), "{shown}: {answer:?}");
        assert_eq!(answer.body["outcome"], "refused", "{shown}");
        assert_eq!(answer.body["retryable"], false, "{shown}");
    }
    assert_eq!(world.stored().await, before);
}

trait ConcatAll {
    fn concat_all(self) -> Vec<Case>;
}

impl<const N: usize> ConcatAll for [Vec<Case>; N] {
    fn concat_all(self) -> Vec<Case> {
        self.into_iter().flatten().collect()
    }
}

/// A path of the route with names that exist.
pub(super) fn filled(path: &str) -> String {
    let path = path.replace("{type}", "Counter").replace("{method}", "add");
    path.replace("nodes/{id}", "nodes/1")
        .replace("ontologies/{id}", "ontologies/film")
        .replace("{id}", "c")
        .replace("{mid}", "01890000-0000-7000-8000-000000000000")
}

#[tokio::test]
async fn every_route_refuses_unknown_parameters_and_bad_escapes() {
    let world = World::new().await;
    let before = world.stored().await;
    for route in ROUTES {
        let path = filled(route.path);
        let ask = |query: &str| {
            let ask = Ask::new(route.method.clone(), &format!("{path}?{query}"));
            if route.path.contains("{method}") { ask.body("1") } else { ask }
        };
        let answer = world.ask(ask("nonsense=1")).await;
        assert_eq!(answer.problem(), (400, "unknown_parameter", Some("nonsense")), "{path}");
        let answer = world.ask(ask("x=%2")).await;
        assert_eq!(answer.problem(), (400, "malformed_path", None), "{path}");
    }
    assert_eq!(world.stored().await, before);
}

#[tokio::test]
async fn every_route_refuses_other_methods_and_names_its_own() {
    let world = World::new().await;
    for route in ROUTES {
        let path = filled(route.path);
        let own: Vec<&Method> = ROUTES
            .iter()
            .filter(|other| other.pattern() == route.pattern())
            .map(|other| &other.method)
            .collect();
        let others = [Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
        for method in others.into_iter().filter(|method| !own.contains(&method)) {
            let answer = world.ask(Ask::new(method.clone(), &path)).await;
            assert_eq!(answer.problem(), (405, "method_not_allowed", None), "{method} {path}");
            let allowed = answer.header("allow").unwrap();
            assert!(allowed.contains(route.method.as_str()), "{method} {path}: {allowed}");
        }
    }
}

#[tokio::test]
async fn what_exists_is_listed_and_what_was_meant_is_guessed() {
    let world = World::new().await;
    let answer = world.post("/v1/entities/Nope/c/add", "1").await;
    assert_eq!(
        answer.body["available"],
        serde_json::json!([
            "Counter",
            "ExtractionWork",
            "KGExtractor",
            "Moody",
            "Narrow",
            "Ontology",
            "Register"
        ])
    );
    let answer = world.post("/v1/entities/Counter/c/nope", "1").await;
    assert_eq!(answer.body["available"], serde_json::json!(["add", "get"]));
    let answer = world.post("/v1/entities/Conter/c/ad", "1").await;
    assert!(answer.body["detail"].as_str().unwrap().contains("did you mean \"Counter\"?"));
    let answer = world.get("/v1/messages?limt=1").await;
    assert!(answer.body["detail"].as_str().unwrap().contains("did you mean \"limit\"?"));
    let answer = world.get("/v1/entities/a/b/c/d").await;
    assert!(answer.body["detail"].as_str().unwrap().contains("%2F"), "{answer:?}");
    let answer = world.post(ADD, "{\n \"a\": }").await;
    assert_eq!((&answer.body["line"], &answer.body["column"]), (&2.into(), &7.into()));
}
