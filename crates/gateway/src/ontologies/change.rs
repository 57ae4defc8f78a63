//! Ontologies put and removed.

use axum::{
    Extension, Json,
    extract::{FromRequest, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use quarry_extract::{
    Expected, Placed, Put, StoredOntology,
    pack::{PackError, Packed, Source, is_id},
};
use quarry_types::{
    Address, Failure, Outcome,
    ontology::{self, PackProblem},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    find::stored,
    look::{missing, summary},
    tag::{expected, tag},
};
use crate::{
    Code, Gateway, Problem,
    dispatch::{Terms, dispatch},
    request::{NoBody, PackBody, PathOf, method},
    trace::Trace,
};

/// How many mistakes of a pack are told.
const MOST_PROBLEMS: usize = 100;

/// Puts a pack under an id, in place of the one before.
pub(crate) async fn put(
    State(gateway): State<Gateway>,
    Extension(trace): Extension<Trace>,
    PathOf(id): PathOf<String>,
    request: Request,
) -> Result<Response, Problem> {
    let change = Change::parse(&gateway, &id, request.headers(), request.uri())?;
    // Before the body is read: some of them hold a node's memory.
    let _upload = gateway.uploads().try_acquire().map_err(|_| {
        let detail = "this node reads as many packs as it may; try again or elsewhere";
        Problem::new(Code::GatewayBusy, detail)
    })?;
    let PackBody(source) = PackBody::from_request(request, &gateway).await?;
    let put = checked(&id, source, change.expected.clone()).await?;
    let (reply, mut response) = change.send(&gateway, &trace, "Put", &put).await?;
    let Placed { described, is_new, notes } = serde_json::from_value(reply)
        .map_err(|error| Problem::new(Code::StoreCorrupt, error.to_string()))?;
    let version = tag(&described.version);
    let placed = ontology::Placed { ontology: summary(&id, described), created: is_new, notes };
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    response.extend(version.map(|version| (header::ETAG, version)));
    let path = format!("/v1/ontologies/{id}");
    response.extend(HeaderValue::try_from(path).map(|path| (header::LOCATION, path)));
    Ok((status, response, Json(placed)).into_response())
}

/// Removes an ontology; its graphs stay.
pub(crate) async fn remove(
    State(gateway): State<Gateway>,
    Extension(trace): Extension<Trace>,
    PathOf(id): PathOf<String>,
    headers: HeaderMap,
    uri: Uri,
    _: NoBody,
) -> Result<Response, Problem> {
    let change = Change::parse(&gateway, &id, &headers, &uri)?;
    let body = json!({ "expected": change.expected });
    let (version, response) = change.send(&gateway, &trace, "Delete", &body).await?;
    let version = version.as_str().unwrap_or_default().to_owned();
    Ok((response, Json(ontology::Removed { id, version })).into_response())
}

/// Checks a pack before anything is stored, as the entity will.
async fn checked(id: &str, source: Source, expected: Option<Expected>) -> Result<Put, Problem> {
    let name = id.to_owned();
    let check = move || {
        source.compile(Some(&name))?;
        let packed = Some(Packed::of(&source.text));
        Ok::<_, PackError>(Put { format: source.format, text: None, packed, expected })
    };
    let checked = tokio::task::spawn_blocking(check).await;
    let checked = checked.map_err(|_| {
        Problem::new(Code::ChangePanic, "the program failed on this pack; its log says more")
    })?;
    checked.map_err(|error| invalid(&error))
}

/// Every mistake, in words and for programs.
fn invalid(error: &PackError) -> Problem {
    let problems = error.problems.iter().take(MOST_PROBLEMS).map(|problem| PackProblem {
        line: problem.line,
        place: problem.place.clone(),
        message: problem.message.clone(),
    });
    Problem::new(Code::InvalidOntology, error.to_string()).field("body").problems(problems)
}

/// A change of an ontology, as its client wants it.
struct Change {
    address: Address,
    expected: Option<Expected>,
    terms: Terms,
}

impl Change {
    fn parse(gateway: &Gateway, id: &str, headers: &HeaderMap, uri: &Uri) -> Result<Self, Problem> {
        let terms = Terms::of_change(gateway, headers, uri)?;
        if let Ok(own) = gateway.library().own().get(id) {
            let detail = format!(
                "{id} names the built-in ontology {}, which cannot be changed; choose another id",
                own.id()
            );
            return Err(Problem::new(Code::BuiltInOntology, detail).field("id"));
        }
        if !is_id(id) {
            let detail = format!(
                "{id:?} is no id of an ontology: it has 1 to 64 lower-case letters, digits, - or _"
            );
            return Err(Problem::new(Code::InvalidName, detail).field("id"));
        }
        let address = stored(gateway, id).ok_or_else(|| missing(gateway, id, None))?;
        Ok(Self { address, expected: expected(headers)?, terms })
    }

    /// Sends it, and answers the entity's reply with the headers of the answer.
    async fn send<T: Serialize>(
        self,
        gateway: &Gateway,
        trace: &Trace,
        name: &str,
        body: &T,
    ) -> Result<(Value, HeaderMap), Problem> {
        let garbled =
            |error: serde_json::Error| Problem::new(Code::StoreCorrupt, error.to_string());
        let payload = serde_json::to_vec(body).map_err(garbled)?;
        let name = method(name)?;
        let (sent, answer) =
            dispatch(gateway, trace, self.address, name, payload.into(), self.terms).await;
        let header =
            if self.expected == Some(Expected::Nothing) { "If-None-Match" } else { "If-Match" };
        let (outcome, headers) = sent.outcome(answer)?;
        match outcome {
            Outcome::Success(reply) => {
                Ok((serde_json::from_slice(&reply).map_err(garbled)?, headers))
            }
            Outcome::Failure(failure) => Err(refused(failure, header).headers(headers)),
        }
    }
}

/// What the entity refuses, by the header that it was demanded in: nothing was changed.
fn refused(failure: Failure, precondition: &'static str) -> Problem {
    let (code, field) = match failure.code.as_str() {
        StoredOntology::BUILT_IN => (Code::BuiltInOntology, "id"),
        StoredOntology::UNEXPECTED => (Code::PreconditionFailed, precondition),
        StoredOntology::MISSING => (Code::NoSuchOntology, "id"),
        StoredOntology::TOO_LARGE => (Code::BodyTooLarge, "body"),
        _ => (Code::InvalidOntology, "body"),
    };
    Problem::new(code, failure.message).field(field)
}
