//! An HTTP client that keeps apart what must be kept apart: done, failed, refused, unknown.
//!
//! It shares no code with the project's own client, which is itself under test.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::{StatusCode, header};
use serde::Deserialize;
use serde_json::Value;

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(5);
/// How long one may take of a patient client.
const PATIENT: Duration = Duration::from_secs(15);

/// The code of an attempt that met nobody.
pub const NO_CONNECTION: &str = "no_connection";
/// With this an attempt's reason begins whose connection ended before its answer came.
pub const BROKEN: &str = "the connection broke";

/// How a call ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Handled, with this reply.
    Done {
        /// The reply.
        body: Value,
        /// Whether the outcome stood before this call.
        replayed: bool,
    },
    /// Handled; the handler's outcome is a failure.
    Failed(Problem),
    /// Surely not done.
    Refused(Problem),
    /// May have been done.
    Unknown(String),
}

/// What an error answer must hold.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Problem {
    /// The status with which it came; 0 where nobody answered.
    #[serde(skip)]
    pub status: u16,
    /// Stable name of the error.
    pub code: String,
    /// How the call ended.
    pub outcome: ProblemOutcome,
    /// Whether another attempt may end differently.
    pub retryable: bool,
    /// When another attempt may do so, in milliseconds.
    #[serde(default)]
    pub retry_after_ms: Option<u64>,
    /// What happened, for people.
    #[serde(default)]
    pub detail: String,
}

/// The three ways in which a call can end badly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProblemOutcome {
    /// Surely not done.
    Refused,
    /// Done, and failed.
    Failed,
    /// May have been done.
    Unknown,
}

/// One message to an entity.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    /// The entity's type.
    pub entity_type: &'a str,
    /// Its id; of letters, digits and dashes here.
    pub id: &'a str,
    /// The method.
    pub method: &'a str,
    /// The idempotency key.
    pub key: Option<&'a str>,
    /// The payload.
    pub body: &'a Value,
}

/// Sends messages and reads pages. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client(reqwest::Client);

impl Client {
    /// A client that takes no proxy and follows no redirect.
    pub fn new() -> Result<Self> {
        Self::waiting(ATTEMPT)
    }

    /// The same, for a machine that may be busy, or a node that may hold a request for long.
    pub fn patient() -> Result<Self> {
        Self::waiting(PATIENT)
    }

    fn waiting(attempt: Duration) -> Result<Self> {
        let builder = reqwest::Client::builder().no_proxy().timeout(attempt);
        Ok(Self(builder.redirect(reqwest::redirect::Policy::none()).build()?))
    }

    /// Sends `message` to the node at `base`, once. An error is a broken contract, or a message
    /// that cannot be sent.
    pub async fn send(&self, base: &str, message: &Message<'_>) -> Result<Answer> {
        self.send_with(base, message, "").await
    }

    /// As [`Client::send`], with a query string.
    pub async fn send_with(
        &self,
        base: &str,
        message: &Message<'_>,
        query: &str,
    ) -> Result<Answer> {
        let Message { entity_type, id, method, key, body } = message;
        let address = format!("{base}/v1/entities/{entity_type}/{id}/{method}{query}");
        let mut request = self.0.post(address).json(body);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", *key);
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_connect() => return Ok(Answer::Refused(no_connection())),
            Err(error) if error.is_builder() => return Err(error.into()),
            Err(error) => return Ok(broken(error)),
        };
        let status = response.status();
        let text = |name| {
            let value = response.headers().get(name);
            value.and_then(|value: &header::HeaderValue| value.to_str().ok()).unwrap_or_default()
        };
        let media_type = text("content-type").to_owned();
        let replayed = text("idempotency-replayed") == "true";
        let retry_after = text("retry-after").parse().ok();
        let head = Head { status, media_type, replayed, retry_after };
        match response.bytes().await {
            Ok(body) => classify(&head, &body)
                .with_context(|| format!("{base}: {entity_type}/{id} {method}")),
            Err(error) => Ok(broken(error)),
        }
    }

    /// Sends `messages` to the node at `base` in one request; the status of each, or `None` where
    /// there was no answer to them all.
    pub async fn batch(&self, base: &str, messages: &[Value]) -> Result<Option<Vec<u64>>> {
        let request = self.0.post(format!("{base}/v1/messages:batch"));
        let sent = request.json(&serde_json::json!({ "messages": messages })).send().await;
        let Ok(response) = sent else { return Ok(None) };
        let status = response.status();
        let Ok(body) = response.bytes().await else { return Ok(None) };
        ensure!(status.is_success(), "{base}: a batch was answered {status}");
        let body: Value = serde_json::from_slice(&body)?;
        let answers = body.get("answers").and_then(Value::as_array).context("no answers")?;
        ensure!(answers.len() == messages.len(), "{base}: not an answer for each message");
        let status = |answer: &Value| answer.get("status").and_then(Value::as_u64);
        answers.iter().map(status).collect::<Option<_>>().context("no status").map(Some)
    }

    /// The status of a page; `None` if the node could not be reached.
    pub async fn status(&self, url: &str) -> Option<StatusCode> {
        Some(self.0.get(url).send().await.ok()?.status())
    }

    /// The text of a page, whatever its status; `None` if the node could not be reached.
    pub async fn page(&self, url: &str) -> Option<(StatusCode, String)> {
        let response = self.0.get(url).send().await.ok()?;
        Some((response.status(), response.text().await.ok()?))
    }

    /// The text of a page.
    pub async fn text(&self, url: &str) -> Result<String> {
        let response = self.0.get(url).send().await?;
        let status = response.status();
        ensure!(status.is_success(), "{url}: {status}");
        Ok(response.text().await?)
    }
}

/// With all that is known of how it broke.
fn broken(error: reqwest::Error) -> Answer {
    Answer::Unknown(format!("{BROKEN}: {:#}", anyhow::Error::from(error)))
}

fn no_connection() -> Problem {
    Problem {
        status: 0,
        code: NO_CONNECTION.to_owned(),
        outcome: ProblemOutcome::Refused,
        retryable: true,
        retry_after_ms: None,
        detail: "nobody listens there".to_owned(),
    }
}

/// What an answer says before its body.
struct Head {
    status: StatusCode,
    media_type: String,
    replayed: bool,
    /// In seconds.
    retry_after: Option<u64>,
}

/// What an answer means. Whatever is neither a success nor a problem with an outcome breaks the
/// contract, and so does one whose head and body disagree about when to try again.
fn classify(head: &Head, body: &[u8]) -> Result<Answer> {
    let Head { status, media_type, replayed, retry_after } = head;
    let shown = || String::from_utf8_lossy(body).into_owned();
    if status.is_success() {
        let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(body)? };
        return Ok(Answer::Done { body, replayed: *replayed });
    }
    if !media_type.starts_with("application/problem+json") {
        bail!("{status} as {media_type:?}, not as a problem: {}", shown());
    }
    let mut problem: Problem = serde_json::from_slice(body).with_context(shown)?;
    problem.status = status.as_u16();
    let rounded_up = problem.retry_after_ms.map(|milliseconds| milliseconds.div_ceil(1_000));
    ensure!(*retry_after == rounded_up, "Retry-After is {retry_after:?} s: {}", shown());
    Ok(match problem.outcome {
        ProblemOutcome::Refused => Answer::Refused(problem),
        ProblemOutcome::Failed => Answer::Failed(problem),
        ProblemOutcome::Unknown => Answer::Unknown(problem.code),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PROBLEM: &str = "application/problem+json";

    fn answer(status: u16, media_type: &str, body: &Value) -> Result<Answer> {
        let (status, media_type) = (StatusCode::from_u16(status)?, media_type.to_owned());
        let head = Head { status, media_type, replayed: false, retry_after: None };
        classify(&head, body.to_string().as_bytes())
    }

    fn problem(outcome: &str) -> Value {
        json!({"code": "no_owner", "outcome": outcome, "retryable": true, "trace_id": "t"})
    }

    #[test]
    fn success_is_done() -> Result<()> {
        let body = json!({"seq": 1});
        let done = answer(200, "application/json", &body)?;
        assert_eq!(done, Answer::Done { body, replayed: false });
        Ok(())
    }

    #[test]
    fn the_outcome_of_a_problem_decides_not_its_status() -> Result<()> {
        assert!(matches!(answer(503, PROBLEM, &problem("refused"))?, Answer::Refused(_)));
        assert!(matches!(answer(503, PROBLEM, &problem("unknown"))?, Answer::Unknown(_)));
        assert!(matches!(answer(500, PROBLEM, &problem("failed"))?, Answer::Failed(_)));
        Ok(())
    }

    #[test]
    fn an_error_that_is_no_problem_breaks_the_contract() {
        assert!(answer(503, "text/plain", &json!("busy")).is_err());
        assert!(answer(503, PROBLEM, &json!({"title": "busy"})).is_err());
        assert!(answer(503, PROBLEM, &problem("perhaps")).is_err());
        let mut later = problem("refused");
        later["retry_after_ms"] = 500.into();
        assert!(answer(503, PROBLEM, &later).is_err(), "the head does not say so");
    }

    #[tokio::test]
    async fn a_closed_port_refuses() -> Result<()> {
        let block = crate::process::PortBlock::claim()?;
        let base = format!("http://{}", block.address(0)?);
        let message = Message {
            entity_type: "Register",
            id: "a",
            method: "read",
            key: None,
            body: &json!({}),
        };
        let answer = Client::new()?.send(&base, &message).await?;
        assert_eq!(answer, Answer::Refused(no_connection()));
        Ok(())
    }
}
