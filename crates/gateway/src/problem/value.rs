//! One error, as a handler makes it.

use axum::{
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use quarry_types::{
    Failure, MessageId,
    api::{self, HealthStatus},
    ontology::PackProblem,
};

use super::Code;
use crate::trace::Trace;

/// One error. Status, outcome and the rest follow from its [`Code`], so that they cannot disagree;
/// trace id and path are added where it is written. As a response it has no body yet: the outermost
/// layer of the router writes it.
#[derive(Clone, Debug)]
pub struct Problem(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    code: Code,
    detail: String,
    entity_code: Option<String>,
    field: Option<String>,
    place: Option<(u32, u32)>,
    available: Vec<String>,
    problems: Vec<PackProblem>,
    retry_after_ms: Option<u32>,
    message_id: Option<MessageId>,
    headers: HeaderMap,
    health: Option<api::Health>,
}

/// When to try again where nobody said better.
const RETRY_AFTER_MS: u32 = 1_000;

impl Problem {
    /// A problem of kind `code`; `detail` is for people: who, what, where, what to do.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let waits = code.is_retryable() && matches!(code.status().as_u16(), 429 | 503);
        Self(Box::new(Parts {
            code,
            detail: detail.into(),
            entity_code: None,
            field: None,
            place: None,
            available: Vec::new(),
            problems: Vec::new(),
            retry_after_ms: waits.then_some(RETRY_AFTER_MS),
            message_id: None,
            headers: HeaderMap::new(),
            health: None,
        }))
    }

    /// Bad news of a node's health, told with what was looked at.
    pub(crate) fn ill(code: Code, health: api::Health) -> Self {
        let ill = health.checks.iter().filter(|check| check.status == HealthStatus::Unhealthy);
        let details: Vec<String> =
            ill.map(|check| format!("{}: {}", check.name, check.detail)).collect();
        let mut problem = Self::new(code, details.join("; "));
        problem.0.health = Some(health);
        problem
    }

    /// The final failure of a message, under the entity's own code.
    pub fn failed(failure: Failure, message_id: MessageId) -> Self {
        let mut problem = Self::new(Code::Failed, failure.message).message_id(message_id);
        problem.0.entity_code = Some(failure.code);
        problem
    }

    /// Names the header, parameter or member of the body that is at fault.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    /// The same problem under another code, where what is at fault is within the member `parent`.
    #[must_use]
    pub(crate) fn within(mut self, code: Code, parent: &str) -> Self {
        self.0.code = code;
        self.0.field = Some(match self.0.field.as_deref() {
            None | Some("body") => parent.to_owned(),
            Some(field) => format!("{parent}.{field}"),
        });
        self
    }

    /// Names the line and column at which JSON breaks, both from 1.
    #[must_use]
    pub fn place(mut self, line: u32, column: u32) -> Self {
        self.0.place = Some((line, column));
        self
    }

    /// Lists what exists.
    #[must_use]
    pub fn available(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.0.available = names.into_iter().map(Into::into).collect();
        self
    }

    /// Lists the mistakes in a pack.
    #[must_use]
    pub fn problems(mut self, problems: impl IntoIterator<Item = PackProblem>) -> Self {
        self.0.problems = problems.into_iter().collect();
        self
    }

    /// Says when a retry may succeed.
    #[must_use]
    pub fn retry_after_ms(mut self, milliseconds: u32) -> Self {
        self.0.retry_after_ms = Some(milliseconds);
        self
    }

    /// Names the message.
    #[must_use]
    pub fn message_id(mut self, message_id: MessageId) -> Self {
        self.0.message_id = Some(message_id);
        self
    }

    /// Adds headers to the answer.
    #[must_use]
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        self.0.headers.extend(headers);
        self
    }

    /// Its kind.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The header, parameter or member of the body that is at fault.
    pub(crate) fn named(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    /// What is said to people.
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Takes the headers that go with the answer.
    pub(super) fn take_headers(&mut self) -> HeaderMap {
        std::mem::take(&mut self.0.headers)
    }

    /// Takes what was looked at, where the problem is a node's health.
    pub(super) fn take_health(&mut self) -> Option<api::Health> {
        self.0.health.take()
    }

    /// When a retry may succeed, in milliseconds.
    pub(super) fn waits_ms(&self) -> Option<u32> {
        self.0.retry_after_ms
    }

    /// The document as it would be sent in some trace.
    #[cfg(test)]
    pub(crate) fn document_for_test(self) -> api::Problem {
        self.document(&Trace::new(&*quarry_ports::Host::system().random), "/")
    }

    /// The document that is sent.
    pub(crate) fn document(self, trace: &Trace, instance: &str) -> api::Problem {
        let Parts { code, detail, entity_code, field, place, available, problems, .. } = *self.0;
        let name = entity_code.unwrap_or_else(|| code.as_str().to_owned());
        api::Problem {
            kind: format!("urn:quarry:problem:{}", code.as_str()),
            title: code.title(),
            status: code.status().as_u16(),
            detail,
            instance: instance.to_owned(),
            code: name,
            trace_id: trace.trace_id().to_owned(),
            retryable: code.is_retryable(),
            outcome: code.outcome(),
            field,
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
            available,
            problems,
            retry_after_ms: self.0.retry_after_ms,
            message_id: self.0.message_id.map(|id| id.to_string()),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.0.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}
