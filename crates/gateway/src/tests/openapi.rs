//! The description of the interface against the interface.

use std::{collections::BTreeSet, fs, path::Path};

use axum::http::Method;
use serde_json::Value;

use super::harness::{Answer, Ask, World};
use crate::{
    openapi::{HEADERS, PROBLEM, document, problems},
    router::{ROUTES, Route},
};

/// Set to write the committed document instead of comparing with it.
const UPDATE: &str = "QUARRY_UPDATE_OPENAPI";

/// Refuses an answer that the description does not have. Every test asks through here.
pub(super) fn conforms(method: &Method, path: &str, answer: &Answer) -> Result<(), String> {
    let Some(route) = route(method, path) else { return Ok(()) };
    let operation = (route.describe)();
    let status = answer.status.as_u16();
    let media_type = answer.header("content-type").unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default();
    let described = operation.answers.iter().find(|described| described.status == status);
    if media_type == PROBLEM {
        let code = answer.body["code"].as_str().unwrap_or_default();
        let known = problems(route, &operation);
        let known =
            known.get(&status).is_some_and(|codes| codes.contains(code) || codes.contains(""));
        if !known {
            return Err(format!("has no problem {status} {code}"));
        }
        let own = described.and_then(|described| described.contents.first());
        return own.map_or(Ok(()), |(_, shape)| shape.fits(&answer.body));
    }
    let described = described.ok_or_else(|| format!("has no answer {status}"))?;
    for (name, _) in HEADERS {
        let everywhere = *name == "traceparent";
        if answer.header(name).is_some() && !everywhere && !described.headers.contains(name) {
            return Err(format!("has no header {name} with {status}"));
        }
    }
    if media_type.is_empty() && described.contents.is_empty() {
        return Ok(());
    }
    let content = described.contents.iter().find(|(known, _)| *known == media_type);
    let (_, shape) = content.ok_or_else(|| format!("has no {media_type} with {status}"))?;
    if media_type == "application/json" { shape.fits(&answer.body) } else { Ok(()) }
}

fn route(method: &Method, path: &str) -> Option<&'static Route> {
    let path = path.split('?').next().unwrap_or_default();
    let fits = |pattern: &str| {
        let (known, given): (Vec<_>, Vec<_>) =
            (pattern.split('/').collect(), path.split('/').collect());
        known.len() == given.len()
            && known.iter().zip(&given).all(|(known, given)| {
                let verb = known.split_once('}').map_or("", |(_, verb)| verb);
                let has_verb =
                    if verb.is_empty() { !given.contains(':') } else { given.ends_with(verb) };
                (known.starts_with('{') && has_verb) || known == given
            })
    };
    ROUTES.iter().find(|route| route.method == *method && fits(route.path))
}

#[test]
fn the_committed_description_is_that_of_the_routes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let document = document();
    if std::env::var_os(UPDATE).is_some() {
        let text = serde_json::to_string_pretty(&document).unwrap();
        fs::write(&path, text + "\n").unwrap();
    }
    let committed: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert!(
        committed == document,
        "openapi.json is not what the routes say: run the tests of this crate with {UPDATE}=1"
    );
}

#[test]
fn every_reference_of_the_description_leads_somewhere() {
    fn collect<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|value| collect(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut references = BTreeSet::new();
    collect(&document, &mut references);
    assert!(references.len() > 20, "{references:?}");
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn the_description_is_served() {
    let world = World::new().await;
    let answer = world.get("/openapi.json").await;
    assert_eq!(answer.body, document());
    let operations: BTreeSet<_> = ROUTES.iter().map(|route| (route.path, &route.method)).collect();
    assert_eq!(operations.len(), ROUTES.len(), "a route stands twice in the table");
}

#[tokio::test]
async fn every_route_has_the_parameters_that_are_described() {
    let world = World::new().await;
    let document = document();
    for route in ROUTES {
        let method = route.method.as_str().to_ascii_lowercase();
        let described = &document["paths"][route.path][&method]["parameters"];
        let mut described: Vec<_> = described
            .as_array()
            .unwrap()
            .iter()
            .filter(|parameter| parameter["in"] == "query")
            .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
            .collect();
        let path = super::bad_input::filled(route.path);
        let ask = Ask::new(route.method.clone(), &format!("{path}?nonsense=1"));
        let answer = world.ask(ask).await;
        let available = answer.body["available"].as_array().cloned().unwrap_or_default();
        let mut available: Vec<_> =
            available.iter().map(|name| name.as_str().unwrap().to_owned()).collect();
        described.sort_unstable();
        available.sort_unstable();
        assert_eq!(available, described, "{} {path}: {answer:?}", route.method);
    }
}

#[tokio::test]
async fn an_answer_that_is_not_described_is_noticed() {
    let world = World::new().await;
    let mut answer = world.get("/v1/types").await;
    let fits = |answer: &Answer| conforms(&Method::GET, "/v1/types", answer);
    assert_eq!(fits(&answer), Ok(()));
    answer.body["more"] = 1.into();
    assert!(fits(&answer).unwrap_err().starts_with("reads as"));
    answer.status = axum::http::StatusCode::ACCEPTED;
    assert_eq!(fits(&answer).unwrap_err(), "has no answer 202");
    let problem = world.get("/v1/types?nonsense=1").await;
    assert_eq!(fits(&problem), Ok(()));
    let problem = world.get("/v1/entities/Counter/never").await;
    assert_eq!(fits(&problem).unwrap_err(), "has no problem 404 no_such_entity");
}
