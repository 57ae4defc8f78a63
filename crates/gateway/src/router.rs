//! The table of routes.

use axum::{
    Router,
    extract::Request,
    http::{Method, Uri},
    middleware::from_fn_with_state,
    response::Response,
    routing::{MethodRouter, get, post},
};

use crate::{
    Code, Gateway, Problem, cluster, entities, extractions, health, layers, messages, placement,
    rpc, scrape, send, start, types,
};

/// A route of the interface.
pub(crate) struct Route {
    /// Its path, with parameters in braces.
    pub(crate) path: &'static str,
    /// What it does, for people.
    pub(crate) does: &'static str,
    /// Its method beside HEAD and what the framework adds.
    pub(crate) method: Method,
    handler: fn() -> MethodRouter<Gateway>,
    probe: bool,
}

impl Route {
    pub(crate) const fn get(
        path: &'static str,
        does: &'static str,
        handler: fn() -> MethodRouter<Gateway>,
    ) -> Self {
        Self { path, does, method: Method::GET, handler, probe: false }
    }

    pub(crate) const fn post(
        path: &'static str,
        does: &'static str,
        handler: fn() -> MethodRouter<Gateway>,
    ) -> Self {
        Self { path, does, method: Method::POST, handler, probe: false }
    }

    pub(crate) const fn probe(
        path: &'static str,
        does: &'static str,
        handler: fn() -> MethodRouter<Gateway>,
    ) -> Self {
        Self { path, does, method: Method::GET, handler, probe: true }
    }
}

/// Every route, in the order in which people read them.
pub(crate) const ROUTES: &[Route] = &[
    Route::post("/v1/entities/{type}/{id}/{method}", "send a message", || post(send::send)),
    Route::get("/v1/entities/{type}/{id}", "look at an entity", || get(entities::show)),
    Route::get("/v1/entities", "list entities", || get(entities::list)),
    Route::post("/v1/extractions", "text and ontology in, knowledge graph out", || {
        post(extractions::submit)
    }),
    Route::get("/v1/extractions/{id}", "how far an extraction is", || get(extractions::show)),
    Route::get("/v1/extractions/{id}/graph", "the graph of an extraction", || {
        get(extractions::graph)
    }),
    Route::get("/v1/types", "list entity types and methods", || get(types::list)),
    Route::get("/v1/messages/{mid}", "state and outcome of a message", || get(messages::show)),
    Route::get("/v1/messages", "list messages", || get(messages::list)),
    Route::get("/v1/placement/{type}/{id}", "where an entity lives, and why", || {
        get(placement::show)
    }),
    Route::get("/v1/cluster", "nodes and coordinator", || get(cluster::show)),
    Route::get("/v1/cluster/shards", "list shards", || get(cluster::shards)),
    Route::post("/v1/cluster/nodes/{id}/drain", "move all shards away from a node", || {
        post(cluster::drain)
    }),
    Route::post("/v1/cluster/nodes/{id}/undrain", "let a node take shards again", || {
        post(cluster::undrain)
    }),
    Route::post("/api/rpc", "call procedures, in the short form or by frames", || post(rpc::call)),
    Route::probe("/livez", "whether the process is alive", || get(health::live)),
    Route::probe("/readyz", "whether the node takes work", || get(health::ready)),
    Route::probe("/healthz", "how the node is, looked at deeply", || get(health::deep)),
    Route::probe("/metrics", "metrics as Prometheus reads them", || get(scrape::metrics)),
    Route::get("/", "this page", || get(start::page)),
];

/// The interface of `gateway` as a service.
pub fn router(gateway: Gateway) -> Router {
    layered(gateway, ROUTES)
}

pub(crate) fn layered(gateway: Gateway, routes: &[Route]) -> Router {
    let table = |probe: bool| {
        routes
            .iter()
            .filter(|route| route.probe == probe)
            .fold(Router::new(), |router, route| router.route(route.path, (route.handler)()))
    };
    let admit = from_fn_with_state(gateway.clone(), layers::admit);
    let observe = from_fn_with_state(gateway.clone(), layers::observe);
    table(false)
        .layer(admit)
        .merge(table(true))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(no_such_route)
        .layer(observe)
        .with_state(gateway)
}

async fn no_such_route(uri: Uri) -> Problem {
    let path = uri.path();
    let mut detail = format!("there is no route {path}");
    if path.starts_with("/v1/entities/") {
        detail.push_str("; write /v1/entities/{type}/{id}/{method}, a slash within an id as %2F");
    }
    let known = ROUTES.iter().map(|route| format!("{} {}", route.method, route.path));
    Problem::new(Code::NoSuchRoute, detail).available(known)
}

async fn method_not_allowed(request: Request) -> Response {
    use axum::response::IntoResponse;
    let detail = format!(
        "{} has no method {}; Allow names those it has",
        request.uri().path(),
        request.method()
    );
    Problem::new(Code::MethodNotAllowed, detail).into_response()
}
