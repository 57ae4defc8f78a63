//! Looks that many ask for at once, for messages by key and for states: what is asked while a look is
//! under way goes together in the next, since it is the exchange with the database that costs, and not
//! the row.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use quarry_ports::{Host, KeyQuery, MessageRecord, StoreError, StoredState};
use quarry_types::{Address, Monotonic};
use tokio::sync::oneshot;

use crate::{database::Database, queue::Queue, read};

/// Lookers of each kind: while one waits for a slow answer the other goes on.
const LOOKERS: u32 = 2;
/// Connections that all lookers use, for keys and for states.
pub(crate) const CONNECTIONS: u32 = 2 * LOOKERS;
/// Questions that wait; more are refused as unavailable.
const WAITING: usize = 16_384;
/// A question that waited for this long is not asked any more.
const ASKED_WITHIN: Duration = Duration::from_secs(5);
/// A look that fails after this long has met a database that is silent: so would the next.
const SILENT: Duration = Duration::from_secs(1);

/// What is looked for by one thing that names it.
pub(crate) trait Sought: Clone + Send + Sync + 'static {
    type Found: Send + 'static;

    /// What questions say that are turned away.
    const TOO_MANY: &'static str;
    /// How many go together in a look at most: so few that what is found of all of them can be read in
    /// the time that a look has.
    const TOGETHER: usize;

    /// What there is of each, in the order asked.
    fn look<D: Database>(
        database: &D,
        sought: &[Self],
    ) -> impl Future<Output = Result<Vec<Option<Self::Found>>, StoreError>> + Send;
}

impl Sought for KeyQuery {
    type Found = MessageRecord;

    const TOO_MANY: &'static str = "too many look for a message by its key";
    const TOGETHER: usize = 16;

    async fn look<D: Database>(database: &D, keys: &[Self]) -> Found<Self> {
        read::find_keys(database, keys).await
    }
}

impl Sought for Address {
    type Found = StoredState;

    const TOO_MANY: &'static str = "too many look for the state of an entity";
    /// A state may have some megabytes.
    const TOGETHER: usize = 8;

    async fn look<D: Database>(database: &D, addresses: &[Self]) -> Found<Self> {
        read::states(database, addresses).await
    }
}

type Found<S> = Result<Vec<Option<<S as Sought>::Found>>, StoreError>;

struct Question<S: Sought> {
    sought: Vec<S>,
    asked: Monotonic,
    answer: oneshot::Sender<Found<S>>,
}

impl<S: Sought> Question<S> {
    fn answer(self, found: Found<S>) {
        // Whoever asked may be gone.
        drop(self.answer.send(found));
    }
}

/// The lookers of a store. They end when it is dropped.
pub(crate) struct Lookups<S: Sought> {
    queue: Arc<Queue<Question<S>>>,
    host: Host,
}

impl<S: Sought> Lookups<S> {
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

    /// What there is of each, in the order asked. Who asks for much asks for it in parts, and others
    /// come in between.
    pub(crate) async fn find(&self, sought: Vec<S>) -> Found<S> {
        if sought.len() <= S::TOGETHER {
            return self.ask(sought).await;
        }
        let mut found = Vec::with_capacity(sought.len());
        for part in sought.chunks(S::TOGETHER) {
            found.extend(self.ask(part.to_vec()).await?);
        }
        Ok(found)
    }

    async fn ask(&self, sought: Vec<S>) -> Found<S> {
        let (answer, answered) = oneshot::channel();
        if !self.queue.push(Question { sought, asked: self.host.now(), answer }) {
            return Err(unavailable(S::TOO_MANY));
        }
        answered.await.unwrap_or_else(|_| Err(unavailable("the store is closed")))
    }
}

impl<S: Sought> Drop for Lookups<S> {
    fn drop(&mut self) {
        self.queue.close();
    }
}

fn unavailable(reason: &str) -> StoreError {
    StoreError::Unavailable { reason: reason.to_owned() }
}

struct Looker<D, S: Sought> {
    database: Arc<D>,
    queue: Arc<Queue<Question<S>>>,
    host: Host,
}

impl<D: Database, S: Sought> Looker<D, S> {
    /// Runs until the queue is closed and empty. After a look that was not answered in time it takes one
    /// question, and twice as much after each that was: what is slow to read may be so much that it cannot be
    /// read together.
    async fn run(self) {
        let mut together = S::TOGETHER;
        while let Some(mut group) = self.queue.take_with(|queue| gather(queue, together)).await {
            let now = self.host.now();
            for late in group.extract_if(.., |question| now.since(question.asked) >= ASKED_WITHIN) {
                late.answer(Err(unavailable("the store does not answer in time")));
            }
            if !group.is_empty() {
                let is_silent = self.look(group).await;
                together = if is_silent { 1 } else { S::TOGETHER.min(together * 2) };
            }
        }
    }

    /// Answers a group; whether the database was silent. What cannot be read is the error only of who
    /// asked for it; where the database is silent, all who wait hear it.
    async fn look(&self, group: Vec<Question<S>>) -> bool {
        let began = self.host.now();
        let sought: Vec<S> = group.iter().flat_map(|question| question.sought.clone()).collect();
        match self.look_for(&sought, began).await {
            Ok(found) => {
                let mut found = found.into_iter();
                for question in group {
                    let own = found.by_ref().take(question.sought.len()).collect();
                    question.answer(Ok(own));
                }
                false
            }
            Err(Failed { error, is_silent: false }) => {
                self.look_one_by_one(group, error, began).await
            }
            Err(Failed { error, is_silent: true }) => self.give_up(group.into(), &error),
        }
    }

    /// Answers a group that cannot be answered together, because of `error`; whether the database was
    /// silent.
    async fn look_one_by_one(
        &self,
        group: Vec<Question<S>>,
        error: StoreError,
        began: Monotonic,
    ) -> bool {
        let mut waiting = VecDeque::from(group);
        if waiting.len() == 1 {
            for question in waiting {
                question.answer(Err(error.clone()));
            }
            return false;
        }
        while let Some(question) = waiting.pop_front() {
            match self.look_for(&question.sought, began).await {
                Err(Failed { error, is_silent: true }) => {
                    waiting.push_front(question);
                    return self.give_up(waiting, &error);
                }
                found => question.answer(found.map_err(|failed| failed.error)),
            }
        }
        false
    }

    /// Tells all who wait that the database is silent, those of the queue too.
    fn give_up(&self, mut waiting: VecDeque<Question<S>>, error: &StoreError) -> bool {
        self.queue.take_more(&mut waiting);
        for question in waiting {
            question.answer(Err(error.clone()));
        }
        true
    }

    /// A failure is one of a silent database where the group's looks `began` too long ago.
    async fn look_for(
        &self,
        sought: &[S],
        began: Monotonic,
    ) -> Result<Vec<Option<S::Found>>, Failed> {
        let found = S::look(&*self.database, sought).await;
        let is_silent = || self.host.now().since(began) >= SILENT;
        found.map_err(|error| Failed { error, is_silent: is_silent() })
    }
}

/// Why a look came to nothing.
struct Failed {
    error: StoreError,
    is_silent: bool,
}

/// The next questions, which seek at most `most` together or are a single one. Nobody looks for those who
/// do not wait any more.
fn gather<S: Sought>(waiting: &mut VecDeque<Question<S>>, most: usize) -> Vec<Question<S>> {
    let mut group: Vec<Question<S>> = Vec::new();
    let mut together = 0;
    while let Some(question) = waiting.pop_front() {
        if question.answer.is_closed() {
            continue;
        }
        together += question.sought.len();
        if together > most && !group.is_empty() {
            waiting.push_front(question);
            break;
        }
        group.push(question);
    }
    group
}

#[cfg(test)]
mod tests {
    use quarry_types::{EntityId, EntityType, Tenant};

    use super::*;

    fn question(entities: usize) -> (Question<Address>, oneshot::Receiver<Found<Address>>) {
        let address = |number: usize| Address {
            tenant: Tenant::default_tenant(),
            entity_type: EntityType::new("Counter").unwrap(),
            id: EntityId::new(&format!("e{number}")).unwrap(),
        };
        let (answer, answered) = oneshot::channel();
        let asked = Host::system().now();
        (Question { sought: (0..entities).map(address).collect(), asked, answer }, answered)
    }

    fn groups(sizes: &[usize], most: usize, gone: &[usize]) -> Vec<Vec<usize>> {
        let (mut waiting, mut askers) = (VecDeque::new(), Vec::new());
        for (place, entities) in sizes.iter().enumerate() {
            let (question, answered) = question(*entities);
            waiting.push_back(question);
            askers.extend((!gone.contains(&place)).then_some(answered));
        }
        let mut groups = Vec::new();
        while !waiting.is_empty() {
            let group = gather(&mut waiting, most);
            groups.push(group.iter().map(|question| question.sought.len()).collect());
        }
        groups
    }

    #[test]
    fn questions_go_together_up_to_a_number_in_the_order_asked() {
        assert_eq!(groups(&[1, 3, 4, 1], 8, &[]), [vec![1, 3, 4], vec![1]]);
        assert_eq!(groups(&[1, 8, 2], 8, &[]), [vec![1], vec![8], vec![2]]);
        assert_eq!(groups(&[1, 1, 2], 1, &[]), [vec![1], vec![1], vec![2]], "one at a time");
        assert_eq!(groups(&[1, 8, 2], 8, &[1]), [vec![1, 2]], "nobody waits for the second");
    }
}
