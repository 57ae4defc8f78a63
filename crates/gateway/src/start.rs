//! `/`: what this is and which routes it has.

use std::fmt::Write;

use axum::{
    extract::State,
    http::{HeaderValue, Uri, header},
    response::{Html, IntoResponse, Response},
};

use crate::{
    Gateway, Problem,
    request::{NoBody, Query},
    router::{ROUTES, Route},
};

const POLICY: HeaderValue = HeaderValue::from_static("default-src 'self'");

/// The start page: the routes, each with what it does.
pub(crate) async fn page(
    State(gateway): State<Gateway>,
    uri: Uri,
    _: NoBody,
) -> Result<Response, Problem> {
    Query::parse(uri.query(), &[])?;
    let mut rows = String::new();
    for route in ROUTES {
        // Writing to a string cannot fail.
        let Route { method, path, does, .. } = route;
        let _ = writeln!(rows, "<tr><td>{method}<td><code>{path}</code><td>{does}");
    }
    let (version, node) = (env!("CARGO_PKG_VERSION"), gateway.node().id());
    let page = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Quarry</title>\n\
         <h1>Quarry {version}, node {node}</h1>\n\
         <p>Send a message: <code>curl -H 'content-type: application/json' -d 5 \
         http://…/v1/entities/Counter/c1/add</code></p>\n<table>\n{rows}</table>\n"
    );
    Ok(([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(page)).into_response())
}
