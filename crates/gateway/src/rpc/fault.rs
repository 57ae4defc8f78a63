//! How procedures fail: by what their callers know as typed errors, or as malformed calls.

use quarry_types::{Failure, RefusalCode, UnknownCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Code, Problem, extractions::REQUEST_REUSED};

/// An error that callers tell by its tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct TypedError {
    /// Which error it is.
    #[serde(rename = "_tag")]
    pub(crate) tag: ErrorTag,
    /// What happened, for people.
    pub(crate) message: String,
}

/// The errors that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum ErrorTag {
    /// The language model, or the way to it, failed.
    LlmError,
    /// There is no such ontology, or it is not good.
    OntologyError,
    /// It took longer than the caller would wait; it may go on.
    TimeoutError,
    /// The cluster or something that it leans on does not answer.
    ServiceUnavailable,
    /// Nothing was extracted.
    NoResult,
    /// The extraction ended, or was set aside, before its end.
    IncompleteResult,
    /// An answer of a model could not be read.
    ParseError,
    /// There is too much to do.
    RateLimitExceeded,
    /// The store of the limits does not answer.
    RateLimitStoreError,
}

/// Why a procedure did not succeed.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The call is malformed: nothing was done.
    Malformed(Problem),
    /// The call was good.
    Typed(TypedError),
}

impl Fault {
    pub(super) fn typed(tag: ErrorTag, message: impl Into<String>) -> Self {
        Self::Typed(TypedError { tag, message: message.into() })
    }
}

/// What the gateway says by itself. A malformed part is within the call's payload.
impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        let tag = match problem.code() {
            Code::UnknownOntology => ErrorTag::OntologyError,
            Code::InvalidSubmission | Code::BodyTooLarge | Code::InvalidName => {
                return Self::Malformed(problem.within(Code::InvalidCall, "payload"));
            }
            Code::RequestReused | Code::InvalidCall => return Self::Malformed(problem),
            Code::Refused(RefusalCode::Overloaded) | Code::GatewayBusy => {
                ErrorTag::RateLimitExceeded
            }
            Code::Refused(RefusalCode::Deadline)
            | Code::Unknown(UnknownCode::Deadline)
            | Code::ReadTimeout
            | Code::ChangeTimeout => ErrorTag::TimeoutError,
            Code::Unknown(UnknownCode::Quarantined) => ErrorTag::IncompleteResult,
            _ => ErrorTag::ServiceUnavailable,
        };
        Self::typed(tag, problem.detail())
    }
}

/// What the extractor declares as its outcome: by the tag that it uses, where it uses one.
impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        let Failure { code, message } = failure;
        if code == REQUEST_REUSED {
            let problem = Problem::new(Code::RequestReused, message);
            return Self::Malformed(problem.field("payload.requestId"));
        }
        let tag = match code.as_str() {
            "LlmError" => ErrorTag::LlmError,
            "OntologyError" | "invalid_submission" => ErrorTag::OntologyError,
            "TimeoutError" => ErrorTag::TimeoutError,
            "ServiceUnavailable" => ErrorTag::ServiceUnavailable,
            "NoResult" => ErrorTag::NoResult,
            "ParseError" => ErrorTag::ParseError,
            "RateLimitExceeded" => ErrorTag::RateLimitExceeded,
            "RateLimitStoreError" => ErrorTag::RateLimitStoreError,
            _ => ErrorTag::IncompleteResult,
        };
        Self::typed(tag, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(fault: Fault) -> Option<ErrorTag> {
        match fault {
            Fault::Typed(error) => Some(error.tag),
            Fault::Malformed(_) => None,
        }
    }

    #[test]
    fn every_error_of_the_runtime_has_a_tag() {
        for (code, expected) in [
            (Code::Refused(RefusalCode::Overloaded), ErrorTag::RateLimitExceeded),
            (Code::Refused(RefusalCode::NoOwner), ErrorTag::ServiceUnavailable),
            (Code::Unknown(UnknownCode::Deadline), ErrorTag::TimeoutError),
            (Code::Unknown(UnknownCode::OwnerLost), ErrorTag::ServiceUnavailable),
            (Code::Unknown(UnknownCode::Quarantined), ErrorTag::IncompleteResult),
            (Code::StoreUnavailable, ErrorTag::ServiceUnavailable),
            (Code::UnknownOntology, ErrorTag::OntologyError),
            (Code::NoProvider, ErrorTag::ServiceUnavailable),
        ] {
            assert_eq!(tag(Problem::new(code, "so").into()), Some(expected), "{code:?}");
        }
    }

    #[test]
    fn an_outcome_keeps_the_tag_that_the_extractor_gave_it() {
        let failure = |code: &str| Failure { code: code.to_owned(), message: "so".to_owned() };
        assert_eq!(tag(failure("LlmError").into()), Some(ErrorTag::LlmError));
        assert_eq!(tag(failure("NoResult").into()), Some(ErrorTag::NoResult));
        assert_eq!(tag(failure("dropped").into()), Some(ErrorTag::IncompleteResult));
        assert_eq!(tag(failure(REQUEST_REUSED).into()), None);
    }

    #[test]
    fn a_malformed_part_is_named_from_the_root_of_the_call() {
        let problem = Problem::new(Code::InvalidSubmission, "so").field("options.overlap");
        let Fault::Malformed(problem) = Fault::from(problem) else { panic!("typed") };
        let document = problem.document_for_test();
        assert_eq!(
            (document.status, document.field.as_deref()),
            (400, Some("payload.options.overlap"))
        );
    }
}
