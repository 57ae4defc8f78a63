//! Looks for messages by key: what is asked while a look is under way goes together in the next, since
//! it is the exchange with the database that costs, and not the key.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use quarry_ports::{Host, KeyQuery, MessageRecord, StoreError};
use quarry_types::Monotonic;
use tokio::sync::oneshot;

use crate::{database::Database, queue::Queue, read};

/// Lookers of a store, each with a connection: while one waits for a slow answer the other goes on.
const LOOKERS: usize = 2;
/// Keys of one look: few enough that what is found of all of them is no burden.
const TOGETHER: usize = 16;
/// Questions that wait; more are refused as unavailable.
const WAITING: usize = 16_384;
/// A question that waited for this long is not asked any more.
const ASKED_WITHIN: Duration = Duration::from_secs(5);
/// A look that fails after this long has met a database that is silent: so would the next.
const SILENT: Duration = Duration::from_secs(1);

type Found = Vec<Option<MessageRecord>>;

struct Question {
    keys: Vec<KeyQuery>,
    asked: Monotonic,
    answer: oneshot::Sender<Result<Found, StoreError>>,
}

impl Question {
    fn answer(self, found: Result<Found, StoreError>) {
        // Whoever asked may be gone.
        drop(self.answer.send(found));
    }
}

/// The lookers of a store. They end when it is dropped.
pub(crate) struct Lookups {
    queue: Arc<Queue<Question>>,
    host: Host,
}

impl Lookups {
    pub(crate) fn start<D: Database>(database: &Arc<D>, host: &Host) -> Self {
        let queue = Arc::new(Queue::new(WAITING));
        for _ in 0..LOOKERS {
            let looker = Looker {
                database: Arc::clone(database),
                queue: Arc::clone(&queue),
                host: host.clone(),
            };
            host.spawn("store-lookup", looker.run());
        }
        Self { queue, host: host.clone() }
    }

    /// The messages of these keys, in the order asked.
    pub(crate) async fn find(&self, keys: Vec<KeyQuery>) -> Result<Found, StoreError> {
        let (answer, answered) = oneshot::channel();
        if !self.queue.push(Question { keys, asked: self.host.now(), answer }) {
            return Err(unavailable("too many look for a message by its key"));
        }
        answered.await.unwrap_or_else(|_| Err(unavailable("the store is closed")))
    }
}

impl Drop for Lookups {
    fn drop(&mut self) {
        self.queue.close();
    }
}

fn unavailable(reason: &str) -> StoreError {
    StoreError::Unavailable { reason: reason.to_owned() }
}

struct Looker<D> {
    database: Arc<D>,
    queue: Arc<Queue<Question>>,
    host: Host,
}

impl<D: Database> Looker<D> {
    /// Runs until the queue is closed and empty.
    async fn run(self) {
        while let Some(mut group) = self.queue.take_with(gather).await {
            let now = self.host.now();
            for late in group.extract_if(.., |question| now.since(question.asked) >= ASKED_WITHIN) {
                late.answer(Err(unavailable("the store does not answer in time")));
            }
            if !group.is_empty() {
                self.look(group).await;
            }
        }
    }

    /// Answers a group. What cannot be read is the error only of who asked for it; where the database is
    /// silent, all who wait hear it.
    async fn look(&self, group: Vec<Question>) {
        let began = self.host.now();
        let keys: Vec<KeyQuery> = group.iter().flat_map(|question| question.keys.clone()).collect();
        match read::find_keys(&*self.database, &keys).await {
            Ok(found) => {
                let mut found = found.into_iter();
                for question in group {
                    let own = found.by_ref().take(question.keys.len()).collect();
                    question.answer(Ok(own));
                }
            }
            Err(StoreError::Corrupt { .. }) if group.len() > 1 => {
                for question in group {
                    let found = read::find_keys(&*self.database, &question.keys).await;
                    question.answer(found);
                }
            }
            Err(error) => {
                let mut waiting = VecDeque::from(group);
                if self.host.now().since(began) >= SILENT {
                    self.queue.take_more(&mut waiting);
                }
                for question in waiting {
                    question.answer(Err(error.clone()));
                }
            }
        }
    }
}

/// The next questions that go together. Nobody looks for those who do not wait any more.
fn gather(waiting: &mut VecDeque<Question>) -> Vec<Question> {
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
    group
}
