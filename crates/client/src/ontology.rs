//! Ontologies: listed, looked at, put and removed.

use std::time::Duration;

use bytes::Bytes;
use quarry_types::{IdempotencyKey, ontology};
use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderValue},
};
use serde::de::DeserializeOwned;

use crate::{
    Client, ClientError,
    client::{READ_TIMEOUT, decode},
    exchange::{Exchange, Reply},
};

/// How long a pack of 16 MiB may take to be sent, checked and stored.
const PUT_TIMEOUT: Duration = Duration::from_mins(1);

/// A pack as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackSource {
    /// How it is written: `application/toml`, `application/json` or `text/turtle`.
    pub media_type: String,
    /// Its text.
    pub text: String,
}

/// A change of an ontology.
struct Change<'a> {
    method: Method,
    id: &'a str,
    pack: Option<(&'a str, Bytes)>,
}

impl Client {
    /// All ontologies that extractions may name.
    pub async fn ontologies(&self) -> Result<Vec<ontology::Summary>, ClientError> {
        let (mut all, mut cursor) = (Vec::new(), None);
        loop {
            let parameters: Vec<_> =
                cursor.take().map(|cursor: String| ("cursor", cursor)).into_iter().collect();
            let page: ontology::Ontologies =
                self.read(&["v1", "ontologies"], &parameters, READ_TIMEOUT).await?;
            all.extend(page.ontologies);
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// One ontology, by its id or another of its names.
    pub async fn ontology(&self, id: &str) -> Result<ontology::Ontology, ClientError> {
        self.read(&["v1", "ontologies", id], &[], READ_TIMEOUT).await
    }

    /// The pack of an ontology, of this version, as it was written.
    pub async fn ontology_source(
        &self,
        id: &str,
        version: &str,
    ) -> Result<PackSource, ClientError> {
        let parameters = [("version", version.to_owned())];
        let segments = ["v1", "ontologies", id, "source"];
        let reply = self.read_whole(&segments, &parameters, READ_TIMEOUT).await?;
        Ok(PackSource {
            media_type: reply.header("content-type").unwrap_or_default().to_owned(),
            text: String::from_utf8_lossy(&reply.body).into_owned(),
        })
    }

    /// Puts a pack under an id, in place of the one before. It is asked of one base after the other,
    /// under one key, until one answers.
    pub async fn put_ontology(
        &self,
        id: &str,
        pack: PackSource,
    ) -> Result<ontology::Placed, ClientError> {
        let PackSource { media_type, text } = pack;
        let pack = Some((media_type.as_str(), Bytes::from(text)));
        self.change_ontology(&Change { method: Method::PUT, id, pack }).await
    }

    /// Removes an ontology; its graphs stay.
    pub async fn remove_ontology(&self, id: &str) -> Result<ontology::Removed, ClientError> {
        self.change_ontology(&Change { method: Method::DELETE, id, pack: None }).await
    }

    async fn change_ontology<T: DeserializeOwned>(
        &self,
        change: &Change<'_>,
    ) -> Result<T, ClientError> {
        let key = self.new_key();
        let mut last = ClientError::Unavailable { reason: "no base URL".to_owned() };
        let mut maybe_done = None;
        for (attempt, send_count) in (0..self.bases().len()).zip(0_u32..) {
            let index = self.turn(attempt);
            last = match self.try_ontology(change, index, &key, send_count).await? {
                Ok(reply) if reply.status.is_success() => {
                    self.prefer(index);
                    return decode(&reply.body);
                }
                Ok(reply) => ClientError::of(reply.problem(), Some(key.clone())),
                Err(Exchange::NotSent(reason)) => self.unreachable(reason),
                Err(Exchange::Lost(reason)) => {
                    ClientError::Unknown { reason, problem: None, key: Some(key.clone()) }
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

    async fn try_ontology(
        &self,
        change: &Change<'_>,
        index: usize,
        key: &IdempotencyKey,
        send_count: u32,
    ) -> Result<Result<Reply, Exchange>, ClientError> {
        let key = HeaderValue::from_bytes(key.as_str().as_bytes())
            .map_err(|error| ClientError::Invalid { reason: format!("key: {error}") })?;
        let segments = ["v1", "ontologies", change.id];
        let mut request = self
            .request(index, change.method.clone(), &segments, &[])?
            .header("idempotency-key", key)
            .timeout(PUT_TIMEOUT);
        if send_count > 0 {
            request = request.header("quarry-send-count", send_count);
        }
        if let Some((media_type, pack)) = &change.pack {
            request = request.header(CONTENT_TYPE, *media_type).body(pack.clone());
        }
        Ok(self.exchange(request).await)
    }
}
