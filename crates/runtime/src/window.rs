//! The window of one run: how much of its chunks may be on the way to the store.

use std::sync::Arc;

use quarry_core::delivery::Chunk;
use tokio::sync::Semaphore;

use crate::inbox::Waiter;

/// How much a run may have on its way.
const WINDOW: u32 = 1024 * 1024;
/// How much one may that repeats earlier chunks: what it made waits in memory while those are read, and
/// counts as no step of its shard.
const REPEATING: u32 = 64 * 1024;
/// What a chunk takes of it beside its bytes, so that it holds at most 4,096 chunks.
const OF_CHUNK: u32 = 256;

/// A window of chunks that were made and are not durable. Who makes more waits (G7).
#[derive(Clone, Debug)]
pub(crate) struct Window {
    size: u32,
    room: Arc<Semaphore>,
}

impl Window {
    /// That of a run, of which is known whether it may repeat chunks of earlier ones.
    pub(crate) fn of(repeats: bool) -> Self {
        let size = if repeats { REPEATING } else { WINDOW };
        Self { size, room: Arc::new(Semaphore::new(usize::try_from(size).unwrap_or(usize::MAX))) }
    }

    /// Waits until `chunk` has room, and takes it.
    pub(crate) async fn enter(&self, chunk: &Chunk) -> Waiter {
        let bytes = match chunk {
            Chunk::Made(bytes) | Chunk::Entry { entry: bytes, .. } => bytes.len(),
            Chunk::Reset { .. } => 0,
        };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let takes = OF_CHUNK.saturating_add(bytes).min(self.size);
        match Arc::clone(&self.room).acquire_many_owned(takes).await {
            Ok(permit) => Waiter::Window(permit),
            // It is never closed.
            Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn who_makes_more_than_fits_waits_until_something_has_arrived() {
        let window = Window::of(false);
        let large = Chunk::Made(Bytes::from(vec![b'1'; 256 * 1024]));
        let fill = |chunk: &Chunk| {
            let mut inside = Vec::new();
            while let Some(waiter) = window.enter(chunk).now_or_never() {
                inside.push(waiter);
            }
            inside
        };
        let mut inside = fill(&large);
        assert_eq!(inside.len(), 3);
        drop(inside.pop());
        assert!(window.enter(&large).now_or_never().is_some());
        inside.clear();
        let small = Chunk::Made(Bytes::from_static(b"1"));
        assert_eq!(fill(&small).len(), 4_080);
        let huge = Chunk::Made(Bytes::from(vec![b'1'; 2 * 1024 * 1024]));
        assert!(window.enter(&huge).now_or_never().is_some(), "what is larger goes alone");
    }

    #[test]
    fn who_repeats_holds_less() {
        let (window, small) = (Window::of(true), Chunk::Made(Bytes::from_static(b"1")));
        let inside: Vec<_> = std::iter::from_fn(|| window.enter(&small).now_or_never()).collect();
        assert_eq!(inside.len(), 255);
        drop(inside);
        let large = Chunk::Made(Bytes::from(vec![b'1'; 256 * 1024]));
        assert!(window.enter(&large).now_or_never().is_some(), "what is larger goes alone");
    }
}
