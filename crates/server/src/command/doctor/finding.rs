//! What is found, and how bad it is.

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Severity {
    /// Something does not work.
    Error,
    /// Something works worse than it should, or waits for an operator.
    Warning,
    /// Good to know; nothing is wrong.
    Notice,
}

impl Severity {
    /// Its name, for people.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Finding {
    /// How bad it is.
    pub(super) severity: Severity,
    /// Stable, for programs.
    pub(super) code: &'static str,
    /// What it is, for people.
    pub(super) what: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
    /// The nodes that it concerns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) nodes: Vec<u64>,
}

impl Finding {
    fn new(severity: Severity, code: &'static str, what: impl Into<String>) -> Self {
        Self { severity, code, what: what.into(), advice: None, nodes: Vec::new() }
    }

    /// Something does not work.
    pub(super) fn error(code: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, what)
    }

    /// Something works worse than it should, or waits for an operator.
    pub(super) fn warning(code: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, what)
    }

    /// Something to know.
    pub(super) fn notice(code: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Notice, code, what)
    }

    /// The same, with what to do.
    pub(super) fn advise(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }

    /// The same, which concerns these nodes.
    pub(super) fn of(self, nodes: impl IntoIterator<Item = u64>) -> Self {
        Self { nodes: nodes.into_iter().collect(), ..self }
    }
}

/// `node 1`, or `nodes 1, 2`.
pub(super) fn named(nodes: &[u64]) -> String {
    let ids: Vec<String> = nodes.iter().map(u64::to_string).collect();
    let noun = if nodes.len() == 1 { "node" } else { "nodes" };
    format!("{noun} {}", ids.join(", "))
}

/// `1 message`, or `7 messages`.
pub(super) fn counted(count: impl Into<u64>, noun: &str) -> String {
    match count.into() {
        1 => format!("1 {noun}"),
        many => format!("{many} {noun}s"),
    }
}
