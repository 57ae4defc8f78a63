//! Journals: what entities recorded.

use std::time::Duration;

use futures_util::Stream;
use quarry_types::{
    api,
    stream::{Entry, JournalTold},
};
use reqwest::Method;

use crate::{Client, ClientError, Json, change::Change, client::READ_TIMEOUT, look::given};

/// How long it may take until a journal is destroyed: its entity may be busy.
const CHANGE_TIMEOUT: Duration = Duration::from_mins(1);

/// Which entries of a journal to read.
#[derive(Clone, Debug, Default)]
pub struct JournalQuery {
    /// Only those behind this number.
    pub after: Option<u64>,
    /// Only those of this kind.
    pub kind: Option<String>,
    /// Only those of this request.
    pub request_id: Option<String>,
    /// How many; the server's choice where absent.
    pub limit: Option<u32>,
}

impl JournalQuery {
    fn parameters(&self) -> Vec<(&'static str, String)> {
        given([
            ("after", self.after.map(|after| after.to_string())),
            ("type", self.kind.clone()),
            ("requestId", self.request_id.clone()),
            ("limit", self.limit.map(|limit| limit.to_string())),
        ])
    }
}

impl Client {
    /// A page of a journal's entries; `next` of it is the number to read on behind.
    pub async fn journal(
        &self,
        stream: &str,
        query: &JournalQuery,
    ) -> Result<api::Page<Entry<Json>>, ClientError> {
        self.read(&["v1", "journal", stream], &query.parameters(), READ_TIMEOUT).await
    }

    /// The entries of a journal, and those to come, as [`Client::chunks`] reads on; it does not end
    /// by itself.
    pub fn follow_journal(
        &self,
        stream: &str,
        query: &JournalQuery,
        patience: Duration,
    ) -> impl Stream<Item = Result<JournalTold<Json>, ClientError>> + Send + use<> {
        let mut parameters = query.parameters();
        parameters.push(("follow", "true".to_owned()));
        self.follow(&["v1", "journal", stream], &parameters, None, patience)
    }

    /// Removes what was recorded in a journal; a try that is repeated removes nothing more.
    pub async fn destroy_journal(&self, stream: &str) -> Result<(), ClientError> {
        let change = Change {
            method: Method::DELETE,
            segments: &["v1", "journal", stream],
            key: Some(self.new_key()),
            body: None,
            timeout: CHANGE_TIMEOUT,
        };
        self.change::<Json>(&change).await.map(drop)
    }
}
