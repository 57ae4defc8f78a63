//! The one file that maps codes to HTTP.
//!
//! On a call, the status alone tells the three answers apart (G6): 200 and 202 are *done* and
//! *accepted*, 409 is *done* with a final failure, 504 and 500 are *unknown*, all others are
//! *refused*.

use axum::http::StatusCode;
use quarry_types::{RefusalCode, UnknownCode, api::ProblemOutcome};

/// Every kind of problem that the interface answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The runtime surely did not do it.
    Refused(RefusalCode),
    /// The runtime does not know whether it was done.
    Unknown(UnknownCode),
    /// The message's outcome is a failure; the code shown is the entity's.
    Failed,
    /// The path holds a bad percent escape or no UTF-8.
    MalformedPath,
    /// A name in the path breaks its rule.
    InvalidName,
    /// The route has no such query parameter.
    UnknownParameter,
    /// A query parameter has a value that it cannot have.
    InvalidParameter,
    /// A header has a value that it cannot have.
    InvalidHeader,
    /// The body is not JSON.
    MalformedJson,
    /// The body could not be read to its end.
    UnreadableBody,
    /// A member of the body is missing, unknown, or has a value that it cannot have.
    InvalidBody,
    /// The route takes no body.
    UnexpectedBody,
    /// The body is larger than the limit.
    BodyTooLarge,
    /// The body did not come in time.
    BodyTimeout,
    /// The body is of another type than JSON.
    UnsupportedMediaType,
    /// The client takes no JSON.
    NotAcceptable,
    /// No such route.
    NoSuchRoute,
    /// The route does not have the method.
    MethodNotAllowed,
    /// No such message.
    NoSuchMessage,
    /// Nothing is stored of the entity.
    NoSuchEntity,
    /// Nothing was extracted under this request id.
    NoSuchExtraction,
    /// The extraction has no graph yet; it is open.
    NotYetExtracted,
    /// The graph cannot be written in the format that was asked for.
    NotWritable,
    /// The request id stands for another extraction (G5).
    RequestReused,
    /// No such ontology.
    UnknownOntology,
    /// A submission is well-formed and cannot be taken.
    InvalidSubmission,
    /// A submission asks for a language model, and none is configured.
    NoProvider,
    /// A procedure call is malformed.
    InvalidCall,
    /// There is no such ontology to look at.
    NoSuchOntology,
    /// A pack is not good.
    InvalidOntology,
    /// The ontology is built in and cannot be changed.
    BuiltInOntology,
    /// What stands there is not what the client's precondition demands.
    PreconditionFailed,
    /// Nothing is recorded in the journal.
    NoSuchJournal,
    /// No such node.
    NoSuchNode,
    /// No such shard, and there never was.
    NoSuchShard,
    /// A call without a stored outcome cannot be answered later.
    NotDurable,
    /// Too many requests are in flight on this node.
    GatewayBusy,
    /// A read took longer than the limit.
    ReadTimeout,
    /// A change took longer than the limit.
    ChangeTimeout,
    /// A read made the program panic.
    ReadPanic,
    /// A change made the program panic.
    ChangePanic,
    /// The store did not answer.
    StoreUnavailable,
    /// The store holds what this program cannot read.
    StoreCorrupt,
    /// The coordinator did not answer.
    CoordinatorUnavailable,
    /// The state of the cluster forbids it.
    ClusterRefused,
    /// The state of the cluster forbids it for now.
    ClusterBusy,
    /// The node takes no work now.
    NotReady,
    /// The node cannot do its work.
    Unhealthy,
    /// What came is no HTTP request.
    MalformedRequest,
    /// The request's target is too long.
    TargetTooLong,
    /// The request's headers are too large.
    HeadersTooLarge,
    /// The framework refused it.
    Http(StatusCode),
}

impl Code {
    /// The code as programs see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused(code) => code.as_str(),
            Self::Unknown(code) => code.as_str(),
            Self::Failed => "failed",
            Self::MalformedPath => "malformed_path",
            Self::InvalidName => "invalid_name",
            Self::UnknownParameter => "unknown_parameter",
            Self::InvalidParameter => "invalid_parameter",
            Self::InvalidHeader => "invalid_header",
            Self::MalformedJson => "malformed_json",
            Self::UnreadableBody => "unreadable_body",
            Self::InvalidBody => "invalid_body",
            Self::UnexpectedBody => "unexpected_body",
            Self::BodyTooLarge => "too_large",
            Self::BodyTimeout => "body_timeout",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::NotAcceptable => "not_acceptable",
            Self::NoSuchRoute => "no_such_route",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NoSuchMessage => "no_such_message",
            Self::NoSuchEntity => "no_such_entity",
            Self::NoSuchExtraction => "no_such_extraction",
            Self::NotYetExtracted => "not_yet_extracted",
            Self::NotWritable => "not_writable",
            Self::RequestReused => "request_reused",
            Self::UnknownOntology => "unknown_ontology",
            Self::InvalidSubmission => "invalid_payload",
            Self::NoProvider => "no_provider",
            Self::InvalidCall => "invalid_call",
            Self::NoSuchOntology => "no_such_ontology",
            Self::InvalidOntology => "invalid_ontology",
            Self::BuiltInOntology => "built_in",
            Self::PreconditionFailed => "precondition_failed",
            Self::NoSuchJournal => "no_such_journal",
            Self::NoSuchNode => "no_such_node",
            Self::NoSuchShard => "no_such_shard",
            Self::NotDurable => "not_durable",
            Self::GatewayBusy => "gateway_busy",
            Self::ReadTimeout | Self::ChangeTimeout => "timeout",
            Self::ReadPanic | Self::ChangePanic => "internal",
            Self::StoreUnavailable => "store_unavailable",
            Self::StoreCorrupt => "store_corrupt",
            Self::CoordinatorUnavailable => "coordinator_unavailable",
            Self::ClusterRefused => "cluster_refused",
            Self::ClusterBusy => "cluster_busy",
            Self::NotReady => "not_ready",
            Self::Unhealthy => "unhealthy",
            Self::MalformedRequest => "malformed_request",
            Self::TargetTooLong => "target_too_long",
            Self::HeadersTooLarge => "headers_too_large",
            Self::Http(_) => "http",
        }
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Refused(code) => refused(code),
            Self::Unknown(_) | Self::ChangeTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Failed | Self::BuiltInOntology => StatusCode::CONFLICT,
            Self::MalformedRequest
            | Self::MalformedPath
            | Self::InvalidName
            | Self::UnknownParameter
            | Self::InvalidParameter
            | Self::InvalidHeader
            | Self::MalformedJson
            | Self::UnreadableBody
            | Self::InvalidBody
            | Self::UnexpectedBody
            | Self::InvalidCall
            | Self::NotDurable => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::NoSuchRoute
            | Self::NoSuchMessage
            | Self::NoSuchEntity
            | Self::NoSuchExtraction
            | Self::NotYetExtracted
            | Self::NoSuchOntology
            | Self::NoSuchJournal
            | Self::NoSuchNode
            | Self::NoSuchShard => StatusCode::NOT_FOUND,
            Self::NotWritable
            | Self::RequestReused
            | Self::UnknownOntology
            | Self::InvalidOntology
            | Self::InvalidSubmission => StatusCode::UNPROCESSABLE_ENTITY,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::GatewayBusy
            | Self::ReadTimeout
            | Self::NoProvider
            | Self::StoreUnavailable
            | Self::CoordinatorUnavailable
            | Self::ClusterBusy
            | Self::NotReady
            | Self::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
            Self::ReadPanic | Self::ChangePanic | Self::StoreCorrupt => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Self::ClusterRefused | Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Http(status) => status,
        }
    }

    /// What is known of the call's effect.
    #[must_use]
    pub const fn outcome(self) -> ProblemOutcome {
        match self {
            Self::Failed => ProblemOutcome::Failed,
            Self::Unknown(_) | Self::ChangeTimeout | Self::ChangePanic => ProblemOutcome::Unknown,
            _ => ProblemOutcome::Refused,
        }
    }

    /// Whether the same request may succeed later without a change.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::Refused(code) => code.is_retryable(),
            // An operator decides about a quarantined message; asking again changes nothing.
            Self::Unknown(code) => !matches!(code, UnknownCode::Quarantined),
            Self::UnreadableBody
            | Self::BodyTimeout
            | Self::GatewayBusy
            | Self::NotYetExtracted
            | Self::ReadTimeout
            | Self::ChangeTimeout
            | Self::ChangePanic
            | Self::StoreUnavailable
            | Self::CoordinatorUnavailable
            | Self::ClusterBusy
            | Self::NotReady
            | Self::Unhealthy => true,
            _ => false,
        }
    }

    /// The kind of problem, for people.
    #[must_use]
    pub fn title(self) -> String {
        let words = self.as_str().replace('_', " ");
        let mut letters = words.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters).collect()
    }
}

/// 429 where this entity or node has too much to do, 503 where the cluster cannot serve it now.
const fn refused(code: RefusalCode) -> StatusCode {
    match code {
        RefusalCode::NotOwner(_)
        | RefusalCode::NoOwner
        | RefusalCode::LeaseOver
        | RefusalCode::Draining
        | RefusalCode::StoreUnavailable
        | RefusalCode::Deadline => StatusCode::SERVICE_UNAVAILABLE,
        RefusalCode::Overloaded => StatusCode::TOO_MANY_REQUESTS,
        RefusalCode::UnknownType | RefusalCode::UnknownMethod | RefusalCode::NoSuchMessage => {
            StatusCode::NOT_FOUND
        }
        RefusalCode::AlreadyFinished | RefusalCode::NotQuarantined => StatusCode::CONFLICT,
        RefusalCode::InvalidPayload | RefusalCode::KeyReused | RefusalCode::HandlerFailed => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        RefusalCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
    }
}
