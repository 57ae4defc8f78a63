//! `/v1/ontologies`: what extractions may name.

use axum::{Json, extract::State, http::Uri};
use quarry_types::ontology::{Ontologies, Ontology};

use crate::{
    Code, Gateway, Problem,
    request::{NoBody, PathOf, Query, did_you_mean},
};

/// Lists the ontologies.
pub(crate) async fn list(
    State(gateway): State<Gateway>,
    uri: Uri,
    _: NoBody,
) -> Result<Json<Ontologies>, Problem> {
    Query::parse(uri.query(), &[])?;
    let ontologies = gateway.ontologies().iter().map(|ontology| ontology.summary()).collect();
    Ok(Json(Ontologies { ontologies }))
}

/// Shows one ontology.
pub(crate) async fn show(
    State(gateway): State<Gateway>,
    PathOf(id): PathOf<String>,
    uri: Uri,
    _: NoBody,
) -> Result<Json<Ontology>, Problem> {
    Query::parse(uri.query(), &[])?;
    let ontology = gateway.ontologies().get(&id).map_err(|unknown| {
        let names = || unknown.known.iter().map(String::as_str);
        let detail = format!("there is no ontology {id:?}{}", did_you_mean(&id, names()));
        Problem::new(Code::NoSuchOntology, detail).field("id").available(names())
    })?;
    Ok(Json(ontology.shown()))
}
