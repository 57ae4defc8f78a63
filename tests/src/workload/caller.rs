//! One call, with all its attempts under one key.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, bail};
use serde_json::Value;

use crate::{
    client::{Answer, BROKEN, Client, Message, NO_CONNECTION},
    wait::Looks,
};

/// How long one call may take, with all its attempts.
pub(super) const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

/// Sends messages through several addresses in turn.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) client: Client,
    urls: Arc<[String]>,
    noted: Arc<Noted>,
}

/// What became of attempts that were not answered with success.
#[derive(Debug, Default)]
struct Noted {
    failed: Mutex<Vec<String>>,
    broken: Mutex<Vec<String>>,
    passed_over: AtomicU32,
}

/// How a call ended that was tried for as long as it may take.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Asked {
    /// With this reply.
    Done(Value),
    /// Every attempt was refused: surely not done.
    Refused,
    /// It may have been done.
    Unknown,
}

impl Caller {
    pub(super) fn new(client: Client, urls: Vec<String>) -> Self {
        Self { client, urls: urls.into(), noted: Arc::default() }
    }

    /// The same client, through `urls` only, whose attempts are noted by themselves.
    pub(super) fn through(&self, urls: Vec<String>) -> Self {
        Self::new(self.client.clone(), urls)
    }

    /// The attempts so far that a node answered, and not with success: refused, or saying that nobody
    /// knows what became of them. Of calls that are sent once, also those whose connection broke.
    pub(super) fn failed(&self) -> Vec<String> {
        self.noted.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The attempts so far whose connection broke, and which were repeated under their key.
    pub(super) fn broken(&self) -> Vec<String> {
        self.noted.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often an address was passed over so far, at which nobody took connections: nothing was sent.
    pub(super) fn passed_over(&self) -> u32 {
        self.noted.passed_over.load(Ordering::Relaxed)
    }

    fn failure(&self, message: &Message<'_>, what: &dyn fmt::Debug) {
        note(&self.noted.failed, message, what);
    }

    /// How many addresses there are.
    pub(super) fn addresses(&self) -> usize {
        self.urls.len()
    }

    /// The address of an attempt; they take turns.
    pub(super) fn url(&self, attempt: usize) -> &str {
        let mut urls = self.urls.iter().cycle().skip(attempt % self.urls.len().max(1));
        urls.next().map(String::as_str).unwrap_or_default()
    }

    /// Sends `message`, which has a key, at each address in turn from `first` on, until it is
    /// answered with success or time is over. An outcome that is a failure, and a refusal that no
    /// other attempt can change, are errors: nothing that is sent here deserves one.
    pub(super) async fn ask(&self, message: &Message<'_>, first: usize) -> Result<Asked> {
        let mut perhaps_done = false;
        let mut looks = Looks::during(ANSWERED_WITHIN);
        let mut attempt = first;
        while looks.next().await {
            let answer = self.client.send(self.url(attempt), message).await?;
            attempt += 1;
            match answer {
                Answer::Done { body, .. } => return Ok(Asked::Done(body)),
                Answer::Unknown(reason) => {
                    // HTTP leaves it to the client to repeat a request that came in the moment in which
                    // a node that ends closed its connection.
                    let is_broken = reason.starts_with(BROKEN);
                    let noted = if is_broken { &self.noted.broken } else { &self.noted.failed };
                    note(noted, message, &reason);
                    perhaps_done = true;
                }
                Answer::Refused(problem) if problem.code == NO_CONNECTION => {
                    self.noted.passed_over.fetch_add(1, Ordering::Relaxed);
                }
                Answer::Refused(problem) if problem.retryable => self.failure(message, &problem),
                Answer::Refused(problem) | Answer::Failed(problem) => {
                    let Message { entity_type, id, method, key, .. } = message;
                    bail!("{entity_type}/{id} {method}, key {key:?}: {problem:?}");
                }
            }
        }
        Ok(if perhaps_done { Asked::Unknown } else { Asked::Refused })
    }

    /// Sends `message` once, to the first address from `first` on at which somebody takes connections: a
    /// client knows to go on where nothing was sent, and of nothing else whether it was done. Answers
    /// whether it was answered with success; all else, a connection that broke too, is noted as failed.
    pub(super) async fn ask_once(&self, message: &Message<'_>, first: usize) -> Result<bool> {
        for attempt in first..first + self.addresses() {
            let answer = self.client.send(self.url(attempt), message).await?;
            match answer {
                Answer::Done { .. } => return Ok(true),
                Answer::Refused(problem) if problem.code == NO_CONNECTION => {
                    self.noted.passed_over.fetch_add(1, Ordering::Relaxed);
                }
                other => {
                    self.failure(message, &other);
                    return Ok(false);
                }
            }
        }
        self.failure(message, &"nobody takes connections");
        Ok(false)
    }
}

fn note(noted: &Mutex<Vec<String>>, message: &Message<'_>, what: &dyn fmt::Debug) {
    let Message { entity_type, id, method, .. } = message;
    let text = format!("{entity_type}/{id} {method}: {what:?}");
    noted.lock().unwrap_or_else(PoisonError::into_inner).push(text);
}
