//! `GET /openapi.json`.

use std::sync::OnceLock;

use axum::{
    http::{Uri, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;

use super::document::document;
use crate::{
    Problem,
    request::{NoBody, Query},
};

/// The description, as JSON.
pub(crate) async fn serve(uri: Uri, _: NoBody) -> Result<Response, Problem> {
    static DOCUMENT: OnceLock<Bytes> = OnceLock::new();
    Query::parse(uri.query(), &[])?;
    // Texts and numbers alone: writing them cannot fail.
    let bytes =
        DOCUMENT.get_or_init(|| serde_json::to_vec(&document()).unwrap_or_default().into()).clone();
    Ok(([(header::CONTENT_TYPE, "application/json")], bytes).into_response())
}
