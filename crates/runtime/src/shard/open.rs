//! What is open in the store: pages of it, read for the machine.

use std::sync::Arc;

use quarry_core::delivery::{OpenPage, OpenRead, Which};
use quarry_ports::{OpenCursor, OpenOf, OpenQuery, Position, Store, StoreError};
use quarry_types::{Address, MessageId, Sequence, SlotRange, Space};

use super::{io::Done, task::Serving};
use crate::convert;

/// A page of open messages, each with how many chunks of its reply stand.
async fn page(store: &dyn Store, query: OpenQuery, limit: u32) -> Result<OpenPage, StoreError> {
    let page = store.open_messages(query, limit).await?;
    let open = page.messages.iter().map(|open| open.message.message_id).collect();
    let chunks = store.chunk_counts(open).await?;
    let messages = page.messages.into_iter().zip(chunks);
    Ok(OpenPage {
        messages: messages.map(|(open, chunks)| convert::recovered(open, chunks)).collect(),
        next: page
            .next
            .map(|OpenCursor { due, position }| (due, (position.sequence, position.ordinal))),
    })
}

/// The first quarantined message of an entity, in order of position.
pub(crate) async fn first_aside(
    store: &dyn Store,
    (space, range): (Space, SlotRange),
    address: &Address,
) -> Result<Option<MessageId>, StoreError> {
    let of = OpenOf::Quarantined(address.clone());
    let query = OpenQuery { space, range, low_water: Sequence(0), after: None, of };
    let page = store.open_messages(query, 1).await?;
    Ok(page.messages.first().map(|open| open.message.message_id))
}

impl Serving {
    /// Asks for the first quarantined message of an entity.
    pub(super) fn ask_aside(&mut self, address: Address, number: u64) {
        let store = Arc::clone(&self.shared.store);
        let slots = (self.shard.space(), self.range);
        self.io.push(Box::pin(async move {
            let first = first_aside(&*store, slots, &address).await;
            Done::Aside(address, number, first)
        }));
    }

    pub(super) fn read_open(&mut self, read: OpenRead) {
        let store = Arc::clone(&self.shared.store);
        let (due, (sequence, ordinal)) = read.after;
        let query = OpenQuery {
            space: self.shard.space(),
            range: self.range,
            low_water: self.machine.sound_up_to(),
            after: Some(OpenCursor { due, position: Position { sequence, ordinal } }),
            of: match read.which {
                Which::Waiting => OpenOf::Waiting,
                Which::Entity(address) => OpenOf::Entity(address),
                Which::Delayed => OpenOf::Delayed,
            },
        };
        self.io.push(Box::pin(async move {
            Done::OpenRead(read.number, page(&*store, query, read.limit).await)
        }));
    }

    pub(super) fn open_read(&mut self, number: u64, page: Result<OpenPage, StoreError>) {
        let page = page.inspect_err(|error| {
            tracing::warn!(shard = %self.shard, %error, "open messages could not be read; trying again");
        });
        let now = self.now();
        self.machine.open_read(now, number, page.ok(), &mut self.out);
        self.count_stalls();
    }

    /// Tells of what would have waited for ever.
    pub(super) fn count_stalls(&mut self) {
        let found = self.machine.take_stalls();
        if found > 0 {
            tracing::error!(shard = %self.shard, epoch = %self.epoch, found, "messages waited that nothing would have woken; they go on");
            self.shared.metrics.stalls.inc_by(u64::try_from(found).unwrap_or(u64::MAX));
        }
    }
}
