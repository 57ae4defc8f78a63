//! The path: percent escapes, and the names in it.

use axum::{
    extract::{FromRequestParts, Path, path::ErrorKind, rejection::PathRejection},
    http::{Uri, request::Parts},
};
use quarry_types::{EntityId, EntityType, Invalid, Method, NodeId};
use serde::de::DeserializeOwned;

use crate::{Code, Problem};

/// The decoded parts of the path, in the order of the route.
#[derive(Debug)]
pub(crate) struct PathOf<T>(pub(crate) T);

impl<T, S> FromRequestParts<S> for PathOf<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(value)| Self(value)).map_err(refusal)
    }
}

fn refusal(rejection: PathRejection) -> Problem {
    let problem = Problem::new(Code::MalformedPath, rejection.body_text());
    match rejection {
        PathRejection::FailedToDeserializePathParams(error) => match error.into_kind() {
            ErrorKind::InvalidUtf8InPathParam { key } => problem.field(key),
            _ => problem,
        },
        _ => problem,
    }
}

/// Refuses a percent sign that two hexadecimal digits do not follow, in path and query.
pub(crate) fn check_escapes(uri: &Uri) -> Result<(), Problem> {
    let text = uri.path_and_query().map_or("", |text| text.as_str());
    let bad = text.split('%').skip(1).find(|rest| {
        !matches!(rest.as_bytes(), [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
    });
    let Some(rest) = bad else { return Ok(()) };
    let shown: String = rest.chars().take(2).collect();
    let detail = format!("%{shown} is no percent escape: write a percent sign as %25");
    Err(Problem::new(Code::MalformedPath, detail))
}

fn named(field: &'static str) -> impl FnOnce(Invalid) -> Problem {
    move |error| Problem::new(Code::InvalidName, error.to_string()).field(field)
}

/// The entity type in the path.
pub(crate) fn entity_type(text: &str) -> Result<EntityType, Problem> {
    EntityType::new(text).map_err(named("type"))
}

/// The entity id in the path.
pub(crate) fn entity_id(text: &str) -> Result<EntityId, Problem> {
    EntityId::new(text).map_err(named("id"))
}

/// The method in the path.
pub(crate) fn method(text: &str) -> Result<Method, Problem> {
    Method::new(text).map_err(named("method"))
}

/// The node in the path.
pub(crate) fn node_id(text: &str) -> Result<NodeId, Problem> {
    text.parse().map(NodeId).map_err(|_| {
        let detail = format!("node {text:?} is not valid: a whole number from 0");
        Problem::new(Code::InvalidName, detail).field("id")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percent_sign_needs_two_digits() {
        for good in ["/a%2Fb", "/%e4%bd%a0?x=%20", "/"] {
            assert!(check_escapes(&good.parse().unwrap()).is_ok(), "{good}");
        }
        for bad in ["/%", "/%2", "/%zz", "/a?x=%2&y", "/%%20"] {
            assert!(check_escapes(&bad.parse().unwrap()).is_err(), "{bad}");
        }
    }
}
