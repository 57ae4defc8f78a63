//! The server that a command talks to, and what its errors mean for the exit code.

use quarry_client::{Client, ClientError, Credentials};
use quarry_types::{Address, Tenant, api::Problem};

use crate::{
    cli::Global,
    configuration::{self, Sources},
    failure::{Exit, Failure},
    output::Output,
};

/// Where a development node answers.
pub(crate) const DEFAULT_URL: &str = "http://127.0.0.1:7410";

/// A client of the server that `--url` names; several may be parted by commas.
pub(crate) fn connect(global: &Global) -> Result<Client, Failure> {
    if let Some(path) = &global.config {
        // Nothing in it is for a client; that it is there and right is what its user takes for given.
        configuration::load(Sources::of_process(Some(path)))?;
    }
    let urls = global.url.as_deref().unwrap_or(DEFAULT_URL);
    let credentials = global.token.as_deref().map(Credentials::bearer);
    let client = Client::new(urls.split(',').map(str::trim), credentials)
        .map_err(|error| Failure::new(Exit::Usage, format!("{}: {error}", url_name(urls))))?;
    let output = Output::new(global);
    Ok(client.listening(move |error| output.say(&format!("{error}; trying again"))))
}

/// What gave the address `urls`: the flag, or the variable that stands for it.
fn url_name(urls: &str) -> &'static str {
    let is_variable = std::env::var("QUARRY_URL").is_ok_and(|value| value == urls);
    if is_variable { "QUARRY_URL" } else { "--url" }
}

/// The entity that was typed.
pub(crate) fn address(text: &str) -> Result<Address, Failure> {
    Address::parse(Tenant::default_tenant(), text)
        .map_err(|error| Failure::new(Exit::Usage, error.to_string()))
}

/// What `error` means for a command that may be run again, because that repeats nothing.
pub(crate) fn again(error: ClientError) -> Failure {
    let is_unknown = matches!(error, ClientError::Unknown { .. });
    let failure = Failure::from(error);
    if is_unknown {
        return failure.advise("run the same command again; what is done is not done again");
    }
    failure
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match &error {
            ClientError::Refused(problem) => of_problem(exit_of(problem), problem),
            ClientError::Failed(problem) => of_problem(Exit::Failed, problem),
            ClientError::Unknown { reason, key, .. } => {
                let message = format!("it is not known whether it was done: {reason}");
                let failure = Self::new(Exit::Unavailable, message);
                match key {
                    Some(key) => {
                        failure.advise(format!("ask again with the same key: --key {key}"))
                    }
                    None => failure,
                }
            }
            ClientError::Unreachable { .. } => Self::new(Exit::Unavailable, error.to_string())
                .advise("start one with `quarry dev`, or name one with --url"),
            ClientError::Unavailable { reason } => {
                Self::new(Exit::Unavailable, format!("no answer: {reason}"))
            }
            ClientError::Foreign { .. } => Self::new(Exit::Unavailable, error.to_string())
                .advise("name the HTTP address of a node with --url"),
            ClientError::Invalid { .. } => Self::new(Exit::Usage, error.to_string()),
        }
    }
}

fn of_problem(exit: Exit, problem: &Problem) -> Failure {
    let failure = Failure::new(exit, format!("{} ({})", problem.detail, problem.code));
    if problem.available.is_empty() {
        return failure;
    }
    failure.advise(format!("there are {}", problem.available.join(", ")))
}

fn exit_of(problem: &Problem) -> Exit {
    match (problem.status, problem.code.as_str()) {
        // No Quarry server said so.
        (_, "foreign") => Exit::Unavailable,
        (404, _) | (_, "unknown_ontology") => Exit::NotFound,
        (400 | 405 | 413 | 415, _) | (_, "invalid_payload" | "invalid_ontology") => Exit::Usage,
        _ if problem.retryable => Exit::Unavailable,
        _ => Exit::Refused,
    }
}

#[cfg(test)]
mod tests {
    use quarry_types::api::ProblemOutcome;

    use super::*;

    fn problem(status: u16, retryable: bool) -> Problem {
        Problem {
            kind: "about:blank".into(),
            title: String::new(),
            status,
            detail: "it is so".into(),
            instance: String::new(),
            code: "code".into(),
            trace_id: String::new(),
            retryable,
            outcome: ProblemOutcome::Refused,
            field: None,
            line: None,
            column: None,
            available: vec!["Counter".into()],
            problems: Vec::new(),
            retry_after_ms: None,
            message_id: None,
        }
    }

    #[test]
    fn every_answer_has_its_exit_code() {
        let refused = |status, retryable| {
            Failure::from(ClientError::Refused(Box::new(problem(status, retryable)))).exit
        };
        assert_eq!(refused(404, false), Exit::NotFound);
        assert_eq!(refused(400, false), Exit::Usage);
        assert_eq!(refused(422, false), Exit::Refused);
        assert_eq!(refused(503, true), Exit::Unavailable);
        let failed = ClientError::Failed(Box::new(problem(409, false)));
        assert_eq!(Failure::from(failed).exit, Exit::Failed);
        let unavailable = ClientError::Unavailable { reason: "away".into() };
        assert_eq!(Failure::from(unavailable).exit, Exit::Unavailable);
    }

    #[test]
    fn what_exists_is_named() {
        let failure = Failure::from(ClientError::Refused(Box::new(problem(404, false))));
        assert!(failure.to_string().contains("there are Counter"), "{failure}");
    }
}
