//! A process of a simulation: tasks that can be ended or frozen together.

use std::{
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use quarry_ports::{Host, Spawn, Task, host::TokioSpawn};
use tokio::task::AbortHandle;

/// Starts tasks that can all be ended at once, as a kill does, or frozen, as `SIGSTOP` does: time
/// goes on meanwhile, and what was due is late.
#[derive(Default)]
pub struct Process(Mutex<Tasks>);

#[derive(Default)]
struct Tasks {
    handles: Vec<AbortHandle>,
    started: u64,
    is_dead: bool,
    is_frozen: bool,
    /// Tasks that were woken while they were frozen, by their numbers.
    woken: BTreeMap<u64, Waker>,
    panics: u64,
}

impl Process {
    /// A process without tasks.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `host` as tasks of this process see it.
    pub fn host(self: &Arc<Self>, host: &Host) -> Host {
        Host { spawn: Arc::new(Starter(Arc::clone(self))), ..host.clone() }
    }

    /// Ends all of its tasks at their present await, as a kill would. What they still start ends at
    /// once.
    pub fn kill(&self) {
        let handles = {
            let mut tasks = self.tasks();
            tasks.is_dead = true;
            tasks.woken.clear();
            std::mem::take(&mut tasks.handles)
        };
        for handle in handles {
            handle.abort();
        }
    }

    /// Whether it was killed.
    pub fn is_dead(&self) -> bool {
        self.tasks().is_dead
    }

    /// How many of its tasks panicked.
    pub fn panics(&self) -> u64 {
        self.tasks().panics
    }

    /// No task runs any further until [`Process::thaw`].
    pub fn freeze(&self) {
        self.tasks().is_frozen = true;
    }

    /// Whether it is frozen.
    pub fn is_frozen(&self) -> bool {
        self.tasks().is_frozen
    }

    /// Its tasks go on, those that were woken meanwhile in the order in which they were started.
    pub fn thaw(&self) {
        let woken = {
            let mut tasks = self.tasks();
            tasks.is_frozen = false;
            std::mem::take(&mut tasks.woken)
        };
        woken.into_values().for_each(Waker::wake);
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").finish_non_exhaustive()
    }
}

struct Starter(Arc<Process>);

impl Spawn for Starter {
    fn spawn_boxed(
        &self,
        name: &'static str,
        future: Pin<Box<dyn Future<Output = ()> + Send>>,
    ) -> Task {
        let number = {
            let mut tasks = self.0.tasks();
            tasks.started += 1;
            tasks.started
        };
        let task = Gated { process: Arc::clone(&self.0), number, future };
        let task = TokioSpawn.spawn_boxed(name, Box::pin(task));
        let mut tasks = self.0.tasks();
        if tasks.is_dead {
            task.abort();
        } else {
            if tasks.handles.len() >= 64 && tasks.started.is_multiple_of(64) {
                tasks.handles.retain(|task| !task.is_finished());
            }
            tasks.handles.push(task.abort_handle());
        }
        task
    }
}

/// A task that stands still while its process is frozen.
struct Gated {
    process: Arc<Process>,
    number: u64,
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Future for Gated {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let number = self.number;
        {
            let mut tasks = self.process.tasks();
            if tasks.is_frozen {
                tasks.woken.insert(number, cx.waker().clone());
                return Poll::Pending;
            }
        }
        let future = self.future.as_mut();
        catch_unwind(AssertUnwindSafe(|| future.poll(cx))).unwrap_or_else(|panic| {
            self.process.tasks().panics += 1;
            resume_unwind(panic)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        time::Duration,
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_frozen_process_stands_still_and_a_killed_one_is_gone() {
        let process = Process::new();
        let host = process.host(&crate::host(1));
        let ticks = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&ticks);
        let task = host.spawn("ticks", async move {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        let after = |seconds: u64| tokio::time::sleep(Duration::from_millis(seconds * 1000 + 500));
        after(3).await;
        assert_eq!(ticks.load(Ordering::Relaxed), 3);
        process.freeze();
        after(10).await;
        assert_eq!(ticks.load(Ordering::Relaxed), 3, "nothing runs while it is frozen");
        process.thaw();
        after(0).await;
        assert_eq!(ticks.load(Ordering::Relaxed), 4, "what was due is late");
        process.kill();
        assert!(!task.ended().await);
        assert!(!host.spawn("late", std::future::pending()).ended().await);
    }
}
