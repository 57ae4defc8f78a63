//! A bounded queue in the order of calls: of a lane, or of those who look for something.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

struct Inner<T> {
    waiting: VecDeque<T>,
    closed: bool,
}

/// Many callers, and one taker or a few. A push never waits, so that the order of calls is the order of items
/// (a bounded channel hands its permits out in order, but not the places behind them).
pub(crate) struct Queue<T> {
    inner: Mutex<Inner<T>>,
    arrived: Notify,
    limit: usize,
}

impl<T> Queue<T> {
    pub(crate) fn new(limit: usize) -> Self {
        let inner = Mutex::new(Inner { waiting: VecDeque::new(), closed: false });
        Self { inner, arrived: Notify::new(), limit }
    }

    /// Held for a push or a drain only, never across an await.
    fn inner(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends `item` unless the queue is full or closed; whether it did.
    pub(crate) fn push(&self, item: T) -> bool {
        let mut inner = self.inner();
        if inner.closed || inner.waiting.len() >= self.limit {
            return false;
        }
        inner.waiting.push_back(item);
        drop(inner);
        self.arrived.notify_one();
        true
    }

    /// Appends `item` even to a full queue, for what the lane itself must hear.
    pub(crate) fn push_control(&self, item: T) {
        self.inner().waiting.push_back(item);
        self.arrived.notify_one();
    }

    /// Lets the taker end once it has taken what waits.
    pub(crate) fn close(&self) {
        self.inner().closed = true;
        self.arrived.notify_one();
    }

    /// Appends what waits to `taken`, without waiting for anything.
    pub(crate) fn take_more(&self, taken: &mut VecDeque<T>) {
        taken.append(&mut self.inner().waiting);
    }

    /// Waits until there is something and takes all of it; `None` once closed and empty.
    pub(crate) async fn take(&self) -> Option<VecDeque<T>> {
        self.take_with(std::mem::take).await
    }

    /// Waits until there is something and takes what `pick` takes of it; another taker sees the rest.
    /// `None` once closed and empty.
    pub(crate) async fn take_with<R>(
        &self,
        mut pick: impl FnMut(&mut VecDeque<T>) -> R,
    ) -> Option<R> {
        loop {
            {
                let mut inner = self.inner();
                if !inner.waiting.is_empty() {
                    let picked = pick(&mut inner.waiting);
                    if !inner.waiting.is_empty() {
                        self.arrived.notify_one();
                    }
                    return Some(picked);
                }
                if inner.closed {
                    self.arrived.notify_one();
                    return None;
                }
            }
            self.arrived.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_is_taken_together_and_in_order() {
        let queue = Queue::new(2);
        assert!(queue.push(1) && queue.push(2));
        assert!(!queue.push(3), "a full queue refuses");
        queue.push_control(4);
        assert_eq!(queue.take().await, Some(VecDeque::from([1, 2, 4])));
        assert!(queue.push(5));
        let mut taken = VecDeque::from([0]);
        queue.take_more(&mut taken);
        assert_eq!(taken, [0, 5]);
        assert!(queue.push(5));
        queue.close();
        assert!(!queue.push(6), "a closed queue refuses");
        assert_eq!(queue.take().await, Some(VecDeque::from([5])));
        assert_eq!(queue.take().await, None);
    }

    #[tokio::test]
    async fn what_one_taker_leaves_another_takes_and_all_end() {
        let (queue, taken) = (Queue::new(100), Mutex::new(Vec::new()));
        let takers = (0..3).map(|_| async {
            while let Some(item) = queue.take_with(VecDeque::pop_front).await {
                taken.lock().unwrap().extend(item);
                tokio::task::yield_now().await;
            }
        });
        let pusher = async {
            for item in 0..100 {
                assert!(queue.push(item));
                if item % 7 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            queue.close();
        };
        tokio::join!(futures_util::future::join_all(takers), pusher);
        let mut taken = taken.into_inner().unwrap();
        taken.sort_unstable();
        assert_eq!(taken, (0..100).collect::<Vec<_>>());
    }
}
