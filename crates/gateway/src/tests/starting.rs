//! What a node answers before it has started.

use std::time::Duration;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode, header},
};
use quarry_ports::{Host, Metrics};
use quarry_sim::host::host;
use quarry_types::api;
use tower::ServiceExt;

use super::harness::World;
use crate::{Entrance, GatewayConfig, Opening, entrance};

fn closed() -> (Opening, Entrance, Host) {
    let host = host(1);
    let (opening, entrance) = entrance(Metrics::new().unwrap(), host.clone());
    (opening, entrance, host)
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
    let (opening, entrance, host) = closed();
    opening.waits_for("the sun");
    let asked = host.now();
    assert_eq!(ask(entrance.router(), "/livez").await.0, StatusCode::OK);
    assert!(ask(entrance.router(), "/metrics").await.2.contains("quarry_http_seconds"));
    for (path, code) in [("/readyz", "not_ready"), ("/healthz", "unhealthy")] {
        let (status, _, body) = ask(entrance.router(), path).await;
        let ill: api::IllHealth = serde_json::from_str(&body).unwrap();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains(code), "{body}");
        assert!(ill.checks[0].detail.contains("it waits for the sun"), "{body}");
    }
    assert_eq!(host.now().since(asked), Duration::ZERO, "none of them waits");
    let (status, waits, body) = ask(entrance.router(), "/v1/cluster").await;
    assert_eq!((status, waits), (StatusCode::SERVICE_UNAVAILABLE, true));
    let problem: api::Problem = serde_json::from_str(&body).unwrap();
    assert!(problem.code == "not_ready" && problem.retryable, "{body}");
    assert_eq!(host.now().since(asked), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_answered_when_the_node_has_started() {
    let world = World::with(GatewayConfig::default());
    let (opening, entrance, host) = closed();
    let (early, asked) = (entrance.router(), host.now());
    let starts = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        opening.open(world.router.clone());
    };
    let (answer, ()) = tokio::join!(ask(early.clone(), "/openapi.json"), starts);
    assert_eq!((answer.0, host.now().since(asked)), (StatusCode::OK, Duration::from_secs(1)));
    for router in [early, entrance.router()] {
        assert_eq!(ask(router.clone(), "/openapi.json").await.0, StatusCode::OK);
        let (_, _, body) = ask(router, "/readyz").await;
        assert!(!body.contains("starts"), "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_failed_refuses_at_once() {
    let (opening, entrance, host) = closed();
    drop(opening);
    let asked = host.now();
    assert_eq!(ask(entrance.router(), "/v1/cluster").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(host.now().since(asked), Duration::ZERO);
}
