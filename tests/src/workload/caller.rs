//! One call, with all its attempts under one key.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
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
    failed: Arc<Mutex<Vec<String>>>,
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
        Self { client, urls: urls.into(), failed: Arc::default() }
    }

    /// The same client, through `urls` only, whose attempts are noted by themselves.
    pub(super) fn through(&self, urls: Vec<String>) -> Self {
        Self::new(self.client.clone(), urls)
    }

    /// The attempts so far that a node answered, and not with success: refused, or saying that nobody
    /// knows what became of them. A node that ends may break a connection under a request that comes in
    /// that moment, which HTTP leaves to the client to repeat; that is none of them.
    pub(super) fn failed(&self) -> Vec<String> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, message: &Message<'_>, what: &dyn fmt::Debug) {
        let Message { entity_type, id, method, .. } = message;
        let text = format!("{entity_type}/{id} {method}: {what:?}");
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).push(text);
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
                    if !reason.starts_with(BROKEN) {
                        self.note(message, &reason);
                    }
                    perhaps_done = true;
                }
                Answer::Refused(problem) if problem.retryable => {
                    if problem.code != NO_CONNECTION {
                        self.note(message, &problem);
                    }
                }
                Answer::Refused(problem) | Answer::Failed(problem) => {
                    let Message { entity_type, id, method, key, .. } = message;
                    bail!("{entity_type}/{id} {method}, key {key:?}: {problem:?}");
                }
            }
        }
        Ok(if perhaps_done { Asked::Unknown } else { Asked::Refused })
    }
}
