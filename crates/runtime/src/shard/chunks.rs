//! Chunks that stand, read in pages for handlers that repeat them.

use std::{sync::Arc, time::Duration};

use quarry_core::delivery::ChunkRead;
use quarry_ports::StoreError;

use super::{io::Done, task::Serving};
use crate::convert;

/// After a page could not be read, the next try comes this much later.
const READ_AGAIN: Duration = Duration::from_millis(500);

impl Serving {
    /// Reads a page of a message's chunks: its handler waits for it until the store answers.
    pub(super) fn read_chunks(&mut self, read: ChunkRead) {
        let (store, shard) = (Arc::clone(&self.shared.store), self.shard);
        self.io.push(Box::pin(async move {
            let ChunkRead { number, message_id, from, limit } = read;
            loop {
                match store.chunk_bodies(message_id, from, limit).await {
                    Ok(page) => {
                        let page = convert::stored_chunks(page);
                        return Done::ChunksRead(message_id, number, page);
                    }
                    Err(error @ StoreError::Unavailable { .. }) => {
                        tracing::warn!(%shard, %error, "stored chunks could not be read; trying again");
                    }
                    Err(error @ StoreError::Corrupt { .. }) => {
                        tracing::error!(%shard, %error, "stored chunks cannot be read; they count no more");
                        return Done::ChunksRead(message_id, number, Vec::new());
                    }
                }
                tokio::time::sleep(READ_AGAIN).await;
            }
        }));
    }
}
