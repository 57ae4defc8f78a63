//! What is described of one route.

use serde_json::{Value, json};

use super::{problems::Calls, shape::Shape};
use crate::Code;

/// One route, described.
#[derive(Clone)]
pub(crate) struct Operation {
    /// Its name in generated clients.
    pub(super) id: &'static str,
    /// Parameters beside those that its path holds.
    pub(super) parameters: Vec<Parameter>,
    /// What is said of the parameters that its path holds, where it differs from the usual.
    pub(super) path: Vec<Parameter>,
    /// Its body.
    pub(super) body: Option<Body>,
    /// Its answers beside problems.
    pub(crate) answers: Vec<Answer>,
    /// The problems that are its own.
    pub(super) problems: Vec<Code>,
    /// Whether and how it sends a message.
    pub(super) calls: Calls,
}

/// A parameter.
#[derive(Clone)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    /// `path`, `query` or `header`.
    pub(super) place: &'static str,
    pub(super) does: &'static str,
    pub(super) schema: Value,
}

/// A request's body.
#[derive(Clone)]
pub(super) struct Body {
    pub(super) does: &'static str,
    pub(super) is_required: bool,
    pub(super) contents: Vec<(&'static str, Shape)>,
}

/// An answer that is no problem.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(super) does: &'static str,
    pub(crate) contents: Vec<(&'static str, Shape)>,
    pub(crate) headers: Vec<&'static str>,
}

pub(super) const JSON: &str = "application/json";
pub(crate) const PROBLEM: &str = "application/problem+json";

impl Operation {
    pub(super) fn new(id: &'static str) -> Self {
        Self {
            id,
            parameters: Vec::new(),
            path: Vec::new(),
            body: None,
            answers: Vec::new(),
            problems: Vec::new(),
            calls: Calls::Nothing,
        }
    }

    pub(super) fn query(mut self, name: &'static str, does: &'static str, schema: Value) -> Self {
        self.parameters.push(Parameter { name, place: "query", does, schema });
        self
    }

    pub(super) fn header(mut self, name: &'static str, does: &'static str, schema: Value) -> Self {
        self.parameters.push(Parameter { name, place: "header", does, schema });
        self
    }

    pub(super) fn path(mut self, name: &'static str, does: &'static str, schema: Value) -> Self {
        self.path.push(Parameter { name, place: "path", does, schema });
        self
    }

    pub(super) fn body(mut self, does: &'static str, is_required: bool) -> Self {
        self.body = Some(Body { does, is_required, contents: Vec::new() });
        self
    }

    /// What the body may be.
    pub(super) fn takes(mut self, media_type: &'static str, shape: Shape) -> Self {
        if let Some(body) = &mut self.body {
            body.contents.push((media_type, shape));
        }
        self
    }

    pub(super) fn answer(mut self, status: u16, does: &'static str) -> Self {
        self.answers.push(Answer { status, does, contents: Vec::new(), headers: Vec::new() });
        self
    }

    /// What the last answer may be.
    pub(super) fn gives(mut self, media_type: &'static str, shape: Shape) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.contents.push((media_type, shape));
        }
        self
    }

    /// The headers of the last answer.
    pub(super) fn with(mut self, headers: &[&'static str]) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.headers.extend(headers);
        }
        self
    }

    pub(super) fn problems(mut self, codes: &[Code]) -> Self {
        self.problems.extend(codes);
        self
    }

    pub(super) fn calls(mut self, calls: Calls) -> Self {
        self.calls = calls;
        self
    }

    /// The parameters of a list that is read in pages.
    pub(super) fn paged(self) -> Self {
        self.query(
            "limit",
            "How many items a page has at most.",
            json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 }),
        )
        .query(
            "cursor",
            "Where to go on: `next` of the page before, under the same filters.",
            json!({ "type": "string" }),
        )
    }
}

/// A whole number with its unit.
pub(super) fn duration() -> Value {
    json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h)$", "examples": ["5s"] })
}

/// A parameter that is there or not.
pub(super) fn flag() -> Value {
    json!({ "type": "string", "enum": ["", "true", "1", "false", "0"], "default": "false" })
}

/// One of these texts.
pub(super) fn one_of<'a>(choices: impl IntoIterator<Item = &'a str>) -> Value {
    json!({ "type": "string", "enum": choices.into_iter().collect::<Vec<_>>() })
}
