//! Reads: entities, messages, cluster, health, metrics.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::harness::{Answer, Ask, World};
use crate::{GatewayConfig, router::ROUTES};

#[tokio::test]
async fn lists_go_on_where_their_pages_end() {
    let world = World::new().await;
    for id in 0..5 {
        world.post(&format!("/v1/entities/Counter/c{id}/add"), "1").await;
    }
    for (list, name) in [("/v1/entities?limit=2", "id"), ("/v1/messages?limit=2", "messageId")] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = world.get(&format!("{list}{cursor}")).await;
            assert_eq!(page.status, StatusCode::OK, "{page:?}");
            let items = page.body["items"].as_array().unwrap();
            seen.extend(items.iter().map(|item| item[name].as_str().unwrap().to_owned()));
            let Some(next) = page.body["next"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 5, "{list}");
    }
    let open = world.get("/v1/messages?state=open").await;
    assert_eq!(open.body, json!({ "items": [] }));
    let one = world.get("/v1/messages?state=finished&entity=Counter%2Fc3").await;
    assert_eq!(one.body["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_cursor_of_another_filter_is_refused() {
    let world = World::new().await;
    for id in 0..3 {
        world.post(&format!("/v1/entities/Counter/c{id}/add"), "1").await;
    }
    let page = world.get("/v1/messages?limit=1").await;
    let next = page.body["next"].as_str().unwrap();
    let other = world.get(&format!("/v1/messages?state=finished&cursor={next}")).await;
    assert_eq!(other.problem(), (400, "invalid_parameter", Some("cursor")));
}

#[tokio::test]
async fn an_entity_shows_owner_state_and_queue() {
    let world = World::new().await;
    world.post("/v1/entities/Counter/c1/add", "5").await;
    let entity = world.get("/v1/entities/Counter/c1").await;
    assert_eq!(entity.body["type"], "Counter", "{entity:?}");
    assert_eq!(entity.body["stateBytes"], 1);
    assert_eq!(entity.body["shard"]["owner"], 1);
    assert!(entity.body["shard"]["epoch"].as_u64().unwrap() > 0);
    assert_eq!(entity.body["open"], json!([]));
    let memory = json!({ "resident": true, "running": false, "waiting": 0, "mailbox": 1_000 });
    assert_eq!(entity.body["memory"], memory, "{entity:?}");
    world.post("/v1/entities/Moody/m/hang?timeout=100ms", "").await;
    let entity = world.get("/v1/entities/Moody/m").await;
    assert_eq!(entity.body["open"].as_array().unwrap().len(), 1, "{entity:?}");
    let memory = json!({ "resident": true, "running": true, "waiting": 1, "mailbox": 1_000 });
    assert_eq!(entity.body["memory"], memory, "{entity:?}");
}

#[tokio::test]
async fn a_list_of_a_type_that_does_not_exist_names_those_that_do() {
    let world = World::new().await;
    for (path, field) in [
        ("/v1/entities?type=Countre", "type"),
        ("/v1/messages?entity=Countre%2Fx", "entity"),
        ("/v1/entities/Countre/x", "type"),
    ] {
        let answer = world.get(path).await;
        assert_eq!(answer.problem(), (404, "unknown_type", Some(field)), "{path}");
        assert!(answer.body["available"].as_array().unwrap().contains(&"Counter".into()));
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains("did you mean \"Counter\"?"), "{detail}");
    }
}

#[tokio::test]
async fn placement_says_where_and_why() {
    let world = World::new().await;
    let answer = world.get("/v1/placement/Counter/never-seen").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body["ownerHttp"], "127.0.0.1:7410");
    let reason = answer.body["reason"].as_str().unwrap();
    assert!(reason.contains("granted to node 1"), "{answer:?}");
    assert!(reason.ends_with(": no other runner may take it"), "{answer:?}");
    let candidate = &answer.body["candidates"][0];
    assert_eq!((&candidate["node"], &candidate["share"]), (&1.into(), &4.into()), "{answer:?}");
    assert!(candidate["cost"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn what_would_change_hands_and_what_did_is_told() {
    let world = World::new().await;
    let plan = world.get("/v1/cluster/plan").await;
    assert_eq!(plan.body["moves"], json!([]), "{plan:?}");
    let lost = world.get("/v1/cluster/plan?if_lost=1").await;
    assert_eq!(lost.body["waiting"], json!([0, 1, 2, 3]), "{lost:?}");
    let unknown = world.get("/v1/cluster/plan?if_lost=1,7").await;
    assert_eq!(unknown.body["code"], "no_such_node", "{unknown:?}");
    assert_eq!(unknown.body["available"], json!(["1"]));
    let bad = world.get("/v1/cluster/plan?if_lost=two").await;
    assert_eq!((bad.status, &bad.body["field"]), (StatusCode::BAD_REQUEST, &"if_lost".into()));
    let moves = world.get("/v1/cluster/moves").await;
    let first = &moves.body["moves"][0];
    assert_eq!((&first["reason"], &first["count"]), (&"founded".into(), &4.into()), "{moves:?}");
    assert_eq!((&first["from"], &first["to"]), (&Value::Null, &1.into()));
}

#[tokio::test]
async fn the_cluster_is_shown_and_a_node_drained() {
    let world = World::new().await;
    let cluster = world.get("/v1/cluster").await;
    assert_eq!(cluster.body["shards"]["total"], 4, "{cluster:?}");
    assert!(cluster.body["applied"].as_u64().unwrap() > 0);
    let shards = world.get("/v1/cluster/shards").await;
    let list = shards.body["shards"].as_array().unwrap();
    assert_eq!((&list[0]["first"], &list[3]["last"]), (&0.into(), &65_535.into()));
    let alone = world.post("/v1/cluster/nodes/1/drain", "").await;
    assert_eq!(alone.problem(), (412, "cluster_refused", None), "{alone:?}");
    assert!(
        alone.body["detail"].as_str().unwrap().contains("no runner would be left: no other node")
    );
    let _second = world.joined_by(2);
    world.until("/v1/cluster", |answer| answer.body["nodes"][1]["state"] == "up").await;
    let both = world.post("/v1/cluster/nodes/1,2/drain", "").await;
    assert_eq!(both.problem(), (412, "cluster_refused", None), "{both:?}");
    let drained = world.post("/v1/cluster/nodes/1/drain", "").await;
    assert_eq!(drained.body["node"], 1, "{drained:?}");
    let is_draining = |answer: &Answer| answer.status == StatusCode::SERVICE_UNAVAILABLE;
    let ready = world.until("/readyz", is_draining).await;
    assert_eq!(ready.body["checks"][0]["name"], "draining", "{ready:?}");
    let refused = world.post("/v1/cluster/nodes/1,9/undrain", "").await;
    assert_eq!(refused.body["code"], "no_such_node", "{refused:?}");
    let undrained = world.post("/v1/cluster/nodes/1,1/undrain", "").await;
    assert_eq!(undrained.status, StatusCode::OK);
    assert_eq!(undrained.body["nodes"], json!([1]));
    world.until("/readyz", |answer| answer.status == StatusCode::OK).await;
}

#[tokio::test]
async fn a_shard_is_split_once_and_its_entities_go_on() {
    let world = World::new().await;
    for number in 0..20 {
        world.post(&format!("/v1/entities/Counter/c{number}/add"), "5").await;
    }
    let split = world.post("/v1/cluster/shards/1:split", "").await;
    assert_eq!(split.status, StatusCode::OK, "{split:?}");
    let part = |at: usize| &split.body["parts"][at];
    assert_eq!((&part(0)["id"], &part(1)["id"]), (&6.into(), &7.into()));
    assert_eq!((&part(0)["first"], &part(1)["last"]), (&16_384.into(), &32_767.into()));
    let again = world.post("/v1/cluster/shards/1:split", "").await;
    assert_eq!((again.status, &again.body["parts"]), (StatusCode::OK, &split.body["parts"]));
    for number in 0..20 {
        let path = format!("/v1/entities/Counter/c{number}/add");
        let added = world.ask(Ask::post(&path).body("1")).await;
        assert_eq!((added.status, added.text.as_str()), (StatusCode::OK, "6"), "c{number}");
    }
    let moves = world.get("/v1/cluster/moves").await;
    let last = &moves.body["moves"][0];
    assert_eq!((&last["reason"], &last["shards"]), (&"split".into(), &json!([6, 7])), "{moves:?}");
}

#[tokio::test]
async fn types_and_methods_are_listed() {
    let world = World::new().await;
    let types = world.get("/v1/types").await;
    let counter = json!({ "name": "Counter", "methods": [
        { "name": "add", "delivery": "durable" },
        { "name": "get", "delivery": "volatile_local" },
    ] });
    assert_eq!(types.body["types"][0], counter);
}

#[tokio::test]
async fn health_follows_the_store_and_the_lease() {
    let world = World::new().await;
    let health = world.get("/healthz").await;
    assert_eq!((health.status, &health.body["status"]), (StatusCode::OK, &"healthy".into()));
    assert_eq!(health.body["shards"], 4, "{health:?}");
    world.database.faults().set_unavailable("pulled out");
    for (path, code) in [("/healthz", "unhealthy"), ("/readyz", "not_ready")] {
        let health = world.get(path).await;
        assert_eq!(health.status, StatusCode::SERVICE_UNAVAILABLE, "{health:?}");
        assert_eq!(health.body["status"], 503);
        assert_eq!(health.body["health"], "unhealthy");
        assert_eq!(health.body["checks"][0]["name"], "store");
        assert_eq!(health.body["code"], code);
        assert!(health.body["detail"].as_str().unwrap().starts_with("store: "), "{health:?}");
        assert_eq!(health.header("retry-after"), Some("1"));
    }
    assert_eq!(world.get("/livez").await.status, StatusCode::OK);
    world.database.faults().set_available();
    assert_eq!(world.get("/readyz?verbose").await.body["checks"].as_array().unwrap().len(), 4);
    world.coordinator.cut(true);
    let is_down = |answer: &Answer| answer.status == StatusCode::SERVICE_UNAVAILABLE;
    let health = world.until("/readyz", is_down).await;
    assert!(health.text.contains("lease"), "{health:?}");
}

#[tokio::test]
async fn a_starting_node_is_alive_and_not_ready() {
    let world = World::with(GatewayConfig::default());
    assert_eq!(world.get("/livez").await.status, StatusCode::OK);
    assert_eq!(world.get("/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn metrics_count_requests_and_shards() {
    let world = World::new().await;
    world.post("/v1/entities/Counter/c1/add", "5").await;
    world.get("/nowhere").await;
    let metrics = world.get("/metrics").await;
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain"));
    for line in [
        "quarry_http_requests_total{method=\"POST\",status=\"200\"} 1",
        "quarry_http_requests_total{method=\"GET\",status=\"404\"} 1",
        "active_shards 4",
        "quarry_unowned_shards 0",
        "quarry_raft_applied_lag 0",
        "quarry_build_info{version=",
        "process_resident_memory_bytes",
    ] {
        assert!(metrics.text.contains(line), "{line} is missing in {}", metrics.text);
    }
}

#[tokio::test]
async fn the_start_page_names_every_route() {
    let world = World::new().await;
    let page = world.get("/").await;
    for route in ROUTES {
        assert!(page.text.contains(route.path), "{}", route.path);
    }
    let head = world.ask(Ask::new(axum::http::Method::HEAD, "/")).await;
    assert_eq!((head.status, head.text.as_str()), (StatusCode::OK, ""));
}
