//! What stands in journals in the end.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use quarry_ports::{JournalEntry, JournalQuery, Store};
use quarry_sim::MemoryStore;
use quarry_types::{Address, MessageId, Tenant};
use serde::Deserialize;

use crate::{
    clients::Client,
    entities::LINE,
    history::Story,
    streams::{Line, TELLERS},
};

/// How many entries are read at a time.
const PAGE: u32 = 50;

/// What a journal says where an attempt said something else than the one before.
#[derive(Deserialize)]
struct Reset {
    /// The first chunk that counts no more.
    from: u64,
}

impl Client {
    /// Each journal is numbered without a gap (J1), and has every story that was told to its end
    /// once, as one attempt told it (G2).
    pub(crate) async fn check_journals(&self) {
        for teller in 0..TELLERS {
            let name = format!("Teller/t{teller}");
            let Ok(address) = Address::parse(Tenant::default_tenant(), &name) else { continue };
            let entries = self.journal(&address).await;
            for (number, entry) in (1..).zip(&entries) {
                self.world.chronicle.expect(entry.sequence == number, || {
                    format!("J1: entry {} of {name} where {number} is the next", entry.sequence)
                });
            }
            let counted = counted(&entries);
            for (message_id, story) in self.history.stories(teller) {
                let lines = counted.get(&message_id).map_or(&[][..], Vec::as_slice);
                self.world.chronicle.expect(is_told(&story, lines), || {
                    let places: Vec<_> = lines.iter().map(|(_, line)| line.place).collect();
                    format!("G2: the journal of {name} has {places:?} of {story:?}")
                });
            }
        }
    }

    /// All that stands in a journal; reads that the database refuses are tried again.
    async fn journal(&self, address: &Address) -> Vec<JournalEntry> {
        let world = &self.world;
        let store = MemoryStore::open(&world.database, Arc::clone(&world.host.clock));
        let mut entries: Vec<JournalEntry> = Vec::new();
        loop {
            let query = JournalQuery {
                address: address.clone(),
                after: entries.last().map_or(0, |last| last.sequence),
                kind: None,
                request_id: None,
            };
            match store.journal(query, PAGE).await {
                Ok(page) if page.is_empty() => return entries,
                Ok(page) => entries.extend(page),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

/// The lines that count, by their messages, each with the number of its chunk.
fn counted(entries: &[JournalEntry]) -> BTreeMap<MessageId, Vec<(u64, Line)>> {
    let mut counted: BTreeMap<MessageId, Vec<(u64, Line)>> = BTreeMap::new();
    for entry in entries {
        let lines = counted.entry(entry.message_id).or_default();
        if entry.kind == LINE {
            lines.extend(serde_json::from_slice(&entry.data).map(|line| (entry.chunk, line)));
        } else if let Ok(Reset { from }) = serde_json::from_slice(&entry.data) {
            lines.retain(|(chunk, _)| *chunk < from);
        }
    }
    counted
}

/// Whether these are the recorded lines of `story`: every other, once, in order, of one attempt.
fn is_told(story: &Story, lines: &[(u64, Line)]) -> bool {
    let is_of_story = |(place, (_, line)): (u64, &(u64, Line))| {
        line.place == place
            && line.story == story.name
            && Some(line.teller) == lines.first().map(|(_, first)| first.teller)
    };
    usize::try_from(story.length.div_ceil(2)) == Ok(lines.len())
        && (0..).step_by(2).zip(lines).all(is_of_story)
}
