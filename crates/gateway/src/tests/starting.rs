//! What a node answers before it has started.

use std::time::Duration;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode, header},
};
use quarry_ports::{Host, Metrics};
use quarry_types::api;
use tokio::time::Instant;
use tower::ServiceExt;

use super::harness::World;
use crate::{Entrance, GatewayConfig, Opening, entrance};

fn closed() -> (Opening, Entrance) {
    entrance(Metrics::new().unwrap(), Host::system())
}

/// What a connection that is made now is answered, and when it is to ask again.
async fn ask(router: Router, path: &str) -> (StatusCode, bool, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let answer = router.oneshot(request).await.unwrap();
    let (status, waits) = (answer.status(), answer.headers().contains_key(header::RETRY_AFTER));
    let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    (status, waits, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_node_that_waits_is_alive_and_says_for_what() {
    let (opening, entrance) = closed();
    opening.waits_for("the sun");
    let asked = Instant::now();
    assert_eq!(ask(entrance.router(), "/livez").await.0, StatusCode::OK);
    assert!(ask(entrance.router(), "/metrics").await.2.contains("quarry_http_seconds"));
    for (path, code) in [("/readyz", "not_ready"), ("/healthz", "unhealthy")] {
        let (status, _, body) = ask(entrance.router(), path).await;
        let ill: api::IllHealth = serde_json::from_str(&body).unwrap();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains(code), "{body}");
        assert!(ill.checks[0].detail.contains("it waits for the sun"), "{body}");
    }
    assert_eq!(asked.elapsed(), Duration::ZERO, "none of them waits");
    let (status, waits, body) = ask(entrance.router(), "/v1/cluster").await;
    assert_eq!((status, waits), (StatusCode::SERVICE_UNAVAILABLE, true));
    let problem: api::Problem = serde_json::from_str(&body).unwrap();
    assert!(problem.code == "not_ready" && problem.retryable, "{body}");
    assert_eq!(asked.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_answered_when_the_node_has_started() {
    let world = World::with(GatewayConfig::default());
    let (opening, entrance) = closed();
    let early = entrance.router();
    let waiting = tokio::spawn(ask(early.clone(), "/openapi.json"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!waiting.is_finished());
    opening.open(world.router.clone());
    assert_eq!(waiting.await.unwrap().0, StatusCode::OK);
    for router in [early, entrance.router()] {
        assert_eq!(ask(router.clone(), "/openapi.json").await.0, StatusCode::OK);
        let (_, _, body) = ask(router, "/readyz").await;
        assert!(!body.contains("starts"), "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_failed_refuses_at_once() {
    let (opening, entrance) = closed();
    drop(opening);
    let asked = Instant::now();
    assert_eq!(ask(entrance.router(), "/v1/cluster").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(asked.elapsed(), Duration::ZERO);
}
