//! Ontologies listed and looked at.

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use quarry::runtime::Entity;
use quarry_extract::{Described, Shown, StoredOntology, pack::Format};
use quarry_ports::EntityFilter;
use quarry_types::{
    EntityType,
    ontology::{Ontologies, Ontology, Origin, Summary},
};

use super::{
    find::{ask, compiled},
    tag::{is_known, tag},
};
use crate::{
    Code, Gateway, Problem,
    request::{Cursors, NoBody, PathOf, Query, did_you_mean},
    time::rfc3339,
    trace::Trace,
};

/// How many are asked at a time.
const AT_A_TIME: usize = 8;

/// Lists the built-in ontologies and those that were put.
pub(crate) async fn list(
    State(gateway): State<Gateway>,
    Extension(trace): Extension<Trace>,
    uri: Uri,
    _: NoBody,
) -> Result<Json<Ontologies>, Problem> {
    let query = Query::parse(uri.query(), &["limit", "cursor"])?;
    let limit = query.limit()?;
    let cursors = Cursors::of(format!("ontologies {}", gateway.tenant()));
    let cursor = query.text("cursor").map(|sealed| cursors.open(sealed)).transpose()?;
    let mut ontologies: Vec<Summary> = Vec::new();
    if cursor.is_none() {
        let own = gateway.library().own().iter();
        ontologies.extend(own.map(|ontology| ontology.summary(Origin::BuiltIn)));
    }
    let entity_type = EntityType::new(StoredOntology::TYPE).ok();
    let filter = EntityFilter { tenant: gateway.tenant().clone(), entity_type };
    let page = gateway.store().entities(filter, cursor, limit).await?;
    let ids = page.items.into_iter().map(|record| record.address.id.as_str().to_owned());
    let (gateway, trace) = (&gateway, &trace);
    let described = ids.map(|id| described(gateway, trace, id));
    let described: Vec<Option<Summary>> =
        stream::iter(described).buffered(AT_A_TIME).try_collect().await?;
    ontologies.extend(described.into_iter().flatten());
    let next = page.next.map(|next| cursors.seal(&next));
    Ok(Json(Ontologies { ontologies, next }))
}

/// What the entity says of itself; nothing where it was deleted and keeps only earlier versions.
async fn described(
    gateway: &Gateway,
    trace: &Trace,
    id: String,
) -> Result<Option<Summary>, Problem> {
    let described: Option<Described> = ask(gateway, trace, &id, "Describe", None).await?;
    Ok(described.map(|described| summary(&id, described)))
}

/// An ontology that was put, in a list.
pub(super) fn summary(id: &str, described: Described) -> Summary {
    Summary {
        id: id.to_owned(),
        label: described.label,
        version: described.version,
        aliases: Vec::new(),
        classes: described.classes,
        relations: described.relations,
        examples: described.examples,
        origin: Origin::Put,
        put_at: Some(rfc3339(described.put_at)),
    }
}

/// An ontology that is looked at.
struct Found {
    version: String,
    /// Where it was put, what its entity says of it.
    described: Option<Described>,
}

/// The version that is asked for, or the current one.
async fn find(
    gateway: &Gateway,
    trace: &Trace,
    id: &str,
    named: Option<&str>,
) -> Result<Found, Problem> {
    let own = gateway.library().own().get(id).ok();
    if let Some(own) = own.filter(|own| named.is_none_or(|named| named == own.version())) {
        return Ok(Found { version: own.version().to_owned(), described: None });
    }
    let described: Option<Described> = ask(gateway, trace, id, "Describe", named).await?;
    let described = described.ok_or_else(|| missing(gateway, id, named))?;
    Ok(Found { version: described.version.clone(), described: Some(described) })
}

/// The answer with the version's tag; without its content where the client has that.
async fn tagged(
    headers: &HeaderMap,
    version: &str,
    content: impl Future<Output = Result<Response, Problem>>,
) -> Result<Response, Problem> {
    let mut response = if is_known(headers, version)? {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        content.await?
    };
    response.headers_mut().extend(tag(version).map(|tag| (header::ETAG, tag)));
    Ok(response)
}

/// Shows one ontology, of the current version or of another that is kept.
pub(crate) async fn show(
    State(gateway): State<Gateway>,
    Extension(trace): Extension<Trace>,
    PathOf(id): PathOf<String>,
    headers: HeaderMap,
    uri: Uri,
    _: NoBody,
) -> Result<Response, Problem> {
    let query = Query::parse(uri.query(), &["version"])?;
    let named = query.text("version");
    let Found { version, described } = find(&gateway, &trace, &id, named).await?;
    let content = async {
        let ontology = compiled(&gateway, &trace, &id, &version).await?;
        let ontology = ontology.ok_or_else(|| missing(&gateway, &id, Some(&version)))?;
        let origin = if described.is_some() { Origin::Put } else { Origin::BuiltIn };
        let put_at = described.map(|described| rfc3339(described.put_at));
        Ok(Json(Ontology { put_at, ..ontology.shown(origin) }).into_response())
    };
    tagged(&headers, &version, content).await
}

/// The pack as it was written.
pub(crate) async fn source(
    State(gateway): State<Gateway>,
    Extension(trace): Extension<Trace>,
    PathOf(id): PathOf<String>,
    headers: HeaderMap,
    uri: Uri,
    _: NoBody,
) -> Result<Response, Problem> {
    let query = Query::parse(uri.query(), &["version"])?;
    let Found { version, described } = find(&gateway, &trace, &id, query.text("version")).await?;
    let content = async {
        let (format, text) = if described.is_some() {
            let shown: Option<Shown> = ask(&gateway, &trace, &id, "Show", Some(&version)).await?;
            let shown = shown.ok_or_else(|| missing(&gateway, &id, Some(&version)))?;
            let source = shown.source();
            let source = source.map_err(|error| {
                Problem::new(Code::StoreCorrupt, format!("ontology {id}: {error}"))
            })?;
            (source.format, source.text)
        } else {
            let own = gateway.library().own_source(&id).unwrap_or_default();
            (Format::Toml, own.to_owned())
        };
        Ok(([(header::CONTENT_TYPE, format.media_type())], text).into_response())
    };
    tagged(&headers, &version, content).await
}

pub(super) fn missing(gateway: &Gateway, id: &str, version: Option<&str>) -> Problem {
    let known: Vec<&str> = gateway.library().own().iter().map(|own| own.id()).collect();
    let detail = if let Some(version) = version {
        format!("there is no version {version} of an ontology {id:?}")
    } else {
        let meant = did_you_mean(id, known.iter().copied());
        format!("there is no ontology {id:?}{meant}")
    };
    let field = if version.is_some() { "version" } else { "id" };
    Problem::new(Code::NoSuchOntology, detail).field(field).available(known)
}
