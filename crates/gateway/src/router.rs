//! The table of routes.

use std::collections::BTreeSet;

use axum::{
    Router,
    extract::Request,
    http::{Method, Uri},
    middleware::from_fn_with_state,
    response::Response,
    routing::{MethodRouter, delete, get, post, put},
};

use crate::{
    Code, Gateway, Problem, batch, bindings, cluster, entities, extractions, health, layers,
    messages, ontologies,
    openapi::{self, Operation},
    operate, placement, rpc, scrape, send, shards, start, stream, types, voters,
};

/// A route of the interface.
pub(crate) struct Route {
    /// Its path, with parameters in braces.
    pub(crate) path: &'static str,
    /// What it does, for people.
    pub(crate) does: &'static str,
    /// Its method beside HEAD and what the framework adds.
    pub(crate) method: Method,
    /// All else that is said of it.
    pub(crate) describe: fn() -> Operation,
    handler: fn() -> MethodRouter<Gateway>,
    probe: bool,
}

impl Route {
    pub(crate) const fn get(
        path: &'static str,
        does: &'static str,
        describe: fn() -> Operation,
        handler: fn() -> MethodRouter<Gateway>,
    ) -> Self {
        Self { path, does, method: Method::GET, describe, handler, probe: false }
    }

    pub(crate) const fn post(
        path: &'static str,
        does: &'static str,
        describe: fn() -> Operation,
        handler: fn() -> MethodRouter<Gateway>,
    ) -> Self {
        Self { path, does, method: Method::POST, describe, handler, probe: false }
    }

    pub(crate) const fn put(
        path: &'static str,
        does: &'static str,
        describe: fn() -> Operation,
        handler: fn() -> MethodRouter<Gateway>,
    ) -> Self {
        Self { path, does, method: Method::PUT, describe, handler, probe: false }
    }

    pub(crate) const fn delete(
        path: &'static str,
        does: &'static str,
        describe: fn() -> Operation,
        handler: fn() -> MethodRouter<Gateway>,
    ) -> Self {
        Self { path, does, method: Method::DELETE, describe, handler, probe: false }
    }

    pub(crate) const fn probe(
        path: &'static str,
        does: &'static str,
        describe: fn() -> Operation,
        handler: fn() -> MethodRouter<Gateway>,
    ) -> Self {
        Self { path, does, method: Method::GET, describe, handler, probe: true }
    }

    /// Its path without a verb behind a parameter, which is for the handler to read.
    pub(crate) fn pattern(&self) -> &'static str {
        self.path
            .split_once("}:")
            .map_or(self.path, |(stem, _)| self.path.get(..=stem.len()).unwrap_or(self.path))
    }

    /// Whether it is answered also by a node that has too much to do.
    pub(crate) const fn is_probe(&self) -> bool {
        self.probe
    }
}

/// Where procedures are called.
const RPC: &str = "/api/rpc";

/// Every route, in the order in which people read them.
pub(crate) const ROUTES: &[Route] = &[
    Route::post("/v1/entities/{type}/{id}/{method}", "send a message", openapi::send, || {
        post(send::send)
    }),
    Route::get("/v1/entities/{type}/{id}", "look at an entity", openapi::entity, || {
        get(entities::show)
    }),
    Route::get("/v1/entities", "list entities", openapi::entities, || get(entities::list)),
    Route::post(
        "/v1/extractions",
        "text and ontology in, knowledge graph out",
        openapi::submit,
        || post(extractions::submit),
    ),
    Route::get("/v1/extractions/{id}", "how far an extraction is", openapi::extraction, || {
        get(extractions::show)
    }),
    Route::get(
        "/v1/extractions/{id}/events",
        "what happens to an extraction, as it happens",
        openapi::extraction_events,
        || get(stream::show),
    ),
    Route::get(
        "/v1/extractions/{id}/graph",
        "the graph of an extraction",
        openapi::extraction_graph,
        || get(extractions::graph),
    ),
    Route::get("/v1/ontologies/{id}", "look at an ontology", openapi::ontology, || {
        get(ontologies::show)
    }),
    Route::get(
        "/v1/ontologies/{id}/source",
        "the pack of an ontology as it was written",
        openapi::ontology_source,
        || get(ontologies::source),
    ),
    Route::put("/v1/ontologies/{id}", "put an ontology", openapi::put_ontology, || {
        put(ontologies::put)
    }),
    Route::delete("/v1/ontologies/{id}", "remove an ontology", openapi::remove_ontology, || {
        delete(ontologies::remove)
    }),
    Route::get("/v1/ontologies", "list ontologies", openapi::ontologies, || get(ontologies::list)),
    Route::get("/v1/types", "list entity types and methods", openapi::types, || get(types::list)),
    Route::get("/v1/messages/{mid}", "state and outcome of a message", openapi::message, || {
        get(messages::show)
    }),
    Route::delete("/v1/messages/{mid}", "end a message", openapi::cancel, || {
        delete(operate::cancel)
    }),
    Route::post(
        "/v1/messages/{mid}:redrive",
        "let a message that is set aside run again, also with another argument",
        openapi::redrive,
        || post(operate::act),
    ),
    Route::post(
        "/v1/messages/{mid}:drop",
        "end a message that is set aside",
        openapi::drop_one,
        || post(operate::act),
    ),
    Route::get(
        "/v1/messages/{mid}/chunks",
        "the parts of a message's reply, as they are made",
        openapi::chunks,
        || get(stream::read),
    ),
    Route::post("/v1/messages:batch", "send many messages", openapi::send_batch, || {
        post(batch::send)
    }),
    Route::post("/v1/messages:cancel", "end many messages", openapi::cancel_many, || {
        post(operate::cancel_many)
    }),
    Route::post(
        "/v1/messages:redrive",
        "let many messages that are set aside run again",
        openapi::redrive_many,
        || post(operate::redrive_many),
    ),
    Route::post(
        "/v1/messages:drop",
        "end many messages that are set aside",
        openapi::drop_many,
        || post(operate::drop_many),
    ),
    Route::get("/v1/messages", "list messages", openapi::messages, || get(messages::list)),
    Route::get(
        "/v1/journal/{stream}",
        "what an entity recorded, and records",
        openapi::journal,
        || get(stream::read_journal),
    ),
    Route::delete(
        "/v1/journal/{stream}",
        "remove what an entity recorded",
        openapi::destroy_journal,
        || delete(stream::destroy_journal),
    ),
    Route::get(
        "/v1/placement/{type}/{id}",
        "where an entity lives, and why",
        openapi::placement,
        || get(placement::show),
    ),
    Route::get("/v1/cluster", "nodes and coordinator", openapi::cluster, || get(cluster::show)),
    Route::get("/v1/cluster/shards", "list shards", openapi::shards, || get(cluster::shards)),
    Route::get(
        "/v1/cluster/plan",
        "what would change hands, also if nodes were lost",
        openapi::plan,
        || get(cluster::plan),
    ),
    Route::get("/v1/cluster/moves", "what changed hands, and why", openapi::moves, || {
        get(cluster::moves)
    }),
    Route::post(
        "/v1/cluster/nodes/{id}/drain",
        "move all shards away from nodes",
        openapi::drain,
        || post(cluster::drain),
    ),
    Route::post(
        "/v1/cluster/nodes/{id}/undrain",
        "let nodes take shards again",
        openapi::undrain,
        || post(cluster::undrain),
    ),
    Route::post(
        "/v1/cluster/voters:replace",
        "let one node vote in the place of another",
        openapi::replace_voter,
        || post(voters::replace),
    ),
    Route::post(
        "/v1/cluster/types:bind",
        "let an entity type that was never used live on one group of runners",
        openapi::bind_type,
        || post(bindings::bind),
    ),
    Route::post(
        "/v1/cluster/shards/{id}:split",
        "put two shards of half the slots in the place of one",
        openapi::split_shard,
        || post(shards::act),
    ),
    Route::post(RPC, "call procedures, in the short form or by frames", openapi::call, || {
        post(rpc::call)
    }),
    Route::probe("/livez", "whether the process is alive", openapi::live, || get(health::live)),
    Route::probe("/readyz", "whether the node takes work", openapi::ready, || get(health::ready)),
    Route::probe("/healthz", "how the node is, looked at deeply", openapi::deep, || {
        get(health::deep)
    }),
    Route::probe("/metrics", "metrics as Prometheus reads them", openapi::metrics, || {
        get(scrape::metrics)
    }),
    Route::get(
        "/openapi.json",
        "the description of all routes (OpenAPI 3.1)",
        openapi::description,
        || get(openapi::serve),
    ),
    Route::get("/", "this page", openapi::start, || get(start::page)),
];

/// The interface of `gateway` as a service.
pub fn router(gateway: Gateway) -> Router {
    layered(gateway, ROUTES)
}

pub(crate) fn layered(gateway: Gateway, routes: &[Route]) -> Router {
    let table = |probe: bool| {
        let mut known = BTreeSet::new();
        // Routes that differ in their verbs alone share a handler.
        let of_kind = routes.iter().filter(|route| {
            route.probe == probe && known.insert((route.pattern(), route.method.as_str()))
        });
        of_kind.fold(Router::new(), |table, route| {
            let table = table.route(route.pattern(), (route.handler)());
            // Clients of the protocol end their base address with a slash.
            if route.path == RPC { table.route("/api/rpc/", (route.handler)()) } else { table }
        })
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
