//! Bounds of an outbox, and its back-off.

use core::time::Duration;

/// Bounds of one shard's outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Entries held in memory; the rest stays in the store until half of them are gone, in number and
    /// in bytes.
    pub held: usize,
    /// Bytes of payloads held in memory, beyond one entry or page.
    pub held_bytes: usize,
    /// Entries read from the store at a time; at most half of what is held.
    pub page: u32,
    /// Entries on their way at a time.
    pub window: usize,
    /// An entity with so many open sends gets no more messages until some are accepted.
    pub of_sender: usize,
    /// Accepted entries that wait for no longer than [`OutboxLimits::close_after`].
    pub closing: usize,
    /// Accepted entries wait for so long for a commit to close them with.
    pub close_after: Duration,
    /// A refusal for good counts only when the entry is this old, because nodes of two versions may
    /// run side by side.
    pub believe_after: Duration,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self {
            held: 4_000,
            held_bytes: 8 * 1024 * 1024,
            page: 500,
            window: 512,
            of_sender: 1_000,
            closing: 256,
            close_after: Duration::from_millis(200),
            believe_after: Duration::from_mins(10),
        }
    }
}

/// How long to wait before an entry is passed on for the `tries`-th time again: 50 ms doubling up to
/// 1.6 s, which is soon after a failover.
pub(super) fn back_off(tries: u32) -> Duration {
    Duration::from_millis(50 << tries.saturating_sub(1).min(5))
}
