//! What stands around handlers: panics, time limits, bounds.

use std::{convert::Infallible, future::ready, time::Duration};

use axum::{
    body::Body,
    http::Request,
    routing::{get, post},
};
use futures_util::{StreamExt, stream};
use tower::ServiceExt;

use super::harness::{Ask, World, answer_of};
use crate::{
    Gateway, GatewayConfig,
    openapi::start,
    router::{Route, layered},
};

const ROUTES: &[Route] = &[
    Route::get("/panic", "panics", start, || get(panics)),
    Route::post("/panic-at-work", "panics", start, || post(panics)),
    Route::get("/hang", "hangs", start, || get(std::future::pending::<()>)),
    Route::post("/hang-at-work", "hangs", start, || post(std::future::pending::<()>)),
    Route::get("/teapot", "refuses by itself", start, || {
        get(|| async { axum::http::StatusCode::IM_A_TEAPOT })
    }),
    Route::get("/stream", "never ends", start, || {
        get(|| async {
            let parts = stream::once(ready(Ok::<_, Infallible>("begun")));
            Body::from_stream(parts.chain(stream::pending()))
        })
    }),
    Route::probe("/probe", "answers", start, || get(|| async { "here" })),
];

async fn panics() {
    panic!("as it should");
}

fn gateway(in_flight: usize) -> Gateway {
    let short = Duration::from_millis(20);
    World::with(GatewayConfig {
        in_flight,
        longest_timeout: short,
        body_timeout: short,
        check_timeout: short,
        ..GatewayConfig::default()
    })
    .gateway
}

#[tokio::test]
async fn a_panic_or_a_hang_ends_as_a_problem() {
    let router = layered(gateway(10), ROUTES);
    for (ask, status, code, outcome) in [
        (Ask::get("/panic"), 500, "internal", "refused"),
        (Ask::post("/panic-at-work"), 500, "internal", "unknown"),
        (Ask::get("/hang"), 503, "timeout", "refused"),
        (Ask::post("/hang-at-work"), 504, "timeout", "unknown"),
        (Ask::get("/teapot"), 418, "http", "refused"),
    ] {
        let shown = format!("{ask:?}");
        let answer = answer_of(router.clone(), ask).await;
        assert_eq!(answer.problem(), (status, code, None), "{shown}");
        assert_eq!(answer.body["outcome"], outcome, "{shown}");
        assert!(!answer.text.contains("as it should"), "a panic's text stays in the log");
    }
}

#[tokio::test]
async fn beyond_the_bound_only_probes_are_answered() {
    let router = layered(gateway(0), ROUTES);
    let answer = answer_of(router.clone(), Ask::get("/teapot")).await;
    assert_eq!(answer.problem(), (503, "gateway_busy", None));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer_of(router, Ask::get("/probe")).await.text, "here");
}

#[tokio::test]
async fn a_stream_is_in_flight_until_it_ends() {
    let router = layered(gateway(1), ROUTES);
    let ask = Request::get("/stream").body(Body::empty()).unwrap();
    let response = router.clone().oneshot(ask).await.unwrap();
    let mut parts = response.into_body().into_data_stream();
    assert_eq!(parts.next().await.unwrap().unwrap(), "begun");
    let answer = answer_of(router.clone(), Ask::get("/teapot")).await;
    assert_eq!(answer.problem(), (503, "gateway_busy", None));
    drop(parts);
    assert_eq!(answer_of(router, Ask::get("/teapot")).await.problem(), (418, "http", None));
}
