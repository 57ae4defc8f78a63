//! Operators act on messages.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::harness::{Answer, Ask, World};

/// A message that is set aside, by its id.
async fn set_aside(world: &World, id: &str) -> String {
    let told = world.post(&format!("/v1/entities/Moody/{id}/even"), r#"{"number": 1}"#).await;
    assert_eq!(told.problem(), (504, "quarantined", None), "{told:?}");
    told.body["message_id"].as_str().unwrap().to_owned()
}

async fn delete(world: &World, id: &str) -> Answer {
    world.ask(Ask::new(Method::DELETE, &format!("/v1/messages/{id}"))).await
}

#[tokio::test]
async fn a_delayed_message_is_cancelled_and_stays_so() {
    let world = World::new().await;
    let sent = world.post("/v1/entities/Counter/c1/add?delay=1h", "5").await;
    let id = sent.body["messageId"].as_str().unwrap();
    let failure = json!({
        "status": "failure", "code": "cancelled", "message": "an operator cancelled the message",
    });
    let done = delete(&world, id).await;
    let wanted = |replayed| json!({ "messageId": id, "state": "finished", "outcome": failure, "replayed": replayed });
    assert_eq!((done.status, &done.body), (StatusCode::OK, &wanted(false)));
    assert_eq!(
        (done.header("quarry-message-id"), done.header("idempotency-replayed")),
        (Some(id), None)
    );
    let again = delete(&world, id).await;
    assert_eq!((&again.body, again.header("idempotency-replayed")), (&wanted(true), Some("true")));
    assert_eq!(world.get(&format!("/v1/messages/{id}")).await.body["outcome"], failure);
}

#[tokio::test]
async fn who_waits_for_a_message_that_is_cancelled_is_told() {
    let world = World::new().await;
    let hang = Ask::post("/v1/entities/Moody/m/hang");
    let cancel = async {
        let listed =
            world.until("/v1/messages?state=open", |page| page.body["items"] != json!([])).await;
        delete(&world, listed.body["items"][0]["messageId"].as_str().unwrap()).await
    };
    let (told, done) = tokio::join!(world.ask(hang), cancel);
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    assert_eq!((told.status, &told.body["code"]), (StatusCode::CONFLICT, &json!("cancelled")));
    assert_eq!(told.body["outcome"], "failed");
}

#[tokio::test]
async fn a_message_is_redriven_edited_and_its_payload_is_checked() {
    let world = World::new().await;
    let id = set_aside(&world, "m").await;
    let redrive = format!("/v1/messages/{id}:redrive");
    let bad = world.post(&redrive, r#"{"payload": {"number": "x"}}"#).await;
    assert_eq!(bad.problem(), (422, "invalid_payload", Some("payload.number")), "{bad:?}");
    let bad = world.post(&redrive, r#"{"pyload": 1}"#).await;
    assert_eq!(bad.problem(), (400, "invalid_body", Some("pyload")), "{bad:?}");
    let done = world.post(&redrive, r#"{"payload": {"number": 2}}"#).await;
    assert_eq!(done.body, json!({ "messageId": id, "state": "open", "replayed": false }));
    let ended = world.get(&format!("/v1/messages/{id}?wait=10s")).await;
    assert_eq!(ended.body["outcome"], json!({ "status": "success", "reply": 2 }), "{ended:?}");
    assert_eq!(
        (&ended.body["payload"], &ended.body["attempts"]),
        (&json!({ "number": 1 }), &json!(1))
    );
    let again = world.post(&redrive, "").await;
    assert_eq!(again.problem(), (409, "already_finished", None), "{again:?}");
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_the_reason() {
    let world = World::new().await;
    let none = "01890000-0000-7000-8000-000000000000";
    for ask in [
        Ask::new(Method::DELETE, &format!("/v1/messages/{none}")),
        Ask::post(&format!("/v1/messages/{none}:drop")),
        Ask::post(&format!("/v1/messages/{none}:redrive")),
        Ask::post(&format!("/v1/messages/{none}:redrive")).body(r#"{"payload": 1}"#),
    ] {
        assert_eq!(world.ask(ask).await.problem(), (404, "no_such_message", Some("mid")));
    }
    let open = world.post("/v1/entities/Moody/m/hang?async", "").await;
    let id = open.body["messageId"].as_str().unwrap();
    let told = world.post(&format!("/v1/messages/{id}:drop"), "").await;
    assert_eq!(told.problem(), (409, "not_quarantined", None), "{told:?}");
    for (path, code) in [
        (format!("/v1/messages/{id}:melt"), "no_such_route"),
        (format!("/v1/messages/{id}"), "method_not_allowed"),
        ("/v1/messages/x:drop".to_owned(), "invalid_name"),
    ] {
        assert_eq!(world.post(&path, "").await.problem().1, code, "{path}");
    }
}

async fn many(world: &World, verb: &str, body: Value) -> Answer {
    world.post(&format!("/v1/messages:{verb}"), &body.to_string()).await
}

#[tokio::test]
async fn many_are_dropped_by_a_filter_in_pages() {
    let world = World::new().await;
    let poisons: Vec<String> = (0..5).map(|at| format!("m{at}")).collect();
    futures_util::future::join_all(poisons.iter().map(|id| set_aside(&world, id))).await;
    let filter = json!({ "type": "Moody", "error": "is odd", "olderThan": "0s" });
    let count = many(&world, "drop", json!({ "filter": filter, "dryRun": true })).await;
    assert_eq!((&count.body["matched"], &count.body["done"]), (&json!(5), &json!(0)), "{count:?}");
    let (mut cursor, mut pages) = (Value::Null, Vec::new());
    loop {
        let mut body = json!({ "filter": filter, "limit": 2 });
        if !cursor.is_null() {
            body["cursor"] = cursor;
        }
        let page = many(&world, "drop", body).await;
        pages.push(page.body["done"].as_u64().unwrap());
        cursor = page.body["next"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(pages, [2, 2, 1]);
    let listed = world.get("/v1/messages?state=finished&type=Moody&error=dropped").await;
    assert_eq!(listed.body["items"].as_array().unwrap().len(), 5, "{listed:?}");
    let none = many(&world, "redrive", json!({ "filter": { "state": "quarantined" } })).await;
    assert_eq!((&none.body["matched"], &none.body["next"]), (&json!(0), &Value::Null));
}

#[tokio::test]
async fn many_are_cancelled_and_each_refusal_has_its_reason() {
    let world = World::new().await;
    let delayed = world.post("/v1/entities/Counter/c1/add?delay=1h", "5").await;
    set_aside(&world, "m").await;
    world.post("/v1/entities/Counter/c1/add", "1").await;
    let done = many(&world, "cancel", json!({ "filter": { "entity": "Counter/c1" } })).await;
    assert_eq!((&done.body["done"], &done.body["matched"]), (&json!(1), &json!(1)), "{done:?}");
    let shown = format!("/v1/messages/{}", delayed.body["messageId"].as_str().unwrap());
    assert_eq!(world.get(&shown).await.body["outcome"]["code"], "cancelled");
    world.database.faults().set_unavailable("the disk is full");
    let away = many(&world, "drop", json!({ "filter": { "state": "quarantined" } })).await;
    world.database.faults().set_available();
    assert_eq!(away.problem().1, "store_unavailable", "{away:?}");
}

#[tokio::test]
async fn a_filter_that_says_nothing_or_nonsense_is_refused() {
    let world = World::new().await;
    for (verb, body, field) in [
        ("drop", json!({ "filter": {} }), "filter"),
        ("cancel", json!({}), "filter"),
        ("cancel", json!({ "filter": { "state": "finished" } }), "filter.state"),
        ("redrive", json!({ "filter": { "state": "open" } }), "filter.state"),
        ("drop", json!({ "filter": { "entity": "Counter" } }), "filter.entity"),
        ("drop", json!({ "filter": { "olderThan": "soon" } }), "filter.olderThan"),
        ("drop", json!({ "filter": { "before": "soon" } }), "filter.before"),
        ("drop", json!({ "filter": { "error": "x" }, "limit": 0 }), "limit"),
        ("drop", json!({ "filter": { "error": "x" }, "cursor": "x" }), "cursor"),
    ] {
        let told = many(&world, verb, body).await;
        assert_eq!(told.problem(), (400, "invalid_body", Some(field)), "{told:?}");
    }
    let told = many(&world, "drop", json!({ "filter": { "type": "Nope" } })).await;
    assert_eq!(told.problem(), (404, "unknown_type", Some("type")), "{told:?}");
}
