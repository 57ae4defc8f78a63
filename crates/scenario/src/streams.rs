//! What clients do with streams.

use std::time::Duration;

use quarry_ports::{ChunkBody, StoredChunk};
use quarry_types::MessageId;
use serde::Deserialize;

use crate::{
    clients::{Ask, Client, Told},
    history::Story,
};

/// How many tellers there are.
pub(crate) const TELLERS: u64 = 3;

/// A part of a story.
#[derive(Deserialize)]
pub(crate) struct Line {
    pub(crate) story: String,
    pub(crate) place: u64,
    pub(crate) teller: u64,
}

impl Client {
    /// Has a story told, and reads it: no chunk is missing or doubled, and what counts in the end was
    /// told by one attempt.
    pub(crate) async fn tell(&self, name: &str) {
        let (length, stumbles) = (self.world.random.below(12), self.world.random.hits(30));
        let payload = serde_json::json!({ "story": name, "length": length, "stumbles": stumbles });
        let teller = self.world.random.below(TELLERS);
        let ask = Ask::new(format!("Teller/t{teller}"), "tell", payload.to_string(), name);
        match self.ask(&ask).await {
            Some(Told::Reply { message_id, reply, .. }) => {
                self.world.chronicle.note(&format!("told {name}: {reply}"));
                self.read_story(name, length, message_id).await;
                let story = Story { name: name.to_owned(), length };
                self.history.told_story(teller, message_id, story);
            }
            // Its processes may have ended too often.
            Some(Told::Quarantined { .. }) | None => {}
            Some(other) => self.world.chronicle.violation(&format!("{ask:?}: {other:?}")),
        }
    }

    async fn read_story(&self, name: &str, length: u64, message_id: MessageId) {
        let mut chunks: Vec<StoredChunk> = Vec::new();
        loop {
            if self.world.chronicle.is_broken() {
                return;
            }
            let from = u64::try_from(chunks.len()).unwrap_or(u64::MAX);
            match self.read_chunks(message_id, from).await {
                Some(page) if page.is_empty() => break,
                Some(page) => chunks.extend(page),
                None => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        let counted = lines(&chunks);
        let is_whole = counted.as_ref().is_some_and(|lines| {
            let is_told = |(place, line): (u64, &Line)| {
                line.place == place
                    && line.story == name
                    && Some(line.teller) == lines.first().map(|first| first.teller)
            };
            u64::try_from(lines.len()) == Ok(length) && (0..).zip(lines).all(is_told)
        });
        self.world.chronicle.expect(is_whole, || {
            format!("R1: the story {name} of {length} chunks is read as {chunks:?}")
        });
    }

    /// Some of the chunks from `from` on, none where there are no more; nothing where no node is there
    /// or the one that was asked cannot say.
    async fn read_chunks(&self, message_id: MessageId, from: u64) -> Option<Vec<StoredChunk>> {
        let (node, _) = self.world.any_node()?;
        let limit = u32::try_from(1 + self.world.random.below(5)).unwrap_or(1);
        let read = node.chunks(message_id, from, limit, Duration::from_millis(100));
        tokio::time::timeout(Duration::from_secs(2), read).await.ok()?.ok()
    }
}

/// What counts of `chunks`; nothing where one is missing or makes no sense.
fn lines(chunks: &[StoredChunk]) -> Option<Vec<Line>> {
    let mut lines: Vec<(u64, Line)> = Vec::new();
    for (number, chunk) in (0..).zip(chunks) {
        if chunk.sequence != number {
            return None;
        }
        match &chunk.body {
            ChunkBody::Made(body) | ChunkBody::Entry(body) => {
                lines.push((number, serde_json::from_slice(body).ok()?));
            }
            ChunkBody::Reset { from, .. } => lines.retain(|(number, _)| number < from),
        }
    }
    Some(lines.into_iter().map(|(_, line)| line).collect())
}
