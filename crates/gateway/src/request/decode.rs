//! Bodies with members of their own, decoded.

use quarry_types::{in_words_of_json, is_object};
use serde::Deserialize;

use crate::{Code, Problem, problem::payload_field};

/// `json` as a `T`; what does not fit is named by its path.
pub(crate) fn decode<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Problem> {
    if json.trim_ascii_start().starts_with(b"[") && is_object::<T>() {
        let detail = "found a list, expected an object";
        return Err(Problem::new(Code::InvalidBody, detail).field("body"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let reason = in_words_of_json(&error.into_inner().to_string());
        let detail = at(&path, reason);
        let field = payload_field(&format!("body: {detail}"));
        Problem::new(Code::InvalidBody, detail).field(field)
    })
}

/// `reason` with the path before it, where there is one that it does not name itself.
pub(crate) fn at(path: &str, reason: String) -> String {
    let name = path.rsplit('.').next().unwrap_or_default();
    if path == "." || (name == path && reason.contains(&format!("field `{name}`"))) {
        return reason;
    }
    format!("{path}: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[expect(dead_code, reason = "what is decoded is not looked at")]
        limit: u32,
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (body, field) in [
            ("{}", "limit"),
            (r#"{"limit": "x"}"#, "limit"),
            (r#"{"limit": 1, "x": 2}"#, "x"),
            (r#"{"limit": 1, "limit": 2}"#, "limit"),
            ("[]", "body"),
            ("", "body"),
        ] {
            let problem = decode::<Body>(body.as_bytes()).unwrap_err();
            assert_eq!(problem.named(), Some(field), "{body}: {}", problem.detail());
        }
    }
}
