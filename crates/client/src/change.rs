//! Changes that are the same however often they are asked.

use std::time::Duration;

use bytes::Bytes;
use quarry_types::IdempotencyKey;
use reqwest::{
    Method, RequestBuilder,
    header::{CONTENT_TYPE, HeaderValue},
};
use serde::de::DeserializeOwned;

use crate::{Client, ClientError, exchange::Exchange};

/// A change to ask for.
pub(crate) struct Change<'a> {
    pub(crate) method: Method,
    pub(crate) segments: &'a [&'a str],
    /// What the server knows a repeated request by; none where it need not.
    pub(crate) key: Option<IdempotencyKey>,
    /// Media type and content of the body.
    pub(crate) body: Option<(&'a str, Bytes)>,
    /// How long one base may take.
    pub(crate) timeout: Duration,
}

impl Client {
    /// Asks one base after the other until one answers for good.
    pub(crate) async fn change<T: DeserializeOwned>(
        &self,
        change: &Change<'_>,
    ) -> Result<T, ClientError> {
        let key = || change.key.clone();
        let mut last = ClientError::Unavailable { reason: "no base URL".to_owned() };
        let mut maybe_done = None;
        for (attempt, send_count) in (0..self.bases().len()).zip(0_u32..) {
            let index = self.turn(attempt);
            last = match self.exchange(self.asking(change, index, send_count)?).await {
                Ok(reply) if reply.status.is_success() => {
                    self.prefer(index);
                    return reply.document();
                }
                Ok(reply) => ClientError::of(reply.problem(), key()),
                Err(Exchange::NotSent(reason)) => self.unreachable(reason),
                Err(Exchange::Lost(reason)) => {
                    ClientError::Unknown { reason, problem: None, key: key() }
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

    fn asking(
        &self,
        change: &Change<'_>,
        index: usize,
        send_count: u32,
    ) -> Result<RequestBuilder, ClientError> {
        let mut request = self
            .request(index, change.method.clone(), change.segments, &[])?
            .timeout(change.timeout);
        if let Some(key) = &change.key {
            let key = HeaderValue::from_bytes(key.as_str().as_bytes())
                .map_err(|error| ClientError::Invalid { reason: format!("key: {error}") })?;
            request = request.header("idempotency-key", key);
            if send_count > 0 {
                request = request.header("quarry-send-count", send_count);
            }
        }
        if let Some((media_type, body)) = &change.body {
            request = request.header(CONTENT_TYPE, *media_type).body(body.clone());
        }
        Ok(request)
    }
}
