//! Ontologies by their ids, for all that names one.

use std::sync::Arc;

use quarry::runtime::Entity;
use quarry_extract::{
    Described, Shown, StoredOntology, Submission,
    pack::{Edition, Ontology, Unread},
};
use quarry_types::{Address, EntityId, EntityType, Outcome};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::{
    Code, Gateway, Problem,
    dispatch::{Terms, dispatch},
    request::method,
    trace::Trace,
};

/// The entity that would keep an ontology of this id; none where it can have no such id, or this node
/// hosts no such entities.
pub(super) fn stored(gateway: &Gateway, id: &str) -> Option<Address> {
    let entity_type = EntityType::new(StoredOntology::TYPE).ok()?;
    gateway.node().registry().get(&entity_type)?;
    Some(Address { tenant: gateway.tenant().clone(), entity_type, id: EntityId::new(id).ok()? })
}

/// Asks for what is kept under an id, of a version or of the current one; none where nothing is.
pub(super) async fn ask<T: DeserializeOwned>(
    gateway: &Gateway,
    trace: &Trace,
    id: &str,
    query: &str,
    version: Option<&str>,
) -> Result<Option<T>, Problem> {
    let Some(address) = stored(gateway, id) else { return Ok(None) };
    let (terms, query) = (Terms::of_read(gateway), method(query)?);
    let payload = json!({ "version": version }).to_string();
    // Boxed: what asks for ontologies would hold a large future several times over.
    let dispatched = Box::pin(dispatch(gateway, trace, address, query, payload.into(), terms));
    let (sent, answer) = dispatched.await;
    let corrupt =
        |reason: &str| Problem::new(Code::StoreCorrupt, format!("ontology {id}: {reason}"));
    match sent.outcome(answer)?.0 {
        Outcome::Success(reply) => {
            let known = serde_json::from_slice(&reply);
            known.map(Some).map_err(|error| corrupt(&error.to_string()))
        }
        Outcome::Failure(failure) if failure.code == StoredOntology::MISSING => Ok(None),
        Outcome::Failure(failure) => Err(corrupt(&failure.message)),
    }
}

/// The edition of its ontology that a submission is to be extracted by.
///
/// # Errors
/// Where there is no such ontology, or not of the version that the submission names.
pub(crate) async fn edition(
    gateway: &Gateway,
    trace: &Trace,
    submission: &Submission,
) -> Result<Edition, Problem> {
    let Submission { ontology_id, ontology_version: named, .. } = submission;
    let tenant = gateway.tenant().as_str().to_owned();
    let unknown = match gateway.library().own().get(ontology_id) {
        Ok(own) if named.as_ref().is_none_or(|named| *named == own.version()) => {
            let (id, version) = (own.id().to_owned(), own.version().to_owned());
            return Ok(Edition { tenant, id, version });
        }
        Ok(own) => return Err(no_version(ontology_id, named.as_deref(), own.version())),
        Err(unknown) => unknown,
    };
    let described: Option<Described> =
        ask(gateway, trace, ontology_id, "Describe", named.as_deref()).await?;
    match described {
        Some(known) => Ok(Edition { tenant, id: ontology_id.clone(), version: known.version }),
        None if named.is_some() => Err(no_version(ontology_id, named.as_deref(), "another")),
        None => {
            let detail = format!("{unknown}; and those that GET /v1/ontologies lists");
            let problem = Problem::new(Code::UnknownOntology, detail).field("ontologyId");
            Err(problem.available(unknown.known))
        }
    }
}

fn no_version(id: &str, named: Option<&str>, known: &str) -> Problem {
    let named = named.unwrap_or_default();
    let detail = format!("ontology {id} is of version {known}, and {named} is not kept");
    Problem::new(Code::UnknownOntology, detail).field("ontologyVersion")
}

/// A version of an ontology, compiled; none where it is not known any more. A built-in one is
/// answered also for graphs that another release made by it.
pub(crate) async fn compiled(
    gateway: &Gateway,
    trace: &Trace,
    id: &str,
    version: &str,
) -> Result<Option<Arc<Ontology>>, Problem> {
    if let Ok(own) = gateway.library().own().get(id) {
        return Ok(Some(own));
    }
    let tenant = gateway.tenant().as_str().to_owned();
    let edition = Edition { tenant, id: id.to_owned(), version: version.to_owned() };
    let source = async {
        let shown: Option<Shown> =
            ask(gateway, trace, id, "Show", Some(version)).await.map_err(Some)?;
        shown.ok_or(None)?.source().map_err(|error| {
            Some(Problem::new(Code::StoreCorrupt, format!("ontology {id}: {error}")))
        })
    };
    match gateway.library().ontology(&edition, source).await {
        Ok(ontology) => Ok(Some(ontology)),
        Err(Unread::Source(None)) => Ok(None),
        Err(Unread::Source(Some(problem))) => Err(problem),
        Err(Unread::Pack(error)) => Err(Problem::new(Code::StoreCorrupt, error.to_string())),
    }
}
