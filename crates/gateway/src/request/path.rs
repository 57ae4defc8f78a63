//! The path: percent escapes, and the names in it.

use std::{collections::BTreeSet, str::FromStr};

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

/// The nodes in the path: one, or several with commas between.
pub(crate) fn node_ids(text: &str) -> Result<NodeIds, Problem> {
    text.parse().map_err(|error: String| Problem::new(Code::InvalidName, error).field("id"))
}

/// Nodes as people write them: one, or several with commas between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NodeIds(pub(crate) BTreeSet<NodeId>);

impl FromStr for NodeIds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let node = |text: &str| {
            let wrong = |_| format!("node {text:?} is not valid: a whole number from 0");
            text.trim().parse().map(NodeId).map_err(wrong)
        };
        text.split(',').map(node).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_nodes_are_parted_by_commas() {
        let nodes = |text: &str| text.parse::<NodeIds>().map(|nodes| nodes.0);
        assert_eq!(nodes("2"), Ok([NodeId(2)].into()));
        assert_eq!(nodes("3,1, 3"), Ok([NodeId(1), NodeId(3)].into()));
        for bad in ["", "1,", "x", "-1", "1;2"] {
            assert!(nodes(bad).is_err(), "{bad:?}");
        }
    }

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
