//! A channel for the newest value, which wakes its receivers in the order in which they came.
//!
//! It does what `tokio::sync::watch` does; that one wakes its receivers in random order, and a
//! simulation must repeat itself.

use std::{
    collections::BTreeMap,
    fmt,
    future::poll_fn,
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Poll, Waker},
};

struct Shared<T> {
    value: RwLock<T>,
    /// Grows with each value.
    version: AtomicU64,
    senders: AtomicUsize,
    receivers: AtomicUsize,
    /// The number of the next receiver.
    next: AtomicU64,
    /// Who waits, by the receivers' numbers.
    waiting: Mutex<BTreeMap<u64, Waker>>,
}

impl<T> Shared<T> {
    fn read(&self) -> Ref<'_, T> {
        Ref(self.value.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<u64, Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        let waiting = std::mem::take(&mut *self.waiting());
        waiting.into_values().for_each(Waker::wake);
    }
}

/// A look at the value. New values wait until it is dropped: never hold it across an await.
pub struct Ref<'a, T>(RwLockReadGuard<'a, T>);

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// All senders are gone, and the last value was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody tells anything more")]
pub struct Closed;

/// Tells values. Clones tell the same receivers.
pub struct Sender<T>(Arc<Shared<T>>);

/// Hears of values; the newest only.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    number: u64,
    seen: u64,
}

/// A channel that holds `value`, which its receiver has seen.
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(value);
    let receiver = sender.subscribe();
    (sender, receiver)
}

impl<T> Sender<T> {
    /// A channel that holds `value`, without receivers.
    pub fn new(value: T) -> Self {
        Self(Arc::new(Shared {
            value: RwLock::new(value),
            version: AtomicU64::new(0),
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(0),
            next: AtomicU64::new(0),
            waiting: Mutex::default(),
        }))
    }

    /// A receiver that has seen the present value.
    pub fn subscribe(&self) -> Receiver<T> {
        let seen = self.0.version.load(Ordering::SeqCst);
        Receiver::numbered(Arc::clone(&self.0), seen)
    }

    /// Whether there is any receiver.
    pub fn is_heard(&self) -> bool {
        self.0.receivers.load(Ordering::SeqCst) > 0
    }

    /// The present value.
    pub fn borrow(&self) -> Ref<'_, T> {
        self.0.read()
    }

    /// Puts `value` in the place of the present one.
    pub fn send_replace(&self, value: T) {
        self.send_if_modified(|current| {
            *current = value;
            true
        });
    }

    /// Changes the value, and tells it where `modify` says so; whether it did. Not where `modify`
    /// panics.
    pub fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        {
            let mut value = self.0.value.write().unwrap_or_else(PoisonError::into_inner);
            if !modify(&mut value) {
                return false;
            }
            self.0.version.fetch_add(1, Ordering::SeqCst);
        }
        self.0.wake();
        true
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.senders.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.0.senders.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.wake();
        }
    }
}

impl<T> Receiver<T> {
    fn numbered(shared: Arc<Shared<T>>, seen: u64) -> Self {
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        shared.receivers.fetch_add(1, Ordering::SeqCst);
        Self { shared, number, seen }
    }

    /// Waits until there is a value that was not seen yet, and takes it as seen.
    ///
    /// # Errors
    /// [`Closed`] where no other can come. Cancelling the wait loses nothing.
    pub async fn changed(&mut self) -> Result<(), Closed> {
        poll_fn(|context| {
            if let Some(news) = self.news() {
                return Poll::Ready(news);
            }
            self.shared.waiting().insert(self.number, context.waker().clone());
            // Once more, since a value may have come before the waker stood there.
            self.news().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    fn news(&mut self) -> Option<Result<(), Closed>> {
        // Read before the version, so that the last value of the last sender is not missed.
        let is_closed = self.shared.senders.load(Ordering::SeqCst) == 0;
        let version = self.shared.version.load(Ordering::SeqCst);
        if version != self.seen {
            self.seen = version;
            return Some(Ok(()));
        }
        is_closed.then_some(Err(Closed))
    }

    /// The present value, whether or not it was seen.
    pub fn borrow(&self) -> Ref<'_, T> {
        self.shared.read()
    }

    /// The present value, which counts as seen from now on.
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let value = self.shared.read();
        self.seen = self.shared.version.load(Ordering::SeqCst);
        value
    }

    /// Lets the present value count as not seen.
    pub fn mark_changed(&mut self) {
        self.seen = self.shared.version.load(Ordering::SeqCst).wrapping_sub(1);
    }

    /// Whether there is a value that was not seen yet.
    pub fn has_changed(&self) -> bool {
        self.shared.version.load(Ordering::SeqCst) != self.seen
    }

    /// Waits until the value is as wanted: the present one, or a later one that is seen in time.
    ///
    /// # Errors
    /// [`Closed`] where no other can come.
    pub async fn wait_for(
        &mut self,
        mut is_wanted: impl FnMut(&T) -> bool,
    ) -> Result<Ref<'_, T>, Closed> {
        loop {
            if is_wanted(&self.borrow_and_update()) {
                return Ok(self.shared.read());
            }
            self.changed().await?;
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self::numbered(Arc::clone(&self.shared), self.seen)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.receivers.fetch_sub(1, Ordering::SeqCst);
        self.shared.waiting().remove(&self.number);
    }
}

impl<T: fmt::Debug> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sender").field(&*self.borrow()).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receiver").field(&*self.borrow()).finish()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};

    use super::*;

    #[test]
    fn the_newest_value_is_heard_once_by_each() {
        let (sender, mut first) = channel(1);
        let mut second = first.clone();
        assert_eq!(first.changed().now_or_never(), None);
        sender.send_replace(2);
        sender.send_replace(3);
        for receiver in [&mut first, &mut second] {
            assert_eq!(receiver.changed().now_or_never(), Some(Ok(())));
            assert_eq!(*receiver.borrow(), 3);
            assert_eq!(receiver.changed().now_or_never(), None);
        }
        assert!(!sender.send_if_modified(|_| false));
        assert_eq!(first.changed().now_or_never(), None);
        first.mark_changed();
        assert_eq!(first.changed().now_or_never(), Some(Ok(())));
    }

    #[test]
    fn the_last_value_is_heard_before_the_end() {
        let (sender, mut receiver) = channel(1);
        sender.clone().send_replace(2);
        drop(sender);
        assert_eq!(receiver.changed().now_or_never(), Some(Ok(())));
        assert_eq!(receiver.changed().now_or_never(), Some(Err(Closed)));
    }

    #[tokio::test]
    async fn receivers_are_woken_in_the_order_in_which_they_came() {
        for _ in 0..50 {
            let sender = Sender::new(0);
            let mut waiting: FuturesUnordered<_> = (0..20)
                .map(|number| {
                    let mut receiver = sender.subscribe();
                    async move { receiver.changed().await.map(|()| number) }
                })
                .collect();
            assert!(waiting.next().now_or_never().is_none());
            sender.send_replace(1);
            let woken: Vec<_> = waiting.by_ref().take(20).map(Result::unwrap).collect().await;
            assert_eq!(woken, (0..20).collect::<Vec<_>>());
        }
    }
}
