//! The payloads of procedures: decoded, and refused with the path of what is wrong.

use std::time::Duration;

use quarry_extract::Submission;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{Code, Gateway, Problem, problem::payload_field, time};

/// How long a caller waits for an extraction where the call does not say.
const TIMEOUT: Duration = Duration::from_mins(5);

/// A text to extract from, and how long the caller waits.
#[derive(Debug)]
pub(super) struct Extract {
    pub(super) submission: Submission,
    pub(super) timeout: Duration,
}

/// What callers may say of the model and of their patience, beside the options of a submission.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ModelOptions {
    max_tokens: Option<u32>,
    temperature: Option<f64>,
    timeout: Option<Timeout>,
}

/// A number is minutes, a text a duration.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Timeout {
    Minutes(f64),
    Text(String),
}

/// Which extraction is asked about.
#[derive(Debug)]
pub(super) enum Which {
    /// The one of this request id.
    Named(String),
    /// The one of this text and ontology.
    Of(Box<Submission>),
}

/// Decodes the payload of an extraction. The embedded extractor has no use for `maxTokens` and
/// `temperature`; they are checked and let be.
pub(super) fn extract(gateway: &Gateway, payload: Value) -> Result<Extract, Problem> {
    let mut members = object(payload)?;
    let mut model = Map::new();
    if let Some(Value::Object(options)) = members.get_mut("options") {
        for name in ["maxTokens", "temperature", "timeout"] {
            model.extend(options.remove(name).map(|value| (name.to_owned(), value)));
        }
    }
    let model: ModelOptions = decode("payload.options", Value::Object(model))?;
    if model.max_tokens == Some(0) {
        return Err(invalid("payload.options.maxTokens", "must be at least 1"));
    }
    if model.temperature.is_some_and(|value| !(0.0..=2.0).contains(&value)) {
        return Err(invalid("payload.options.temperature", "must be from 0 to 2"));
    }
    let longest = gateway.config().longest_timeout;
    let timeout = match model.timeout {
        Some(timeout) => parse_timeout(timeout, longest)?,
        None => TIMEOUT.min(longest),
    };
    Ok(Extract { submission: decode("payload", Value::Object(members))?, timeout })
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

fn parse_timeout(timeout: Timeout, longest: Duration) -> Result<Duration, Problem> {
    let parsed = match timeout {
        Timeout::Minutes(minutes) => Duration::try_from_secs_f64(minutes * 60.0).ok(),
        Timeout::Text(text) => time::duration(&text),
    };
    let parsed = parsed.filter(|timeout| !timeout.is_zero() && *timeout <= longest);
    parsed.ok_or_else(|| {
        let rule = format!(
            "is a number of minutes, or a text such as \"90s\"; more than 0, at most {}s",
            longest.as_secs()
        );
        invalid("payload.options.timeout", &rule)
    })
}

fn object(payload: Value) -> Result<Map<String, Value>, Problem> {
    decode("payload", payload)
}

/// Decodes `value`, which stands at `place` in the call.
pub(super) fn decode<T: DeserializeOwned>(place: &str, value: Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let reason = error.into_inner();
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

fn invalid(field: &str, rule: &str) -> Problem {
    Problem::new(Code::InvalidCall, format!("{field}: {rule}")).field(field)
}
