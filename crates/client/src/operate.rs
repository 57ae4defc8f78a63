//! What operators do to messages.

use std::time::Duration;

use quarry_types::{
    MessageId,
    operate::{Bulk, BulkAnswer, Intervened, Redrive},
};
use reqwest::{Method, header::CONTENT_TYPE};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::{Client, ClientError, Json, client::MARGIN, exchange::Exchange, look::milliseconds};

/// What is done to many messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BulkIntervention {
    /// They are ended.
    Cancel,
    /// Those that are set aside run again.
    Redrive,
    /// Those that are set aside are ended.
    Drop,
}

impl BulkIntervention {
    const fn verb(self) -> &'static str {
        match self {
            Self::Cancel => "messages:cancel",
            Self::Redrive => "messages:redrive",
            Self::Drop => "messages:drop",
        }
    }
}

impl Client {
    /// Ends a message, whatever it waits for; asks each base until one answers.
    pub async fn cancel(
        &self,
        message_id: MessageId,
        timeout: Duration,
    ) -> Result<Intervened<Json>, ClientError> {
        let segments = ["v1", "messages", &message_id.to_string()];
        self.act(Method::DELETE, &segments, None::<&()>, timeout).await
    }

    /// Lets a message that is set aside run again, with another argument where one is given.
    pub async fn redrive(
        &self,
        message_id: MessageId,
        payload: Option<Box<RawValue>>,
        timeout: Duration,
    ) -> Result<Intervened<Json>, ClientError> {
        let segments = ["v1", "messages", &format!("{message_id}:redrive")];
        self.act(Method::POST, &segments, Some(&Redrive { payload }), timeout).await
    }

    /// Ends a message that is set aside.
    pub async fn drop_message(
        &self,
        message_id: MessageId,
        timeout: Duration,
    ) -> Result<Intervened<Json>, ClientError> {
        let segments = ["v1", "messages", &format!("{message_id}:drop")];
        self.act(Method::POST, &segments, None::<&()>, timeout).await
    }

    /// Acts on one page of the messages that a filter means.
    pub async fn act_on_many(
        &self,
        intervention: BulkIntervention,
        bulk: &Bulk,
        timeout: Duration,
    ) -> Result<BulkAnswer, ClientError> {
        self.act(Method::POST, &["v1", intervention.verb()], Some(bulk), timeout).await
    }

    /// What is done twice changes nothing, so that each base is asked until one answers.
    async fn act<T: DeserializeOwned>(
        &self,
        method: Method,
        segments: &[&str],
        body: Option<&(impl Serialize + Sync)>,
        timeout: Duration,
    ) -> Result<T, ClientError> {
        let invalid = |error: serde_json::Error| ClientError::Invalid { reason: error.to_string() };
        let body = body.map(serde_json::to_vec).transpose().map_err(invalid)?;
        let parameters = [("timeout", milliseconds(timeout))];
        let mut last = ClientError::Unavailable { reason: "no base URL".to_owned() };
        let mut maybe_done = None;
        for attempt in 0..self.bases().len() {
            let index = self.turn(attempt);
            let mut request = self
                .request(index, method.clone(), segments, &parameters)?
                .timeout(timeout + MARGIN);
            if let Some(body) = &body {
                request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
            }
            last = match self.exchange(request).await {
                Ok(reply) if reply.status.is_success() => return reply.document(),
                Ok(reply) => ClientError::of(reply.problem(), None),
                Err(Exchange::NotSent(reason)) => self.unreachable(reason),
                Err(Exchange::Lost(reason)) => {
                    ClientError::Unknown { reason, problem: None, key: None }
                }
            };
            if matches!(last, ClientError::Unknown { .. }) {
                maybe_done = Some(last.clone());
            }
            if !last.is_retryable() {
                break;
            }
        }
        Err(last.after(maybe_done))
    }
}
