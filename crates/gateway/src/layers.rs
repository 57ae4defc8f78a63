//! What every request passes on its way in and out.

use std::{panic::AssertUnwindSafe, sync::Arc};

use axum::{
    body::{Body, HttpBody},
    extract::{Request, State},
    http::{HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::{FutureExt, StreamExt};
use tracing::Instrument;

use crate::{
    Code, Gateway, Problem,
    problem::render,
    request::check_escapes,
    trace::{TRACEPARENT, Trace},
};

/// The outermost layer: gives the request its trace, writes problems, counts and times.
pub(crate) async fn observe(
    State(gateway): State<Gateway>,
    mut request: Request,
    next: Next,
) -> Response {
    let begun = gateway.host().now();
    let trace = Trace::of(request.headers(), &*gateway.host().random);
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let span = tracing::info_span!("http", %method, path, trace_id = trace.trace_id());
    request.extensions_mut().insert(trace.clone());
    let response = contain(&gateway, &method, request, next).instrument(span).await;
    let mut response = render(response, &trace, &path);
    let headers = response.headers_mut();
    headers.extend(HeaderValue::try_from(trace.parent()).map(|value| (TRACEPARENT, value)));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    let metrics = gateway.metrics();
    let label = label(&method);
    metrics.http_requests.with_label_values(&[label, response.status().as_str()]).inc();
    metrics.http_seconds.observe(gateway.host().now().since(begun).as_secs_f64());
    response
}

/// Ends requests that take too long, and turns a panic into an answer.
async fn contain(gateway: &Gateway, method: &Method, request: Request, next: Next) -> Response {
    if let Err(problem) = check_escapes(request.uri()) {
        return problem.into_response();
    }
    let reads = method.is_safe();
    let config = gateway.config();
    // Calls end by themselves before this: it stands behind them for all that does not.
    let within = config.longest_timeout + config.body_timeout + config.check_timeout;
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(within, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => {
            let reason = panic_text(&*panic);
            tracing::error!(reason, "a request made the program panic");
            let code = if reads { Code::ReadPanic } else { Code::ChangePanic };
            Problem::new(code, "the program failed on this request; its log says more")
                .into_response()
        }
        Err(_) => {
            let code = if reads { Code::ReadTimeout } else { Code::ChangeTimeout };
            let detail = format!("the request took longer than {}s", within.as_secs());
            Problem::new(code, detail).into_response()
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text")
}

/// Bounds the requests in flight; probes and metrics do not pass here. An answer whose end is not
/// known when it begins is in flight until its end.
pub(crate) async fn admit(
    State(gateway): State<Gateway>,
    request: Request,
    next: Next,
) -> Response {
    let Ok(permit) = Arc::clone(gateway.in_flight()).try_acquire_owned() else {
        let limit = gateway.config().in_flight;
        let detail = format!("{limit} requests are in flight on this node; try again or elsewhere");
        return Problem::new(Code::GatewayBusy, detail).into_response();
    };
    let response = next.run(request).await;
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    response.map(|body| {
        Body::from_stream(body.into_data_stream().map(move |part| {
            let _in_flight = &permit;
            part
        }))
    })
}

/// A label of bounded variety.
fn label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
