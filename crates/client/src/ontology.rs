//! Ontologies: listed, looked at, put and removed.

use std::time::Duration;

use bytes::Bytes;
use quarry_types::ontology;
use reqwest::Method;
use serde::de::DeserializeOwned;

use crate::{Client, ClientError, change::Change, client::READ_TIMEOUT};

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
        let body = Some((media_type.as_str(), Bytes::from(text)));
        self.change_ontology(Method::PUT, id, body).await
    }

    /// Removes an ontology; its graphs stay.
    pub async fn remove_ontology(&self, id: &str) -> Result<ontology::Removed, ClientError> {
        self.change_ontology(Method::DELETE, id, None).await
    }

    async fn change_ontology<T: DeserializeOwned>(
        &self,
        method: Method,
        id: &str,
        body: Option<(&str, Bytes)>,
    ) -> Result<T, ClientError> {
        let segments = ["v1", "ontologies", id];
        let key = Some(self.new_key());
        let change = Change { method, segments: &segments, key, body, timeout: PUT_TIMEOUT };
        self.change(&change).await
    }
}
