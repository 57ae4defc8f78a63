//! The short form: one call, one answer.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    arguments::decode,
    fault::{Fault, TypedError},
    procedure::{Procedure, Until, bytes},
};
use crate::{Code, Gateway, Problem, trace::Trace};

/// A call.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShortCall {
    /// The procedure.
    #[serde(rename = "_tag")]
    tag: String,
    /// Its argument.
    #[serde(default)]
    payload: Value,
}

/// How a call ended. `J` is how the value is held.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "_tag")]
pub(crate) enum ShortAnswer<J> {
    /// It succeeded.
    Success {
        /// What it answers.
        value: J,
    },
    /// It failed.
    Failure {
        /// Why.
        error: TypedError,
    },
}

/// Runs the call that `body` is.
pub(super) async fn answer(
    gateway: &Gateway,
    trace: &Trace,
    body: Value,
) -> Result<Response, Problem> {
    let ShortCall { tag, payload } = decode("call", body).map_err(from_root)?;
    let procedure = Procedure::named(&tag).map_err(|detail| {
        Problem::new(Code::InvalidCall, detail).field("_tag").available(Procedure::tags())
    })?;
    let answer = match procedure.run(gateway, trace, payload, Until::Result).await {
        Ok(value) => ShortAnswer::Success { value },
        Err(Fault::Typed(error)) => ShortAnswer::Failure { error },
        Err(Fault::Malformed(problem)) => return Err(problem),
    };
    Ok(([(header::CONTENT_TYPE, "application/json")], bytes(&answer)).into_response())
}

/// A path within the whole body begins with its first member.
fn from_root(problem: Problem) -> Problem {
    let field = problem.named().map(|field| match field.strip_prefix("call") {
        Some("") | None => "body".to_owned(),
        Some(rest) => rest.trim_start_matches('.').to_owned(),
    });
    match field {
        Some(field) => problem.field(field),
        None => problem,
    }
}
