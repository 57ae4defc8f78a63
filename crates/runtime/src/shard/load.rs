//! Taking a shard over: the fence first, then what is open.

use std::time::Duration;

use quarry_ports::{
    ChunkBody, FenceError, FenceRequest, LoadedShard, OpenCursor, OpenPage, StoreError,
};

use super::{
    Control, End,
    task::{Serving, ShardTask},
};
use crate::convert;

/// Messages read at once in a takeover.
const PAGE: u32 = 500;

impl ShardTask {
    /// Sets the fence, trying again while the store is away and the grant stands.
    pub(super) async fn load(&mut self) -> Result<LoadedShard, End> {
        let request = FenceRequest {
            shard: self.shard,
            range: self.range,
            epoch: self.epoch,
            boot: self.shared.boot,
        };
        let mut pause = Duration::from_millis(20);
        loop {
            self.still_granted()?;
            let loaded = self.shared.store.load_shard(request).await;
            match loaded {
                Ok(loaded) => {
                    self.shared.metrics.shard_takeovers.with_label_values(&["loaded"]).inc();
                    return Ok(loaded);
                }
                Err(FenceError::Refused { recorded }) => {
                    self.shared.metrics.shard_takeovers.with_label_values(&["refused"]).inc();
                    tracing::info!(shard = %self.shard, epoch = %self.epoch, %recorded, "the store refused a load");
                    return Err(End::Refused(recorded));
                }
                Err(FenceError::Store(error)) => {
                    self.shared.metrics.shard_takeovers.with_label_values(&["store_away"]).inc();
                    tracing::warn!(shard = %self.shard, %error, "a shard could not be loaded; trying again");
                    self.pause(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
            }
        }
    }

    /// Reads what the owner before left open, in pages, after the fence (L4).
    pub(super) async fn recover(
        &mut self,
        serving: &mut Serving,
        loaded: LoadedShard,
    ) -> Result<(), End> {
        let mut after = None;
        let mut pause = Duration::from_millis(20);
        loop {
            self.still_granted()?;
            match self.page(loaded, after).await {
                Ok((page, chunks)) => {
                    let open = page.messages.into_iter().zip(chunks);
                    let recovered = open.map(|(open, chunks)| convert::recovered(open, chunks));
                    serving.recover(recovered.collect());
                    after = page.next;
                    if after.is_none() {
                        return Ok(());
                    }
                }
                Err(error) => {
                    tracing::warn!(shard = %self.shard, %error, "open messages could not be read; trying again");
                    self.pause(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
            }
        }
    }

    async fn page(
        &self,
        loaded: LoadedShard,
        after: Option<OpenCursor>,
    ) -> Result<(OpenPage, Vec<Vec<ChunkBody>>), StoreError> {
        let store = &self.shared.store;
        let page = store.open_messages(self.range, loaded.low_water, after, PAGE).await?;
        let open = page.messages.iter().map(|open| open.message.message_id).collect();
        let chunks = store.chunks_of(open).await?;
        Ok((page, chunks))
    }

    fn still_granted(&self) -> Result<(), End> {
        match *self.control.borrow() {
            Control::Abandon => Err(End::Lost),
            Control::Close => Err(End::Closed),
            Control::Serve => Ok(()),
        }
    }

    /// Waits for `time`, or until the runner says something.
    async fn pause(&mut self, time: Duration) {
        // Either way the caller looks again; a runner that is gone shows as `Abandon` there.
        let _ = tokio::time::timeout(time, self.control.changed()).await;
    }
}
