//! `/v1/extractions`: text and ontology in, knowledge graph out. A submission is a message to the
//! entity `KGExtractor/<requestId>`.

use std::time::Duration;

use axum::{
    Extension, Json,
    extract::{FromRequest, Request, State},
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use quarry::runtime::Entity;
use quarry_extract::{
    ExtractionWork, InvalidSubmission, Submission, TimeLimit,
    graph::{Graph, RdfError, ntriples, turtle},
    pack::Ontology,
};
use quarry_types::{Address, Answer, Delivery, EntityId, Failure, Method, Outcome, api};
use serde::Deserialize;

use crate::{
    Code, Gateway, Problem,
    dispatch::{SENDING, Terms, dispatch, streamed},
    ontologies,
    placement::address,
    progress::{self, Progress},
    request::{JsonBody, NoBody, PathOf, Query, last_event_id},
    stream::{self, Form},
    trace::Trace,
};

/// What is escaped in a path: all but the unreserved characters of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const EXTRACTOR: &str = "KGExtractor";
/// Extracts.
pub(crate) const EXTRACT: &str = "ExtractFromText";

/// The failure with which the entity refuses a request id that stands for another submission.
pub(crate) const REQUEST_REUSED: &str = "request_reused";

/// How much longer a client waits than its extraction may take.
const A_MOMENT: Duration = Duration::from_secs(1);

/// How a graph is written.
#[derive(Clone, Copy)]
enum Format {
    Json,
    Turtle,
    NTriples,
}

const FORMATS: &[(&str, Format)] =
    &[("json", Format::Json), ("turtle", Format::Turtle), ("ntriples", Format::NTriples)];

/// Extracts the graph of a text, or answers the one that is stored.
pub(crate) async fn submit(
    State(gateway): State<Gateway>,
    Extension(trace): Extension<Trace>,
    request: Request,
) -> Result<Response, Problem> {
    let mut terms =
        Terms::parse(&gateway, request.headers(), request.uri(), SENDING, Delivery::Durable)?;
    let last = last_event_id(request.headers())?.map(str::to_owned);
    let JsonBody(payload) = JsonBody::from_request(request, &gateway).await?;
    let mut submission = decoded(&gateway, &payload)?;
    let address = addressee(&gateway, &trace, &mut submission).await?;
    let (method, payload) = (method(EXTRACT)?, encoded(&submission)?);
    if let Some(TimeLimit(limit)) = submission.options.timeout {
        // The outcome says what became of it.
        terms.wait_at_least(&gateway, limit + A_MOMENT);
    }
    let id = address.id.clone();
    if let Some(form) = terms.stream() {
        let asked = Asked { submission, address, method, payload, last };
        return tell(&gateway, &trace, asked, terms, form).await;
    }
    let (sent, answer) = dispatch(&gateway, &trace, address, method, payload, terms).await;
    if let Ok(Answer::Handled { outcome: Outcome::Failure(failure), .. }) = &answer
        && failure.code == REQUEST_REUSED
    {
        let problem = Problem::new(Code::RequestReused, failure.message.clone());
        return Err(problem.field("requestId"));
    }
    let mut response = sent.answer(answer)?;
    if response.status() == StatusCode::ACCEPTED
        && let Ok(path) = HeaderValue::try_from(path(&id))
    {
        response.headers_mut().insert(header::LOCATION, path);
    }
    Ok(response)
}

fn path(id: &EntityId) -> String {
    format!("/v1/extractions/{}", utf8_percent_encode(id.as_str(), ESCAPED))
}

/// A submission that its client wants to be told of.
struct Asked {
    submission: Submission,
    address: Address,
    method: Method,
    payload: Bytes,
    /// The last event that the client has of it.
    last: Option<String>,
}

/// Tells what happens to a submission, which is stored first: the same that is running, unless the
/// client sends under a key of its own. A client that was told a part of it is told the rest.
async fn tell(
    gateway: &Gateway,
    trace: &Trace,
    asked: Asked,
    terms: Terms,
    form: Form,
) -> Result<Response, Problem> {
    let Asked { submission, address, method, payload, last } = asked;
    let location = format!("{}/events", path(&address.id));
    if let Some(last) = last {
        let (told, message_id) = stream::resume(gateway, &address, &last, form).await?;
        return Ok(streamed(told, message_id, &location));
    }
    if !terms.is_keyed()
        && let Some(message_id) = stream::same(gateway, &address, &submission).await?
    {
        let told = stream::follow(gateway, message_id, form).await?;
        return Ok(streamed(told, message_id, &location));
    }
    let (sent, answer) = dispatch(gateway, trace, address, method, payload, terms).await;
    let told = async |message_id| stream::follow(gateway, message_id, form).await;
    sent.stream(answer, told, |_| location).await
}

/// The entity of a request id in a path.
pub(crate) fn named(gateway: &Gateway, id: &str) -> Result<Address, Problem> {
    address(gateway, EXTRACTOR, id)
}

fn encoded(submission: &Submission) -> Result<Bytes, Problem> {
    serde_json::to_vec(submission)
        .map(Bytes::from)
        .map_err(|error| Problem::new(Code::InvalidSubmission, error.to_string()))
}

/// Decodes a submission.
fn decoded(gateway: &Gateway, payload: &[u8]) -> Result<Submission, Problem> {
    let entity_type = address(gateway, EXTRACTOR, "any")?.entity_type;
    gateway.node().registry().check(&entity_type, &method(EXTRACT)?, payload)?;
    serde_json::from_slice(payload)
        .map_err(|error| Problem::new(Code::InvalidSubmission, error.to_string()).field("body"))
}

/// The entity that a submission is for, once all that can be wrong with it is checked. One that names
/// itself by what it asks for is pinned to the version that its ontology is of now.
pub(crate) async fn addressee(
    gateway: &Gateway,
    trace: &Trace,
    submission: &mut Submission,
) -> Result<Address, Problem> {
    let checked = submission.check().map_err(|error| refusal(&error))?;
    let edition = ontologies::edition(gateway, trace, submission).await?;
    let request_id = submission.request_id(&edition, &checked.parameters);
    if submission.request_id.is_none() {
        submission.ontology_version = Some(edition.version);
    }
    submission_address(gateway, &request_id)
}

/// The work of this id.
pub(crate) fn work(gateway: &Gateway, id: &str) -> Option<Address> {
    address(gateway, ExtractionWork::TYPE, id).ok()
}

/// The entity of a request id.
pub(crate) fn submission_address(gateway: &Gateway, request_id: &str) -> Result<Address, Problem> {
    let extractor = address(gateway, EXTRACTOR, "any")?;
    let id = EntityId::new(request_id).map_err(|error| {
        Problem::new(Code::InvalidSubmission, error.to_string()).field("requestId")
    })?;
    Ok(Address { id, ..extractor })
}

fn refusal(error: &InvalidSubmission) -> Problem {
    let code = match error {
        InvalidSubmission::TextTooLong { .. } => Code::BodyTooLarge,
        InvalidSubmission::NoProvider => Code::NoProvider,
        InvalidSubmission::EmptyText | InvalidSubmission::Option(_) => Code::InvalidSubmission,
    };
    Problem::new(code, error.to_string()).field(error.field())
}

/// A method of the extractor.
pub(crate) fn method(name: &str) -> Result<Method, Problem> {
    Method::new(name).map_err(|error| Problem::new(Code::InvalidName, error.to_string()))
}

/// How far an extraction is.
pub(crate) async fn show(
    State(gateway): State<Gateway>,
    Extension(trace): Extension<Trace>,
    PathOf(id): PathOf<String>,
    uri: Uri,
    _: NoBody,
) -> Result<Json<api::Extraction>, Problem> {
    Query::parse(uri.query(), &[])?;
    let address = address(&gateway, EXTRACTOR, &id)?;
    let (progress, newest) = progress::of(&gateway, &trace, &address).await?;
    let mut shown = api::Extraction {
        request_id: address.id.to_string(),
        state: api::MessageStatus::Finished,
        message_id: newest.map(|id| id.to_string()),
        grade: None,
        failure: None,
    };
    match progress {
        Progress::Absent => return Err(no_such_extraction(&address)),
        Progress::Pending | Progress::Running => shown.state = api::MessageStatus::Open,
        Progress::SetAside => shown.state = api::MessageStatus::Quarantined,
        Progress::Complete(graph) => {
            let graded = serde_json::from_slice::<Graded>(&graph).ok();
            shown.grade = graded.map(|graph| graph.grade);
        }
        Progress::Failed(Failure { code, message }) => {
            shown.failure = Some(api::ExtractionFailure { code, message });
        }
    }
    Ok(Json(shown))
}

/// What is read of a graph.
#[derive(Deserialize)]
struct Graded {
    grade: String,
}

/// The stored graph of an extraction.
pub(crate) async fn graph(
    State(gateway): State<Gateway>,
    Extension(trace): Extension<Trace>,
    PathOf(id): PathOf<String>,
    uri: Uri,
    _: NoBody,
) -> Result<Response, Problem> {
    let format = Query::parse(uri.query(), &["format"])?.choice("format", FORMATS)?;
    let address = address(&gateway, EXTRACTOR, &id)?;
    match progress::of(&gateway, &trace, &address).await?.0 {
        Progress::Complete(graph) => {
            written(&gateway, &trace, graph, format.unwrap_or(Format::Json)).await
        }
        Progress::Pending | Progress::Running => {
            let detail = format!("extraction {} is not finished yet", address.id);
            Err(Problem::new(Code::NotYetExtracted, detail).field("id"))
        }
        _ => Err(no_such_extraction(&address)),
    }
}

/// How a graph is written as text.
type Write = fn(&Graph, &Ontology) -> Result<String, RdfError>;

async fn written(
    gateway: &Gateway,
    trace: &Trace,
    json: Bytes,
    format: Format,
) -> Result<Response, Problem> {
    let (write, media_type): (Write, _) = match format {
        Format::Json => {
            return Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response());
        }
        Format::Turtle => (turtle, "text/turtle"),
        Format::NTriples => (ntriples, "application/n-triples"),
    };
    let graph: Graph = serde_json::from_slice(&json)
        .map_err(|error| Problem::new(Code::StoreCorrupt, format!("the stored graph: {error}")))?;
    let Graph { ontology_id: id, ontology_version: version, .. } = &graph;
    let ontology = ontologies::compiled(gateway, trace, id, version).await?;
    let ontology = ontology.ok_or_else(|| {
        let detail = format!(
            "the graph's terms are not known any more: version {version} of ontology {id} is not \
             kept; format=json needs none"
        );
        Problem::new(Code::NotWritable, detail).field("format")
    })?;
    let text = write(&graph, &ontology)
        .map_err(|error| Problem::new(Code::NotWritable, error.to_string()).field("format"))?;
    Ok(([(header::CONTENT_TYPE, media_type)], text).into_response())
}

fn no_such_extraction(address: &Address) -> Problem {
    let detail = format!("there is no graph of an extraction {}", address.id);
    Problem::new(Code::NoSuchExtraction, detail).field("id")
}
