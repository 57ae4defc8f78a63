//! Server-sent events, read as they come. It shares no code with the project's own client.

use std::{collections::VecDeque, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use reqwest::{RequestBuilder, Response, header};
use serde_json::Value;
use tokio::time::timeout;

/// A server that has nothing to tell says so more often than this.
const SILENT_AT_MOST: Duration = Duration::from_secs(40);

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Where a stream goes on that was cut behind it; the last event has none.
    pub id: Option<String>,
    /// What it says.
    pub document: Value,
}

impl Event {
    /// What kind of event it is.
    pub fn kind(&self) -> &str {
        self.document.get("type").and_then(Value::as_str).unwrap_or_default()
    }
}

/// A stream that is read.
#[derive(Debug)]
pub struct Events {
    response: Response,
    unread: Vec<u8>,
    ready: VecDeque<Event>,
}

impl Events {
    /// Sends `request`, and makes sure that events come back.
    pub async fn of(request: RequestBuilder) -> Result<Self> {
        let response = request.header(header::ACCEPT, "text/event-stream").send().await?;
        let status = response.status();
        let media_type = response.headers().get(header::CONTENT_TYPE).cloned();
        if media_type.is_none_or(|media_type| media_type != "text/event-stream") {
            bail!("{status}, and no events: {}", response.text().await?);
        }
        ensure!(status.is_success(), "{status}");
        Ok(Self { response, unread: Vec::new(), ready: VecDeque::new() })
    }

    /// The next event; `None` once the connection has ended, cut or not.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            let part = timeout(SILENT_AT_MOST, self.response.chunk()).await;
            match part.with_context(|| format!("silent for {SILENT_AT_MOST:?}"))? {
                Ok(Some(part)) => self.take(&part)?,
                Ok(None) | Err(_) => return Ok(None),
            }
        }
    }

    /// Reads until an event that `is_last`, which is read too, or until the connection ends.
    pub async fn read_to(&mut self, is_last: impl Fn(&Event) -> bool) -> Result<Vec<Event>> {
        let mut read = Vec::new();
        while let Some(event) = self.next().await? {
            let ends = is_last(&event);
            read.push(event);
            if ends {
                break;
            }
        }
        Ok(read)
    }

    fn take(&mut self, part: &[u8]) -> Result<()> {
        self.unread.extend_from_slice(part);
        while let Some(end) = self.unread.windows(2).position(|two| two == b"\n\n") {
            let block: Vec<u8> = self.unread.drain(..end + 2).collect();
            self.ready.extend(event(&String::from_utf8(block)?)?);
        }
        Ok(())
    }
}

/// The event of a block; none where it is a sign of life.
fn event(block: &str) -> Result<Option<Event>> {
    let field = |name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(line.strip_prefix(' ').unwrap_or(line))
    };
    let Some(data) = field("data") else { return Ok(None) };
    let document: Value = serde_json::from_str(data).with_context(|| block.to_owned())?;
    let event = Event { id: field("id").map(str::to_owned), document };
    ensure!(field("event") == Some(event.kind()), "{block:?}");
    Ok(Some(event))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_block_is_an_event_or_a_sign_of_life() -> Result<()> {
        let read = event("event: x\ndata: {\"type\":\"x\"}\nid: 4.1\n\n")?.context("an event")?;
        assert_eq!((read.kind(), read.id.as_deref()), ("x", Some("4.1")));
        assert_eq!(read.document, json!({"type": "x"}));
        assert_eq!(event(":\n\n")?, None);
        assert!(event("event: y\ndata: {\"type\":\"x\"}\n\n").is_err());
        assert!(event("data: {\n\n").is_err());
        Ok(())
    }
}
