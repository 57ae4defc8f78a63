//! The document, from the table of routes.

use std::collections::BTreeSet;

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{
    operation::{Answer, Body, Operation, PROBLEM, Parameter},
    problems::{Calls, problems},
    shape::Shape,
};
use crate::router::{ROUTES, Route};

/// What parameters in paths are, where a route does not say otherwise.
const PATH: &[(&str, &str)] = &[
    ("type", "An entity type: see `/v1/types`."),
    ("id", "An id; a slash within it as %2F."),
    ("method", "A method of the type."),
    ("mid", "A message's id: a UUID."),
];

/// What headers of answers say.
pub(crate) const HEADERS: &[(&str, &str)] = &[
    ("ETag", "The version, quoted: send it as `If-Match` or `If-None-Match`."),
    ("Idempotency-Key", "The key of the message: repeat the request under it."),
    ("Idempotency-Replayed", "`true` where the answer stood before this request."),
    ("Location", "Where to ask later."),
    ("Preference-Applied", "The preference that was followed (RFC 7240)."),
    ("Quarry-Message-Id", "The id of the message: see `/v1/messages/{mid}`."),
    ("RateLimit", "What is left, and in how many seconds there is more."),
    ("Retry-After", "In how many seconds a retry may succeed."),
    ("traceparent", "The trace of the request, and this node's span in it (W3C)."),
];

/// The whole document.
pub(crate) fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut schemas = Schemas {
        read: settings.clone().for_deserialize().into_generator(),
        written: settings.for_serialize().into_generator(),
    };
    let mut paths = Map::new();
    for route in ROUTES {
        let operation = describe(route, &mut schemas);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Value::Object(methods) = path {
            methods.insert(route.method.as_str().to_ascii_lowercase(), operation);
        }
    }
    schemas.written.subschema_for::<quarry_types::api::Problem>();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Quarry",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Messages to entities, extractions of knowledge graphs, and the \
                cluster that holds them. Every error is a Problem (RFC 9457).",
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": { "headers": headers(), "schemas": schemas.all() },
    })
}

/// Schemas of what is read, and of what is written: a member may be left out of the one and always
/// stand in the other.
struct Schemas {
    read: SchemaGenerator,
    written: SchemaGenerator,
}

impl Schemas {
    fn all(mut self) -> Map<String, Value> {
        let mut all = self.written.take_definitions(true);
        for (name, schema) in self.read.take_definitions(true) {
            let shared = all.get(&name).is_some_and(|written| *written != schema);
            debug_assert!(!shared, "{name} is read in one form and written in another");
            all.insert(name, schema);
        }
        all
    }
}

fn headers() -> Value {
    let entry = |(name, does): &(&str, &str)| {
        ((*name).to_owned(), json!({ "description": does, "schema": { "type": "string" } }))
    };
    HEADERS.iter().map(entry).collect::<Map<_, _>>().into()
}

fn header_references<'a>(names: impl IntoIterator<Item = &'a str>) -> Value {
    let names = names.into_iter().chain(["traceparent"]);
    let entry =
        |name: &str| (name.to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }));
    names.map(entry).collect::<Map<_, _>>().into()
}

fn describe(route: &Route, schemas: &mut Schemas) -> Value {
    let operation = (route.describe)();
    let body = operation.body.as_ref().map(|body| request_body(body, schemas));
    let mut described = Map::from_iter([
        ("operationId".to_owned(), operation.id.into()),
        ("summary".to_owned(), route.does.into()),
        ("tags".to_owned(), json!([tag(route.path)])),
        ("parameters".to_owned(), parameters(route, &operation).into()),
        ("responses".to_owned(), responses(route, &operation, schemas)),
    ]);
    described.extend(body.map(|body| ("requestBody".to_owned(), body)));
    described.into()
}

/// The group of a route: its first segment that is not the version, without a verb.
fn tag(path: &str) -> &str {
    let mut segments = path.split('/').filter(|segment| !matches!(*segment, "" | "v1" | "api"));
    let segment = segments.next().unwrap_or("start");
    segment.split(':').next().unwrap_or(segment)
}

fn parameters(route: &Route, operation: &Operation) -> Vec<Value> {
    let in_path = route.path.split('/').filter_map(|segment| {
        let (name, _verb) = segment.strip_prefix('{')?.split_once('}')?;
        let own = operation.path.iter().find(|parameter| parameter.name == name);
        let usual = PATH.iter().find(|(known, _)| *known == name).map(|(_, does)| *does);
        let (does, schema) = match own {
            Some(Parameter { does, schema, .. }) => (*does, schema.clone()),
            None => (usual.unwrap_or_default(), json!({ "type": "string" })),
        };
        Some(json!({
            "name": name, "in": "path", "required": true, "description": does, "schema": schema,
        }))
    });
    let others = operation.parameters.iter().map(|Parameter { name, place, does, schema }| {
        json!({ "name": name, "in": place, "description": does, "schema": schema })
    });
    let trace = json!({
        "name": "traceparent", "in": "header", "schema": { "type": "string" },
        "description": "The trace that the request belongs to (W3C).",
    });
    in_path.chain(others).chain([trace]).collect()
}

fn request_body(body: &Body, schemas: &mut Schemas) -> Value {
    json!({
        "description": body.does,
        "required": body.is_required,
        "content": contents(&body.contents, &mut schemas.read),
    })
}

fn contents(
    contents: &[(&'static str, Shape)],
    generator: &mut SchemaGenerator,
) -> Map<String, Value> {
    let mut entry = |(media_type, shape): &(&'static str, Shape)| {
        ((*media_type).to_owned(), json!({ "schema": (shape.schema)(generator) }))
    };
    contents.iter().map(&mut entry).collect()
}

fn responses(route: &Route, operation: &Operation, schemas: &mut Schemas) -> Value {
    let mut problems = problems(route, operation);
    let mut responses = Map::new();
    for Answer { status, does, contents: shapes, headers } in &operation.answers {
        let mut contents = contents(shapes, &mut schemas.written);
        let mut headers = headers.clone();
        if problems.remove(status).is_some() {
            // Bad news that says more than a problem does; and a plain problem in its place.
            let own = contents.remove(PROBLEM).and_then(|own| own.get("schema").cloned());
            contents.insert(PROBLEM.to_owned(), problem_content(own));
            headers.extend(problem_headers(*status, operation));
        }
        let response = json!({
            "description": does,
            "headers": header_references(headers),
            "content": contents,
        });
        responses.insert(status.to_string(), response);
    }
    for (status, codes) in problems {
        responses.insert(status.to_string(), problem(status, codes, operation));
    }
    responses.into()
}

/// A problem, or what the route itself says in its form.
fn problem_content(own: Option<Value>) -> Value {
    let problem = json!({ "$ref": "#/components/schemas/Problem" });
    match own {
        Some(own) => json!({ "schema": { "anyOf": [own, problem] } }),
        None => json!({ "schema": problem }),
    }
}

fn problem_headers(status: u16, operation: &Operation) -> Vec<&'static str> {
    let mut headers = Vec::new();
    if matches!(status, 429 | 503) {
        headers.extend(["Retry-After", "RateLimit"]);
    }
    if operation.calls == Calls::Sending {
        headers.extend(["Idempotency-Key", "Quarry-Message-Id"]);
    }
    headers
}

fn problem(status: u16, codes: BTreeSet<&'static str>, operation: &Operation) -> Value {
    let names: Vec<String> = codes
        .into_iter()
        .map(|code| match code {
            "" => "the outcome is a failure, under the entity's own code".to_owned(),
            known => format!("`{known}`"),
        })
        .collect();
    json!({
        "description": names.join(", "),
        "headers": header_references(problem_headers(status, operation)),
        "content": { PROBLEM: problem_content(None) },
    })
}
