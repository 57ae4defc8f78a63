//! Taking a shard over: the fence.

use std::time::Duration;

use quarry_ports::{FenceError, FenceRequest, LoadedShard};

use super::{Control, End, task::ShardTask};

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
                Err(FenceError::Split) => {
                    self.shared.metrics.shard_takeovers.with_label_values(&["split"]).inc();
                    tracing::warn!(shard = %self.shard, epoch = %self.epoch, "the store holds the shard in parts: it is split again");
                    return Err(End::Split);
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

    fn still_granted(&self) -> Result<(), End> {
        match *self.control.borrow() {
            Control::Abandon => Err(End::Lost),
            Control::Close | Control::CloseBy(_) => Err(End::Closed),
            Control::Serve => Ok(()),
        }
    }

    /// Waits for `time`, or until the runner says something.
    async fn pause(&mut self, time: Duration) {
        // Either way the caller looks again; a runner that is gone shows as `Abandon` there.
        let _ = tokio::time::timeout(time, self.control.changed()).await;
    }
}
