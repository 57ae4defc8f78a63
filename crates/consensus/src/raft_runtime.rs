//! What openraft runs on: tokio's time, and tasks and randomness of the node's host.
//!
//! openraft asks for its runtime by type, so the host comes to it as a task-local value: whoever
//! starts openraft does so inside of [`within`], and what openraft starts inherits it. A simulation
//! thereby has all of openraft's randomness, and can end or freeze its tasks with their process.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use openraft_rt::{AsyncRuntime, OptionalSend, OptionalSync, watch as hook};
use openraft_rt_tokio::{TokioInstant, TokioMpsc, TokioMutex, TokioOneshot, TokioRuntime};
use quarry_ports::{Host, watch};
use rand::{SeedableRng, rngs::SmallRng};
use tokio::sync::oneshot;

tokio::task_local! {
    static HOST: Host;
}

/// Runs `work` so that what openraft starts in it belongs to `host`.
pub(crate) async fn within<T>(host: &Host, work: impl Future<Output = T>) -> T {
    HOST.scope(host.clone(), work).await
}

/// The host of the present task; outside of [`within`], where openraft's callers are, the machine.
fn host() -> Host {
    HOST.try_with(Clone::clone).unwrap_or_else(|_| Host::system())
}

/// See the module.
#[derive(Debug)]
pub(crate) struct HostRuntime(TokioRuntime);

/// The way to a task's result.
pub(crate) struct Running<T>(oneshot::Receiver<T>);

/// A task ended without a result: it was ended, or it panicked.
#[derive(Debug, thiserror::Error)]
#[error("the task ended without a result")]
pub(crate) struct NoResult;

impl<T> Future for Running<T> {
    type Output = Result<T, NoResult>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|result| result.map_err(|_| NoResult))
    }
}

impl AsyncRuntime for HostRuntime {
    type JoinError = NoResult;
    type JoinHandle<T: OptionalSend + 'static> = Running<T>;
    type Sleep = tokio::time::Sleep;
    type Instant = TokioInstant;
    type TimeoutError = tokio::time::error::Elapsed;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = tokio::time::Timeout<T>;
    type ThreadLocalRng = SmallRng;
    type Mpsc = TokioMpsc;
    type Watch = HostWatch;
    type Oneshot = TokioOneshot;
    type Mutex<T: OptionalSend + 'static> = TokioMutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        let (done, result) = oneshot::channel();
        let host = host();
        // Nobody may wait for the result.
        let task = HOST.scope(host.clone(), async move { drop(done.send(future.await)) });
        drop(host.spawn("raft", task));
        Running(result)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        tokio::time::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        TokioRuntime::sleep_until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        tokio::time::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        TokioRuntime::timeout_at(deadline, future)
    }

    /// openraft is shut down in order before its tasks are ended, so one without a result failed.
    fn is_panic(NoResult: &Self::JoinError) -> bool {
        true
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        SmallRng::seed_from_u64(host().random.next_u64())
    }

    fn new(threads: usize) -> Self {
        Self(TokioRuntime::new(threads))
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.0.block_on(future)
    }
}

/// openraft's watches, by the channel of the ports.
pub(crate) struct HostWatch;

/// Tells values.
pub(crate) struct Teller<T>(watch::Sender<T>);

/// Hears of values.
pub(crate) struct Listener<T>(watch::Receiver<T>);

impl hook::Watch for HostWatch {
    type Sender<T: OptionalSend + OptionalSync> = Teller<T>;
    type Receiver<T: OptionalSend + OptionalSync> = Listener<T>;
    type Ref<'a, T: OptionalSend + 'a> = watch::Ref<'a, T>;

    fn channel<T: OptionalSend + OptionalSync>(init: T) -> (Self::Sender<T>, Self::Receiver<T>) {
        let (sender, receiver) = watch::channel(init);
        (Teller(sender), Listener(receiver))
    }
}

impl<T> Clone for Teller<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Clone for Listener<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: OptionalSend + OptionalSync> hook::WatchSender<HostWatch, T> for Teller<T> {
    fn send(&self, value: T) -> Result<(), hook::SendError<T>> {
        if self.0.is_heard() {
            self.0.send_replace(value);
            Ok(())
        } else {
            Err(hook::SendError(value))
        }
    }

    fn send_if_modified<F>(&self, modify: F) -> bool
    where
        F: FnOnce(&mut T) -> bool,
    {
        self.0.send_if_modified(modify)
    }

    fn borrow_watched(&self) -> watch::Ref<'_, T> {
        self.0.borrow()
    }

    fn subscribe(&self) -> Listener<T> {
        Listener(self.0.subscribe())
    }
}

impl<T: OptionalSend + OptionalSync> hook::WatchReceiver<HostWatch, T> for Listener<T> {
    async fn changed(&mut self) -> Result<(), hook::RecvError> {
        self.0.changed().await.map_err(|_| hook::RecvError(()))
    }

    fn borrow_watched(&self) -> watch::Ref<'_, T> {
        self.0.borrow()
    }

    fn borrow_and_update(&mut self) -> watch::Ref<'_, T> {
        self.0.borrow_and_update()
    }
}

impl fmt::Debug for HostWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostWatch")
    }
}
