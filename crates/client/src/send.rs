//! Messages to entities.

use std::time::Duration;

use quarry_types::{Address, IdempotencyKey, Keep, MessageId, Method, ReplyMode, api};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    Client, ClientError, Json,
    client::MARGIN,
    exchange::{Exchange, Reply},
    look::milliseconds,
};

/// How a message is sent.
#[derive(Clone, Debug)]
pub struct SendOptions {
    /// What dedupes it; a fresh one where absent.
    pub key: Option<IdempotencyKey>,
    /// Whether to wait for the outcome, or for acceptance alone.
    pub reply: ReplyMode,
    /// Handle the message after so long; answered when it is stored.
    pub delay: Option<Duration>,
    /// What is kept of the message once it has ended; where only the key is, it is answered when it
    /// is stored.
    pub keep: Keep,
    /// How long the server may take for one try.
    pub timeout: Duration,
}

impl Default for SendOptions {
    fn default() -> Self {
        let timeout = Duration::from_secs(30);
        Self { key: None, reply: ReplyMode::Outcome, delay: None, keep: Keep::Everything, timeout }
    }
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendStatus {
    /// It was handled; the handler's reply, `null` for none.
    Done(Json),
    /// It is stored and will be handled.
    Accepted,
}

/// A message that was answered with success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The id under which it is stored; made up by the server for a read.
    pub message_id: MessageId,
    /// The key that it was sent with.
    pub key: IdempotencyKey,
    /// What became of it.
    pub status: SendStatus,
    /// Whether the answer stood before this send.
    pub replayed: bool,
    /// How many tries it took.
    pub tries: u32,
}

/// One try: what is sent, and to whom.
pub(crate) struct Try<'a> {
    pub(crate) segments: &'a [&'a str],
    pub(crate) payload: Option<&'a RawValue>,
    pub(crate) key: &'a IdempotencyKey,
    pub(crate) reply: ReplyMode,
    pub(crate) delay: Option<Duration>,
    pub(crate) keep: Keep,
    pub(crate) timeout: Duration,
    pub(crate) index: usize,
    pub(crate) send_count: u32,
}

impl Client {
    /// Sends a message once, with the payload as it is written.
    pub async fn send(
        &self,
        address: &Address,
        method: &Method,
        payload: Option<&RawValue>,
        options: SendOptions,
    ) -> Result<Sent, ClientError> {
        self.once(&segments(address, method), payload, options).await
    }

    /// Submits a text for extraction, once: `{text, ontologyId, options?, documentId?, requestId?}`.
    /// Done means that the reply is the graph.
    pub async fn extract(
        &self,
        submission: &Json,
        options: SendOptions,
    ) -> Result<Sent, ClientError> {
        self.once(&["v1", "extractions"], Some(&written(submission)?), options).await
    }

    /// Submits a text for extraction, and again, as [`Client::send_retrying`] does.
    pub async fn extract_retrying(
        &self,
        submission: &Json,
        options: SendOptions,
        deadline: Duration,
    ) -> Result<Sent, ClientError> {
        let submission = written(submission)?;
        self.retrying(&["v1", "extractions"], Some(&submission), options, deadline).await
    }

    async fn once(
        &self,
        segments: &[&str],
        payload: Option<&RawValue>,
        options: SendOptions,
    ) -> Result<Sent, ClientError> {
        let SendOptions { key, reply, delay, keep, timeout } = options;
        let key = &key.unwrap_or_else(|| self.new_key());
        let index = self.turn(0);
        let send_count = 0;
        let attempt =
            Try { segments, payload, key, reply, delay, keep, timeout, index, send_count };
        self.attempt(attempt).await
    }

    /// Sends a message, and again under the same key, to one base after the other, until it is
    /// answered for good or `deadline` has passed since the beginning. Where an earlier try may
    /// have done it, the last error is *unknown* even if the last try was refused.
    pub async fn send_retrying(
        &self,
        address: &Address,
        method: &Method,
        payload: Option<&RawValue>,
        options: SendOptions,
        deadline: Duration,
    ) -> Result<Sent, ClientError> {
        self.retrying(&segments(address, method), payload, options, deadline).await
    }

    pub(crate) async fn attempt(&self, attempt: Try<'_>) -> Result<Sent, ClientError> {
        let Try { segments, payload, key, reply, delay, keep, timeout, index, send_count } =
            attempt;
        let key_header = HeaderValue::from_bytes(key.as_str().as_bytes())
            .map_err(|error| ClientError::Invalid { reason: format!("key: {error}") })?;
        let parameters: Vec<_> = [("timeout", milliseconds(timeout))]
            .into_iter()
            .chain(delay.map(|delay| ("delay", milliseconds(delay))))
            // Not as a preference: a read that cannot be answered so is to be refused.
            .chain((reply == ReplyMode::Accepted).then(|| ("async", String::new())))
            .chain((keep == Keep::Key).then(|| ("discard", String::new())))
            .collect();
        let mut request = self
            .request(index, reqwest::Method::POST, segments, &parameters)?
            .header("idempotency-key", key_header)
            .timeout(timeout + MARGIN);
        if send_count > 0 {
            request = request.header("quarry-send-count", send_count);
        }
        if let Some(payload) = payload {
            request =
                request.header(CONTENT_TYPE, "application/json").body(payload.get().to_owned());
        }
        match self.exchange(request).await {
            Ok(answer) if answer.status.is_success() => sent(&answer, key, send_count),
            Ok(answer) => Err(ClientError::of(answer.problem(), Some(key.clone()))),
            Err(Exchange::NotSent(reason)) => Err(self.unreachable(reason)),
            Err(Exchange::Lost(reason)) => Err(unknown(reason, key)),
        }
    }
}

fn written(json: &Json) -> Result<Box<RawValue>, ClientError> {
    to_raw_value(json).map_err(|error| ClientError::Invalid { reason: error.to_string() })
}

fn segments<'a>(address: &'a Address, method: &'a Method) -> [&'a str; 5] {
    ["v1", "entities", address.entity_type.as_str(), address.id.as_str(), method.as_str()]
}

fn sent(answer: &Reply, key: &IdempotencyKey, send_count: u32) -> Result<Sent, ClientError> {
    let garbled = |what: &str| unknown(format!("the answer is garbled: {what}"), key);
    let message_id = answer.header("quarry-message-id").and_then(|id| id.parse().ok());
    let status = if answer.status == reqwest::StatusCode::ACCEPTED {
        answer.document::<api::Accepted>().map(|_| SendStatus::Accepted)
    } else {
        answer.document::<Json>().map(SendStatus::Done)
    };
    Ok(Sent {
        message_id: message_id.ok_or_else(|| garbled("it names no message"))?,
        key: key.clone(),
        status: status.map_err(|error| garbled(&error.to_string()))?,
        replayed: answer.header("idempotency-replayed") == Some("true"),
        tries: send_count.saturating_add(1),
    })
}

fn unknown(reason: String, key: &IdempotencyKey) -> ClientError {
    ClientError::Unknown { reason, problem: None, key: Some(key.clone()) }
}
