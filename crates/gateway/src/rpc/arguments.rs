//! The payloads of procedures: decoded, and refused with the path of what is wrong.

use std::time::Duration;

use quarry_extract::{Submission, TimeLimit};
use quarry_types::{in_words_of_json, is_object};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{Code, Gateway, Problem, problem::payload_field};

/// How long a caller waits for an extraction where the call does not say.
const TIMEOUT: Duration = Duration::from_mins(5);

/// A text to extract from, and how long the caller waits.
#[derive(Debug)]
pub(super) struct Extract {
    pub(super) submission: Submission,
    pub(super) timeout: Duration,
}

/// Which extraction is asked about.
#[derive(Debug)]
pub(super) enum Which {
    /// The one of this request id.
    Named(String),
    /// The one of this text and ontology.
    Of(Box<Submission>),
}

/// Decodes the payload of an extraction. Its caller waits for as long as it may take.
pub(super) fn extract(gateway: &Gateway, payload: Value) -> Result<Extract, Problem> {
    let submission: Submission = decode("payload", payload)?;
    let limit = submission.options.timeout.map_or(TIMEOUT, |TimeLimit(limit)| limit);
    Ok(Extract { submission, timeout: limit.min(gateway.config().longest_timeout) })
}

/// Decodes the payload of a question about an extraction.
pub(super) fn which(gateway: &Gateway, payload: Value) -> Result<Which, Problem> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Named {
        request_id: String,
    }
    let members = object(payload)?;
    if members.contains_key("text") {
        let submission = extract(gateway, Value::Object(members))?.submission;
        return Ok(Which::Of(Box::new(submission)));
    }
    let Named { request_id } = decode("payload", Value::Object(members))?;
    Ok(Which::Named(request_id))
}

fn object(payload: Value) -> Result<Map<String, Value>, Problem> {
    decode("payload", payload)
}

/// Decodes `value`, which stands at `place` in the call.
pub(super) fn decode<T: DeserializeOwned>(place: &str, value: Value) -> Result<T, Problem> {
    if value.is_array() && is_object::<T>() {
        let detail = format!("{place}: found a list, expected an object");
        return Err(Problem::new(Code::InvalidCall, detail).field(place));
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let reason = in_words_of_json(&error.into_inner().to_string());
        let detail = if path == "." {
            format!("{place}: {reason}")
        } else {
            format!("{place}: {path}: {reason}")
        };
        let field = payload_field(&detail);
        let problem = Problem::new(Code::InvalidCall, detail);
        problem.field(field).within(Code::InvalidCall, place)
    })
}
