//! `extraction.getStatus`.

use quarry_types::Address;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    arguments::{self, Which},
    extraction::{Raw, json, raw},
    fault::{ErrorTag, Fault, TypedError},
};
use crate::{Gateway, extractions, progress, trace::Trace};

/// How far an extraction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Progress {
    /// Nothing is stored under this name.
    NotFound,
    /// It waits for its turn.
    Pending,
    /// It was begun.
    Running,
    /// It is set aside for an operator.
    Suspended,
    /// There is a graph.
    Complete,
    /// It ended without a graph.
    Failed,
}

/// The answer of `extraction.getStatus`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct StatusAnswer<G> {
    /// How far it is.
    status: Progress,
    /// The graph, where it is complete.
    #[serde(default = "none::<G>", skip_serializing_if = "Option::is_none")]
    result: Option<G>,
    /// Why there is no graph, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<TypedError>,
}

fn none<T>() -> Option<T> {
    None
}

/// Answers how far an extraction is.
pub(super) async fn get(gateway: &Gateway, trace: &Trace, payload: Value) -> Result<Raw, Fault> {
    let address = match arguments::which(gateway, payload)? {
        Which::Named(request_id) => extractions::submission_address(gateway, &request_id)?,
        Which::Of(mut submission) => {
            extractions::addressee(gateway, trace, &mut submission).await?
        }
    };
    raw(&json(&status(gateway, trace, &address).await?)?)
}

/// A stored graph is complete, whatever was asked for since; else the newest message tells.
async fn status(
    gateway: &Gateway,
    trace: &Trace,
    address: &Address,
) -> Result<StatusAnswer<Raw>, Fault> {
    let told = |status, result, error| StatusAnswer { status, result, error };
    Ok(match progress::of(gateway, trace, address).await?.0 {
        progress::Progress::Absent => told(Progress::NotFound, None, None),
        progress::Progress::Pending => told(Progress::Pending, None, None),
        progress::Progress::Running => told(Progress::Running, None, None),
        progress::Progress::SetAside => told(Progress::Suspended, None, None),
        progress::Progress::Complete(graph) => told(Progress::Complete, Some(raw(&graph)?), None),
        progress::Progress::Failed(failure) => {
            let error = match Fault::from(failure) {
                Fault::Typed(error) => error,
                Fault::Malformed(problem) => {
                    let message = problem.detail().to_owned();
                    TypedError { tag: ErrorTag::IncompleteResult, message }
                }
            };
            told(Progress::Failed, None, Some(error))
        }
    })
}
