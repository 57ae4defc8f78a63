//! Many messages in one request.

use std::{collections::BTreeMap, time::Duration};

use quarry_types::{
    IdempotencyKey,
    batch::{Batch, BatchAnswer, BatchAnswers, BatchMessage},
};
use reqwest::header::CONTENT_TYPE;

use crate::{
    Client, ClientError, Json, SendStatus, Sent,
    client::MARGIN,
    exchange::Exchange,
    look::milliseconds,
    retry::{Tries, asked_wait},
};

/// What became of each message, in their order.
pub type BatchResults = Vec<Result<Sent, ClientError>>;

/// A message and what its tries came to.
struct Open {
    place: usize,
    key: IdempotencyKey,
    message: BatchMessage<Json>,
    /// What an earlier try that may have done it came to.
    maybe_done: Option<ClientError>,
}

impl Client {
    /// Sends 1 to 1,000 messages in one request, and those of them again that are not answered for
    /// good, under the same keys, until all are or `deadline` has passed; one try waits for up to
    /// `timeout`. Those to one entity keep their order. A message without a key gets a fresh one.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] where a key is none; nothing was sent.
    pub async fn send_batch(
        &self,
        messages: Vec<BatchMessage<Json>>,
        timeout: Duration,
        deadline: Duration,
    ) -> Result<BatchResults, ClientError> {
        let until = self.host().now().after(deadline);
        let mut open = self.opened(messages)?;
        let mut results = BTreeMap::new();
        let mut tries = Tries::new();
        for turn in 0_usize.. {
            let index = self.turn(turn);
            let left = until.since(self.host().now());
            let timeout = timeout.min(left).max(Duration::from_millis(1));
            let answers = self.try_batch(index, &open, timeout).await;
            if answers.iter().any(Result::is_ok) {
                self.prefer(index);
            }
            let wait = slowest(&answers).map_or(Duration::ZERO, |error| tries.note(self, error));
            let wait = self.jittered(wait);
            let over = until.since(self.host().now()) <= wait || tries.are_hopeless(self);
            let mut again = Vec::new();
            for (mut message, result) in open.into_iter().zip(answers) {
                match message.take(result, over) {
                    Some(result) => drop(results.insert(message.place, result)),
                    None => again.push(message),
                }
            }
            open = again;
            if open.is_empty() {
                break;
            }
            tokio::time::sleep(wait).await;
        }
        Ok(results.into_values().collect())
    }

    fn opened(&self, messages: Vec<BatchMessage<Json>>) -> Result<Vec<Open>, ClientError> {
        let invalid =
            |error: quarry_types::Invalid| ClientError::Invalid { reason: error.to_string() };
        let open = messages.into_iter().enumerate().map(|(place, mut message)| {
            let key = message.key.take().map(|key| IdempotencyKey::new(&key)).transpose();
            let key = key.map_err(invalid)?.unwrap_or_else(|| self.new_key());
            message.key = Some(key.to_string());
            Ok(Open { place, key, message, maybe_done: None })
        });
        open.collect()
    }

    /// One try; a result for each message.
    async fn try_batch(&self, index: usize, open: &[Open], timeout: Duration) -> BatchResults {
        match self.exchange_batch(index, open, timeout).await {
            Ok(answers) => {
                open.iter().zip(answers).map(|(open, answer)| open.result(answer)).collect()
            }
            Err(error) => open.iter().map(|open| Err(open.own(&error))).collect(),
        }
    }

    async fn exchange_batch(
        &self,
        index: usize,
        open: &[Open],
        timeout: Duration,
    ) -> Result<Vec<BatchAnswer<Json>>, ClientError> {
        let unknown = |reason| ClientError::Unknown { reason, problem: None, key: None };
        let messages = open.iter().map(|open| &open.message).collect();
        let body = serde_json::to_vec(&Batch::<&BatchMessage<Json>> { messages })
            .map_err(|error| ClientError::Invalid { reason: error.to_string() })?;
        let parameters = [("timeout", milliseconds(timeout))];
        let request = self
            .request(index, reqwest::Method::POST, &["v1", "messages:batch"], &parameters)?
            .header(CONTENT_TYPE, "application/json")
            .timeout(timeout + MARGIN)
            .body(body);
        let reply = match self.exchange(request).await {
            Ok(reply) if reply.status.is_success() => reply,
            Ok(reply) => return Err(ClientError::of(reply.problem(), None)),
            Err(Exchange::NotSent(reason)) => return Err(self.unreachable(reason)),
            Err(Exchange::Lost(reason)) => return Err(unknown(reason)),
        };
        let answers = reply
            .document::<BatchAnswers<Json>>()
            .map_err(|error| unknown(format!("the answer is garbled: {error}")))?
            .answers;
        if answers.len() == open.len() {
            return Ok(answers);
        }
        let (told, sent) = (answers.len(), open.len());
        Err(unknown(format!("the answer is garbled: {told} answers to {sent} messages")))
    }
}

impl Open {
    /// What the server said of this message.
    fn result(&self, answer: BatchAnswer<Json>) -> Result<Sent, ClientError> {
        if let Some(problem) = answer.problem {
            return Err(ClientError::of(problem, Some(self.key.clone())));
        }
        let message_id = answer.message_id.and_then(|id| id.parse().ok());
        let Some(message_id) = message_id else {
            let reason = "the answer is garbled: it names no message".to_owned();
            return Err(ClientError::Unknown {
                reason,
                problem: None,
                key: Some(self.key.clone()),
            });
        };
        let status = match answer.status {
            202 => SendStatus::Accepted,
            _ => SendStatus::Done(answer.reply.unwrap_or_default()),
        };
        let tries = self.message.send_count.saturating_add(1);
        Ok(Sent { message_id, key: self.key.clone(), status, replayed: answer.replayed, tries })
    }

    /// What went wrong with the whole request, said of this message.
    fn own(&self, error: &ClientError) -> ClientError {
        match error.clone() {
            ClientError::Unknown { reason, problem, .. } => {
                ClientError::Unknown { reason, problem, key: Some(self.key.clone()) }
            }
            other => other,
        }
    }

    /// Takes the result of a try: given back where it is for good, or there is no time for another.
    fn take(
        &mut self,
        result: Result<Sent, ClientError>,
        over: bool,
    ) -> Option<Result<Sent, ClientError>> {
        let error = match result {
            Ok(sent) => return Some(Ok(sent)),
            Err(error) => error,
        };
        let retryable = error.is_retryable();
        if matches!(error, ClientError::Unknown { .. }) {
            self.maybe_done = Some(error.clone());
        }
        self.message.send_count = self.message.send_count.saturating_add(1);
        (over || !retryable).then(|| Err(error.after(self.maybe_done.take())))
    }
}

/// Of the errors after which a message is sent again, the one that asks to wait longest.
fn slowest(answers: &BatchResults) -> Option<&ClientError> {
    let errors = answers.iter().filter_map(|result| result.as_ref().err());
    errors.filter(|error| error.is_retryable()).max_by_key(|error| asked_wait(error))
}
