//! The operations, in the order of the table of routes.

use quarry_types::{
    api,
    graph::Graph,
    ontology,
    stream::{Entry, ExtractionTold, JournalTold, Told},
};
use serde_json::{Value, json};

use super::{
    bodies::{CallAnswer, CallBody, CallLine, Description, Submission},
    operation::{JSON, Operation, duration, flag, one_of},
    problems::Calls,
    shape::Shape,
};
use crate::Code;

const STORE: &[Code] = &[Code::StoreUnavailable, Code::StoreCorrupt];
const UNKNOWN_TYPE: Code = Code::Refused(quarry_types::RefusalCode::UnknownType);

/// An operation that sends a message as its client says.
fn sending(id: &'static str) -> Operation {
    sending_by(Operation::new(id))
}

fn sending_by(operation: Operation) -> Operation {
    operation
        .calls(Calls::Sending)
        .query("async", "Answer 202 once the message is stored.", flag())
        .query("timeout", "How long to wait for the outcome; 30s by default.", duration())
        .header(
            "Idempotency-Key",
            "Names one intent: the same entity, method and key are handled once.",
            json!({ "type": "string", "minLength": 1, "maxLength": 256 }),
        )
        .header(
            "Quarry-Send-Count",
            "How often the request was sent before; raised by clients that repeat.",
            json!({ "type": "integer", "minimum": 0, "default": 0 }),
        )
        .header(
            "Prefer",
            "`respond-async` (RFC 7240): answer 202 where the method stores something.",
            json!({ "type": "string" }),
        )
}

/// A stream names where it goes on if it is cut.
const OF_STREAM: &[&str] =
    &["Quarry-Message-Id", "Idempotency-Key", "Idempotency-Replayed", "Location"];
const OF_ACCEPTED: &[&str] = &[
    "Quarry-Message-Id",
    "Idempotency-Key",
    "Idempotency-Replayed",
    "Location",
    "Preference-Applied",
];

pub(crate) fn send() -> Operation {
    sending("sendMessage")
        .query(
            "delay",
            "Answer 202 once the message is stored, and handle it after so long.",
            duration(),
        )
        .query(
            "deliver_at",
            "Answer 202 once the message is stored, and handle it at this time (RFC 3339).",
            json!({ "type": "string", "format": "date-time" }),
        )
        .query(
            "discard",
            "Answer 202 once the message is stored, and keep nothing of it but its key once it has \
             ended.",
            flag(),
        )
        .body("The method's argument; nothing for none.", false)
        .takes(JSON, Shape::any())
        .answer(200, "The handler's reply, `null` for none; or its chunks and then its end.")
        .gives(JSON, Shape::any())
        .gives(EVENTS, Shape::text())
        .gives(LINES[1], Shape::described::<Told<Value>>())
        .with(OF_STREAM)
        .answer(202, "The message is stored and will be handled.")
        .gives(JSON, Shape::of::<api::Accepted>())
        .with(OF_ACCEPTED)
}

/// The problems of a route that goes on with a stream.
const RESUMED: &[Code] = &[Code::NotAcceptable, Code::InvalidHeader];

/// What the last answer is when it is a stream.
fn streams(operation: Operation, lines: Shape) -> Operation {
    operation.gives(EVENTS, Shape::text()).gives(LINES[1], lines)
}

fn resumes(operation: Operation, last: &'static str, schema: Value) -> Operation {
    operation.header("Last-Event-ID", last, schema).problems(RESUMED)
}

pub(crate) fn chunks() -> Operation {
    let number = json!({ "type": "integer", "minimum": 0 });
    let operation = Operation::new("readChunks")
        .query(
            "from",
            "The first number; 0 by default. `Last-Event-ID` goes before it.",
            number.clone(),
        )
        .answer(200, "The chunks, each as soon as it is stored, and then the end.")
        .with(&["Quarry-Message-Id"])
        .problems(STORE)
        .problems(&[Code::NoSuchMessage]);
    let operation = resumes(operation, "The number of the last chunk that was read.", number);
    streams(operation, Shape::described::<Told<Value>>())
}

pub(crate) fn extraction_events() -> Operation {
    let operation = Operation::new("readEvents")
        .path("id", "A request id.", json!({ "type": "string" }))
        .answer(200, "What happens, as it happens, and then the end with the graph.")
        .problems(STORE)
        .problems(&[UNKNOWN_TYPE, Code::NoSuchExtraction]);
    let last = "The id of the last event that was read.";
    let operation = resumes(operation, last, json!({ "type": "string" }));
    streams(operation, Shape::described::<ExtractionTold<Value>>())
}

/// The path of a journal's routes.
fn of_journal(id: &'static str) -> Operation {
    let stream = "The journal: `extraction:<request id>`, or `Type/id` of an entity.";
    Operation::new(id).path("stream", stream, json!({ "type": "string" }))
}

pub(crate) fn journal() -> Operation {
    let number = json!({ "type": "integer", "minimum": 0 });
    let text = || json!({ "type": "string" });
    let operation = of_journal("readJournal")
        .query("after", "Only entries behind this number; `Last-Event-ID` goes before it.", number.clone())
        .query("type", "Only entries of this kind.", text())
        .query("requestId", "Only entries of this request.", text())
        .query("follow", "Go on with entries to come, as a stream.", flag())
        .query("limit", "How many entries a page has.", json!({ "type": "integer", "minimum": 1, "maximum": 1_000, "default": 100 }))
        .answer(200, "A page of entries, in order, whose `next` goes on as `after`; or, as a stream, all of them.")
        .gives(JSON, Shape::of::<api::Page<Entry<Value>>>())
        .problems(STORE)
        .problems(&[UNKNOWN_TYPE, Code::NoSuchJournal, Code::InvalidName]);
    let operation = resumes(operation, "The number of the last entry that was read.", number);
    streams(operation, Shape::described::<JournalTold<Value>>())
}

pub(crate) fn destroy_journal() -> Operation {
    sending_by(of_journal("destroyJournal"))
        .answer(200, "What was recorded is gone; that it was destroyed is the next entry.")
        .gives(JSON, Shape::any())
        .with(&["Quarry-Message-Id", "Idempotency-Key", "Idempotency-Replayed"])
        .answer(202, "It is stored that it shall be destroyed.")
        .gives(JSON, Shape::of::<api::Accepted>())
        .with(OF_ACCEPTED)
        .problems(&[Code::NoSuchJournal])
}

pub(crate) fn entity() -> Operation {
    Operation::new("showEntity")
        .answer(200, "The entity: owner, state, queue, last error.")
        .gives(JSON, Shape::of::<api::Entity>())
        .problems(STORE)
        .problems(&[UNKNOWN_TYPE, Code::NoSuchEntity])
}

pub(crate) fn entities() -> Operation {
    Operation::new("listEntities")
        .query("type", "Only those of this type.", json!({ "type": "string" }))
        .paged()
        .answer(200, "Entities with a stored state, in order of type and id.")
        .gives(JSON, Shape::of::<api::Page<api::EntitySummary>>())
        .problems(STORE)
        .problems(&[UNKNOWN_TYPE])
}

pub(crate) fn submit() -> Operation {
    sending("submitExtraction")
        .header(
            "Last-Event-ID",
            "The id of the last event that was read of the submission's stream, which goes on behind it.",
            json!({ "type": "string" }),
        )
        .body("A text and the ontology to extract by.", true)
        .takes(JSON, Shape::of::<Submission>())
        .answer(200, "The graph; or what happens, as it happens, and then the graph.")
        .gives(JSON, Shape::of::<Graph>())
        .gives(EVENTS, Shape::text())
        .gives(LINES[1], Shape::described::<ExtractionTold<Value>>())
        .with(OF_STREAM)
        .answer(202, "The submission is stored and will be extracted.")
        .gives(JSON, Shape::of::<api::Accepted>())
        .with(OF_ACCEPTED)
        .problems(&[
            Code::RequestReused,
            Code::UnknownOntology,
            Code::InvalidSubmission,
            Code::NoProvider,
        ])
}

pub(crate) fn extraction() -> Operation {
    Operation::new("showExtraction")
        .path("id", "A request id.", json!({ "type": "string" }))
        .calls(Calls::Reading)
        .answer(200, "How far the extraction is.")
        .gives(JSON, Shape::of::<api::Extraction>())
        .problems(STORE)
        .problems(&[Code::NoSuchExtraction])
}

pub(crate) fn extraction_graph() -> Operation {
    Operation::new("showGraph")
        .path("id", "A request id.", json!({ "type": "string" }))
        .query("format", "How the graph is written.", one_of(["json", "turtle", "ntriples"]))
        .calls(Calls::Reading)
        .answer(200, "The graph.")
        .gives(JSON, Shape::of::<Graph>())
        .gives("text/turtle", Shape::text())
        .gives("application/n-triples", Shape::text())
        .problems(STORE)
        .problems(&[Code::NoSuchExtraction, Code::NotYetExtracted, Code::NotWritable])
}

/// An operation on one ontology.
fn of_ontology(operation: Operation) -> Operation {
    operation.path("id", "The id, or another name, of an ontology.", json!({ "type": "string" }))
}

/// An operation that looks at one ontology.
fn looking(id: &'static str) -> Operation {
    of_ontology(Operation::new(id))
        .query(
            "version",
            "Another version than the current one, where it is still kept.",
            json!({ "type": "string" }),
        )
        .header("If-None-Match", "Versions that the client has.", json!({ "type": "string" }))
        .calls(Calls::Reading)
        .answer(304, "The client has it.")
        .with(&["ETag"])
        .problems(STORE)
        .problems(&[Code::NoSuchOntology, Code::InvalidHeader])
}

pub(crate) fn ontology() -> Operation {
    looking("showOntology")
        .answer(200, "The ontology.")
        .gives(JSON, Shape::of::<ontology::Ontology>())
        .with(&["ETag"])
}

pub(crate) fn ontology_source() -> Operation {
    looking("showOntologySource")
        .answer(200, "The pack as it was written.")
        .gives(JSON, Shape::any())
        .gives("application/toml", Shape::text())
        .gives("text/turtle", Shape::text())
        .with(&["ETag"])
}

/// An operation that changes one ontology.
fn changing(id: &'static str) -> Operation {
    of_ontology(Operation::new(id))
        .query("timeout", "How long to wait for the change; 30s by default.", duration())
        .header(
            "Idempotency-Key",
            "Names one intent: the same ontology and key are handled once.",
            json!({ "type": "string", "minLength": 1, "maxLength": 256 }),
        )
        .header(
            "Quarry-Send-Count",
            "How often the request was sent before; raised by clients that repeat.",
            json!({ "type": "integer", "minimum": 0, "default": 0 }),
        )
        .header(
            "If-Match",
            "Versions that may stand there; `*` for any.",
            json!({ "type": "string" }),
        )
        .header(
            "If-None-Match",
            "`*`: only where nothing stands there.",
            json!({ "type": "string" }),
        )
        .calls(Calls::Reading)
        .problems(&[
            Code::BuiltInOntology,
            Code::PreconditionFailed,
            Code::NoSuchOntology,
            Code::StoreCorrupt,
            Code::InvalidHeader,
            Code::NotAcceptable,
        ])
}

const OF_CHANGE: &[&str] = &["Quarry-Message-Id", "Idempotency-Key", "Idempotency-Replayed"];

pub(crate) fn put_ontology() -> Operation {
    changing("putOntology")
        .body("A pack, or a vocabulary; up to 16 MiB.", true)
        .takes(JSON, Shape::any())
        .takes("application/toml", Shape::text())
        .takes("text/turtle", Shape::text())
        .answer(200, "It stands there in place of another, or stood there before.")
        .gives(JSON, Shape::of::<ontology::Placed>())
        .with(OF_CHANGE)
        .with(&["ETag", "Location"])
        .answer(201, "It stands there; nothing did before.")
        .gives(JSON, Shape::of::<ontology::Placed>())
        .with(OF_CHANGE)
        .with(&["ETag", "Location"])
        .problems(&[Code::InvalidOntology])
}

pub(crate) fn remove_ontology() -> Operation {
    changing("removeOntology")
        .answer(200, "It is removed; its graphs stay.")
        .gives(JSON, Shape::of::<ontology::Removed>())
        .with(OF_CHANGE)
        .problems(&[Code::InvalidOntology])
}

pub(crate) fn ontologies() -> Operation {
    Operation::new("listOntologies")
        .paged()
        .calls(Calls::Reading)
        .answer(200, "The ontologies that extractions may name: built-in ones on the first page, beside as many as it may have of those that were put.")
        .gives(JSON, Shape::of::<ontology::Ontologies>())
        .problems(STORE)
}

pub(crate) fn types() -> Operation {
    Operation::new("listTypes")
        .answer(200, "The entity types of the cluster.")
        .gives(JSON, Shape::of::<api::Types>())
}

pub(crate) fn message() -> Operation {
    Operation::new("showMessage")
        .query("wait", "How long to wait for the message's end.", duration())
        .answer(200, "The message.")
        .gives(JSON, Shape::of::<api::Message<Value>>())
        .with(&["Quarry-Message-Id"])
        .problems(STORE)
        .problems(&[Code::NoSuchMessage])
}

pub(crate) fn messages() -> Operation {
    Operation::new("listMessages")
        .query(
            "state",
            "Only those in this state.",
            one_of(["open", "delayed", "quarantined", "finished"]),
        )
        .query("entity", "Only those to this entity: `Type/id`.", json!({ "type": "string" }))
        .query("type", "Only those to entities of this type.", json!({ "type": "string" }))
        .query(
            "before",
            "Only those accepted before this time (RFC 3339).",
            json!({ "type": "string", "format": "date-time" }),
        )
        .query("older_than", "Only those accepted at least so long ago.", duration())
        .query(
            "error",
            "Only those with this text in an error. It is looked for in a page that was read, so \
             that a page may hold few, or none, and another follow.",
            json!({ "type": "string" }),
        )
        .paged()
        .answer(200, "Messages, newest first.")
        .gives(JSON, Shape::of::<api::Page<api::Message<Value>>>())
        .problems(STORE)
        .problems(&[UNKNOWN_TYPE])
}

pub(crate) fn placement() -> Operation {
    Operation::new("showPlacement")
        .answer(200, "Where the entity lives, and why.")
        .gives(JSON, Shape::of::<api::Placement>())
        .problems(&[UNKNOWN_TYPE])
}

const EVENTS: &str = "text/event-stream";

/// Lines of frames, under the media types of both generations of clients.
const LINES: [&str; 2] = ["application/ndjson", "application/x-ndjson"];

pub(crate) fn call() -> Operation {
    let does = "A call in the short form, or frames of Effect's RPC protocol; as JSON, or one \
                frame per line.";
    let mut operation = Operation::new("call")
        .calls(Calls::Inside)
        .body(does, true)
        .takes(JSON, Shape::described::<CallBody>());
    for media_type in LINES {
        operation = operation.takes(media_type, Shape::text());
    }
    operation = operation
        .answer(200, "How the call ended, or frames; typed errors are answers.")
        .gives(JSON, Shape::described::<CallAnswer>());
    for media_type in LINES {
        operation = operation.gives(media_type, Shape::described::<CallLine>());
    }
    operation = operation.gives(EVENTS, Shape::text());
    operation.problems(&[Code::InvalidCall, Code::RequestReused])
}

pub(crate) fn metrics() -> Operation {
    Operation::new("readMetrics")
        .answer(200, "All metrics, in Prometheus' text format.")
        .gives("text/plain", Shape::text())
}

pub(crate) fn description() -> Operation {
    Operation::new("readDescription")
        .answer(200, "This document.")
        .gives(JSON, Shape::of::<Description>())
}

pub(crate) fn start() -> Operation {
    Operation::new("readStart")
        .answer(200, "What this is and which routes it has.")
        .gives("text/html", Shape::text())
}
