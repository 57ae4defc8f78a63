//! One call, with all its attempts under one key.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, bail};
use serde_json::Value;

use crate::{
    client::{Answer, Client, Message},
    wait::Looks,
};

/// How long one call may take, with all its attempts.
pub(super) const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

/// Sends messages through several addresses in turn.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) client: Client,
    urls: Arc<[String]>,
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
        Self { client, urls: urls.into() }
    }

    /// The same client, through `urls` only.
    pub(super) fn through(&self, urls: Vec<String>) -> Self {
        Self { client: self.client.clone(), urls: urls.into() }
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
                Answer::Unknown(_) => perhaps_done = true,
                Answer::Refused(problem) if problem.retryable => {}
                Answer::Refused(problem) | Answer::Failed(problem) => {
                    let Message { entity_type, id, method, key, .. } = message;
                    bail!("{entity_type}/{id} {method}, key {key:?}: {problem:?}");
                }
            }
        }
        Ok(if perhaps_done { Asked::Unknown } else { Asked::Refused })
    }
}
