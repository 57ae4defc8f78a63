//! How requests fail.

use quarry_types::{
    IdempotencyKey,
    api::{Problem, ProblemOutcome},
};

/// Why a request was not answered with success. Refused, failed and unknown are distinct (G6).
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// Surely not done. The problem says whether a retry may help.
    #[error("refused ({}): {}", .0.code, .0.detail)]
    Refused(Box<Problem>),
    /// Done, with a final failure as its outcome.
    #[error("failed ({}): {}", .0.code, .0.detail)]
    Failed(Box<Problem>),
    /// May have been done; a retry with the same key is safe.
    #[error("unknown: {reason}")]
    Unknown {
        /// What happened, for people.
        reason: String,
        /// What the server said, where it said something.
        problem: Option<Box<Problem>>,
        /// The key to repeat the message with, where it is known.
        key: Option<IdempotencyKey>,
    },
    /// No server took a connection: surely nothing was done.
    #[error("no server answers at {addresses}: {reason}")]
    Unreachable {
        /// The base URLs that were tried.
        addresses: String,
        /// What the system said of the last of them.
        reason: String,
    },
    /// A read got no answer: surely nothing was done.
    #[error("no answer: {reason}")]
    Unavailable {
        /// What happened, for people.
        reason: String,
    },
    /// What answered a read is no Quarry server: surely nothing was done.
    #[error("{address} does not answer like a Quarry server: {reason}")]
    Foreign {
        /// Scheme, host and port.
        address: String,
        /// What came instead.
        reason: String,
    },
    /// The request cannot be made: a URL or token is malformed. Nothing was sent.
    #[error("{reason}")]
    Invalid {
        /// What is wrong.
        reason: String,
    },
}

impl ClientError {
    /// What the server said, where it said something.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused(problem) | Self::Failed(problem) => Some(problem),
            Self::Unknown { problem, .. } => problem.as_deref(),
            Self::Unreachable { .. }
            | Self::Unavailable { .. }
            | Self::Foreign { .. }
            | Self::Invalid { .. } => None,
        }
    }

    /// Whether the same request, under the same key, may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused(problem) => problem.retryable,
            Self::Failed(_) | Self::Foreign { .. } | Self::Invalid { .. } => false,
            Self::Unknown { problem, .. } => {
                problem.as_ref().is_none_or(|problem| problem.retryable)
            }
            Self::Unreachable { .. } | Self::Unavailable { .. } => true,
        }
    }

    /// What this error of the last try comes to after earlier tries: a failure is an outcome and
    /// stands; a refusal or no answer proves nothing about a try that may have done it.
    pub(crate) fn after(self, maybe_done: Option<Self>) -> Self {
        match (self, maybe_done) {
            (
                Self::Refused(_) | Self::Unreachable { .. } | Self::Unavailable { .. },
                Some(earlier),
            ) => earlier,
            (last, _) => last,
        }
    }

    /// The error that a problem stands for.
    pub(crate) fn of(problem: Problem, key: Option<IdempotencyKey>) -> Self {
        match problem.outcome {
            ProblemOutcome::Refused => Self::Refused(Box::new(problem)),
            ProblemOutcome::Failed => Self::Failed(Box::new(problem)),
            ProblemOutcome::Unknown => Self::Unknown {
                reason: format!("{}: {}", problem.code, problem.detail),
                problem: Some(Box::new(problem)),
                key,
            },
        }
    }
}
