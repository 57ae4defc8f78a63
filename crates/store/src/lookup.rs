//! Looks for messages by key: what is asked while one look is under way goes together in the next, since
//! it is the exchange with the database that costs, and not the key.

use std::{collections::VecDeque, sync::Arc};

use quarry_ports::{Host, KeyQuery, MessageRecord, StoreError};
use tokio::sync::oneshot;

use crate::{database::Database, queue::Queue, read};

/// Lookers of a store, each with a connection at most: one that waits for a slow answer holds up only
/// its own share.
const LOOKERS: usize = 2;
/// Keys of one look.
const TOGETHER: usize = 64;
/// Questions that wait for one looker; more are refused as unavailable.
const WAITING: usize = 16_384;

type Found = Vec<Option<MessageRecord>>;

struct Question {
    keys: Vec<KeyQuery>,
    answer: oneshot::Sender<Result<Found, StoreError>>,
}

/// The lookers of a store. They end when it is dropped.
pub(crate) struct Lookups(Vec<Arc<Queue<Question>>>);

impl Lookups {
    pub(crate) fn start<D: Database>(database: &Arc<D>, host: &Host) -> Self {
        let start = |_| {
            let queue = Arc::new(Queue::new(WAITING));
            host.spawn("store-lookup", run(Arc::clone(database), Arc::clone(&queue)));
            queue
        };
        Self((0..LOOKERS).map(start).collect())
    }

    /// The messages of these keys, in the order asked.
    pub(crate) async fn find(&self, keys: Vec<KeyQuery>) -> Result<Found, StoreError> {
        let slot = keys.first().map_or(0, |key| usize::from(key.address.slot().0));
        let (answer, answered) = oneshot::channel();
        let queue = slot.checked_rem(self.0.len()).and_then(|place| self.0.get(place));
        if !queue.is_some_and(|queue| queue.push(Question { keys, answer })) {
            return Err(unavailable("too many look for a message by its key"));
        }
        answered.await.unwrap_or_else(|_| Err(unavailable("the store is closed")))
    }
}

impl Drop for Lookups {
    fn drop(&mut self) {
        for queue in &self.0 {
            queue.close();
        }
    }
}

fn unavailable(reason: &str) -> StoreError {
    StoreError::Unavailable { reason: reason.to_owned() }
}

/// Runs until the queue is closed and empty.
async fn run<D: Database>(database: Arc<D>, queue: Arc<Queue<Question>>) {
    while let Some(mut waiting) = queue.take().await {
        // Those who are about to ask do so first.
        tokio::task::yield_now().await;
        queue.take_more(&mut waiting);
        while let Some(group) = gather(&mut waiting) {
            look(&*database, group).await;
            queue.take_more(&mut waiting);
        }
    }
}

/// The next questions that go together. Nobody looks for those who do not wait any more.
fn gather(waiting: &mut VecDeque<Question>) -> Option<Vec<Question>> {
    let mut group: Vec<Question> = Vec::new();
    let mut keys = 0;
    while let Some(question) = waiting.pop_front() {
        if question.answer.is_closed() {
            continue;
        }
        keys += question.keys.len();
        if keys > TOGETHER && !group.is_empty() {
            waiting.push_front(question);
            break;
        }
        group.push(question);
    }
    (!group.is_empty()).then_some(group)
}

/// Answers a group. What cannot be read is the error only of who asked for it.
async fn look<D: Database>(database: &D, group: Vec<Question>) {
    let keys: Vec<KeyQuery> = group.iter().flat_map(|question| question.keys.clone()).collect();
    match read::find_keys(database, &keys).await {
        Ok(found) => {
            let mut found = found.into_iter();
            for question in group {
                let own = found.by_ref().take(question.keys.len()).collect();
                drop(question.answer.send(Ok(own)));
            }
        }
        Err(StoreError::Corrupt { .. }) if group.len() > 1 => {
            for question in group {
                let found = read::find_keys(database, &question.keys).await;
                drop(question.answer.send(found));
            }
        }
        Err(error) => {
            for question in group {
                drop(question.answer.send(Err(error.clone())));
            }
        }
    }
}
