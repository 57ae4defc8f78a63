//! Loads that wait go together: one transaction sets the fences of many shards.
//!
//! A node that takes over hundreds of shards would else pay a flush of the disk for each, one after
//! the other, while those that are loaded already work off their backlogs in the same database.

use std::{
    collections::{BTreeSet, VecDeque},
    future::pending,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use quarry_ports::{FenceError, FenceRequest, Host, LoadedShard, StoreError};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

use super::{
    fence::{self, NotSet},
    pool::Pool,
};

/// Transactions of loads at a time, so that one that waits for a fence does not hold up all others.
pub(super) const TURNS: u32 = 4;
/// Shards that one transaction loads at most.
const MOST: usize = 64;
/// How long a transaction of loads may take: 5 s of waiting for a fence that is held, and as much
/// for the rest. The wait for a turn is not counted.
const LOAD_WITHIN: Duration = Duration::from_secs(10);

/// What a load came to.
pub(super) type Loaded = Result<LoadedShard, FenceError>;

/// A load that waits for a turn.
struct Waiting {
    request: FenceRequest,
    answer: oneshot::Sender<Loaded>,
}

impl Waiting {
    fn tell(self, loaded: Loaded) {
        // Who asked may be gone; the load can be repeated.
        drop(self.answer.send(loaded));
    }
}

/// The loads that wait. Whoever gets a turn sets the fences of all of them, up to [`MOST`].
pub(super) struct Loads {
    /// At most one per shard task of the process.
    waiting: Mutex<VecDeque<Waiting>>,
    turns: Semaphore,
}

impl Loads {
    pub(super) fn new() -> Self {
        let turns = usize::try_from(TURNS).unwrap_or(1);
        Self { waiting: Mutex::default(), turns: Semaphore::new(turns) }
    }

    /// Held for a push or a drain only, never across an await.
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets a fence, with others or alone.
    pub(super) async fn load(&self, pool: &Pool, host: &Host, request: FenceRequest) -> Loaded {
        let mut answered = self.wait(request);
        loop {
            let (together, _turn) = tokio::select! {
                biased;
                answer = &mut answered => {
                    if let Ok(loaded) = answer {
                        return loaded;
                    }
                    // Who had it in hand was given up.
                    answered = self.wait(request);
                    continue;
                }
                turn = self.turn() => turn,
            };
            set(pool, host, together).await;
        }
    }

    fn wait(&self, request: FenceRequest) -> oneshot::Receiver<Loaded> {
        let (answer, answered) = oneshot::channel();
        self.waiting().push_back(Waiting { request, answer });
        answered
    }

    /// Waits for a turn, and for something to do in it.
    async fn turn(&self) -> (Vec<Waiting>, Option<SemaphorePermit<'_>>) {
        // The semaphore is never closed.
        let turn = self.turns.acquire().await.ok();
        let together = self.next();
        if together.is_empty() {
            drop(turn);
            // What waited is in other hands.
            return pending().await;
        }
        (together, turn)
    }

    /// The next loads, of different shards: one statement cannot set a fence twice.
    fn next(&self) -> Vec<Waiting> {
        let (mut together, mut shards) = (Vec::new(), BTreeSet::new());
        let mut waiting = self.waiting();
        for load in std::mem::take(&mut *waiting) {
            // Nobody waits for it any more.
            if load.answer.is_closed() {
                continue;
            }
            if together.len() < MOST && shards.insert(load.request.shard) {
                together.push(load);
            } else {
                waiting.push_back(load);
            }
        }
        together
    }
}

/// Loads `together` in one transaction. Those that begin, and all where a fence is held by a session
/// that cannot be ended, are loaded each in its own: only that one fails then.
async fn set(pool: &Pool, host: &Host, mut together: Vec<Waiting>) {
    if together.len() > 1 {
        // In the order in which commits lock fences.
        together.sort_by_key(|load| load.request.shard);
        let requests: Vec<FenceRequest> = together.iter().map(|load| load.request).collect();
        let loading = fence::load_all(pool, host, &requests);
        match pool.connector.within("a load", LOAD_WITHIN, loading).await {
            Ok(loaded) => {
                let mut rest = Vec::new();
                for (load, loaded) in together.into_iter().zip(loaded) {
                    match loaded {
                        Some(loaded) => load.tell(loaded),
                        None => rest.push(load),
                    }
                }
                together = rest;
            }
            Err(NotSet::Held(_)) => {}
            Err(error) => {
                let error = StoreError::from(error);
                for load in together {
                    load.tell(Err(error.clone().into()));
                }
                return;
            }
        }
    }
    for load in together {
        let loading = fence::load(pool, host, load.request);
        let loaded = pool.connector.within("a load", LOAD_WITHIN, loading).await;
        load.tell(loaded.unwrap_or_else(|error| Err(StoreError::from(error).into())));
    }
}
