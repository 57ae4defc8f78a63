//! Versions as entity tags, and what clients demand of them (RFC 9110).

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use quarry_extract::Expected;

use crate::{Code, Problem};

/// The tag of a version.
pub(super) fn tag(version: &str) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("\"{version}\"")).ok()
}

/// What must stand there for a change to be made, by `If-Match` and `If-None-Match: *`.
pub(super) fn expected(headers: &HeaderMap) -> Result<Option<Expected>, Problem> {
    let wanted = tags(headers, &header::IF_MATCH, "If-Match")?;
    let unwanted = tags(headers, &header::IF_NONE_MATCH, "If-None-Match")?;
    match (wanted, unwanted) {
        (None, None) => Ok(None),
        (Some(Tags::Any), None) => Ok(Some(Expected::Something)),
        (Some(Tags::These(versions)), None) => Ok(Some(Expected::Versions(versions))),
        (None, Some(Tags::Any)) => Ok(Some(Expected::Nothing)),
        (_, Some(_)) => {
            let detail = "header If-None-Match: a change takes * alone, and no If-Match beside it";
            Err(Problem::new(Code::InvalidHeader, detail).field("If-None-Match"))
        }
    }
}

/// Whether the client has this version already, by `If-None-Match`.
pub(super) fn is_known(headers: &HeaderMap, version: &str) -> Result<bool, Problem> {
    Ok(match tags(headers, &header::IF_NONE_MATCH, "If-None-Match")? {
        None => false,
        Some(Tags::Any) => true,
        Some(Tags::These(versions)) => versions.iter().any(|known| known == version),
    })
}

enum Tags {
    Any,
    These(Vec<String>),
}

fn tags(
    headers: &HeaderMap,
    name: &HeaderName,
    shown: &'static str,
) -> Result<Option<Tags>, Problem> {
    let mut versions = Vec::new();
    for value in headers.get_all(name) {
        let invalid = || {
            let detail = format!("header {shown}: is neither * nor a list of quoted versions");
            Problem::new(Code::InvalidHeader, detail).field(shown)
        };
        let text = value.to_str().map_err(|_| invalid())?.trim();
        if text == "*" {
            return Ok(Some(Tags::Any));
        }
        for part in text.split(',') {
            let part = part.trim();
            let strong = part.strip_prefix("W/").unwrap_or(part);
            let version = strong.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            versions.push(version.ok_or_else(invalid)?.to_owned());
        }
    }
    Ok((!versions.is_empty()).then_some(Tags::These(versions)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn preconditions_are_read() {
        let (wanted, unwanted) = (header::IF_MATCH, header::IF_NONE_MATCH);
        let versions = |versions: &[&str]| {
            Expected::Versions(versions.iter().map(|version| (*version).to_owned()).collect())
        };
        for (pairs, expected) in [
            (vec![], None),
            (vec![(wanted.clone(), "*")], Some(Expected::Something)),
            (vec![(unwanted.clone(), "*")], Some(Expected::Nothing)),
            (vec![(wanted.clone(), "\"a\", W/\"b\"")], Some(versions(&["a", "b"]))),
        ] {
            assert_eq!(super::expected(&headers(&pairs)).unwrap(), expected, "{pairs:?}");
        }
        for bad in [
            vec![(wanted.clone(), "a")],
            vec![(wanted.clone(), "\"a\",")],
            vec![(unwanted.clone(), "\"a\"")],
            vec![(wanted, "*"), (unwanted.clone(), "*")],
        ] {
            assert!(super::expected(&headers(&bad)).is_err(), "{bad:?}");
        }
        assert!(is_known(&headers(&[(unwanted.clone(), "\"a\"")]), "a").unwrap());
        assert!(!is_known(&headers(&[(unwanted, "\"a\"")]), "b").unwrap());
    }
}
