//! The adapter: lanes over a database, and its reads.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use quarry_ports::{
    ChunkBody, Commit, CommitError, Committed, EntityFilter, EntityRecord, FenceError,
    FenceRequest, FoundCommit, Host, JournalEntry, JournalQuery, KeyQuery, KnownCommit, LeaseGuard,
    LoadedShard, MessageFilter, MessageRecord, Metrics, OpenPage, OpenQuery, Page, Position,
    Retired, Retiring, SendPage, Store, StoreError, StoredChunk, StoredState, crash::point,
};
use quarry_types::{Address, ClusterId, Epoch, MessageId, ShardId, SlotRange, Space};
use tokio::sync::{Semaphore, oneshot};

use crate::{
    committer::{Committer, Job, Request},
    database::Database,
    known::Known,
    lookup::Lookups,
    open::Options,
    queue::Queue,
    read, read_chunks, read_journal, read_open, read_sends,
    refusals::Refusals,
    retire::{Plan, Retirement},
    unreadable::Unreadable,
};

/// How long a load waits for its lane.
const HEARD_WITHIN: Duration = Duration::from_secs(5);

/// A [`Store`] over one of the databases.
pub(crate) struct SqlStore<D> {
    database: Arc<D>,
    lanes: Vec<Arc<Queue<Job>>>,
    /// Reads of what is open that may be under way at once: fewer than there are connections, so
    /// that a backlog never holds up what callers wait for.
    backlog: Semaphore,
    host: Host,
    commits: Arc<AtomicU64>,
    refusals: Refusals,
    known: Known,
    metrics: Metrics,
    unreadable: Unreadable,
    retirement: Retirement,
    keys: Lookups<KeyQuery>,
    states: Lookups<Address>,
}

impl<D: Database> SqlStore<D> {
    /// Starts the lanes. They end when the adapter is dropped.
    pub(crate) fn start(database: D, options: &Options, host: Host, metrics: &Metrics) -> Self {
        let database = Arc::new(database);
        let commits = Arc::new(AtomicU64::new(0));
        let (refusals, known) = (Refusals::default(), Known::default());
        let mut lanes = Vec::new();
        for lane in 0..database.lanes() {
            let queue = Arc::new(Queue::new(options.queued_commits));
            let committer = Committer {
                lane,
                database: Arc::clone(&database),
                queue: Arc::clone(&queue),
                host: host.clone(),
                metrics: metrics.clone(),
                commits: Arc::clone(&commits),
                refusals: refusals.clone(),
                known: known.clone(),
                heads: BTreeMap::new(),
                loads: 0,
            };
            host.spawn("store-committer", committer.run());
            lanes.push(queue);
        }
        let readers = usize::try_from(options.readers).unwrap_or(1);
        let keys = Lookups::start(&database, &host);
        let states = Lookups::start(&database, &host);
        Self {
            database,
            lanes,
            backlog: Semaphore::new(readers.saturating_sub(1).max(1)),
            host,
            commits,
            refusals,
            known,
            metrics: metrics.clone(),
            unreadable: Unreadable::new(metrics),
            retirement: Retirement::default(),
            keys,
            states,
        }
    }

    /// A shard is always on the same lane.
    fn lane(&self, shard: ShardId) -> Option<&Arc<Queue<Job>>> {
        let shard = usize::try_from(shard.0).unwrap_or(0);
        self.lanes.get(shard.checked_rem(self.lanes.len())?)
    }

    /// Tells the shard's lane `job`. A lane that waits for a silent database hears it late; the load
    /// is given up then and may be repeated.
    async fn tell(
        &self,
        shard: ShardId,
        job: Job,
        heard: oneshot::Receiver<()>,
    ) -> Result<(), StoreError> {
        let unavailable = |reason| StoreError::Unavailable { reason };
        let closed = || unavailable("the store is closed".to_owned());
        self.lane(shard).ok_or_else(closed)?.push_control(job);
        let heard = tokio::time::timeout(HEARD_WITHIN, heard).await;
        let heard = heard.map_err(|_| {
            unavailable(format!("earlier commits were under way for longer than {HEARD_WITHIN:?}"))
        })?;
        heard.map_err(|_| closed())
    }
}

impl<D> Drop for SqlStore<D> {
    fn drop(&mut self) {
        for lane in &self.lanes {
            lane.close();
        }
    }
}

#[async_trait]
impl<D: Database> Store for SqlStore<D> {
    async fn identity(&self) -> Result<Option<ClusterId>, StoreError> {
        read::identity(&*self.database).await
    }

    async fn adopt(&self, cluster: ClusterId) -> Result<ClusterId, StoreError> {
        self.database.adopt(cluster).await?;
        let owner = read::identity(&*self.database).await?;
        owner.ok_or_else(|| StoreError::Corrupt { reason: "cluster_identity is empty".to_owned() })
    }

    async fn load_shard(&self, request: FenceRequest) -> Result<LoadedShard, FenceError> {
        // Nothing of the shard is under way from here on, so that what is read stays true.
        let (begun, heard) = oneshot::channel();
        let job = Job::BeginLoad { shard: request.shard, begun };
        self.tell(request.shard, job, heard).await?;
        let loaded = self.database.load(request).await?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        point("fence-loaded");
        let (done, heard) = oneshot::channel();
        let job = Job::Loaded { request, loaded, done };
        self.tell(request.shard, job, heard).await?;
        Ok(loaded)
    }

    async fn check_fences(&self, shards: Vec<(ShardId, Epoch)>) -> Result<Vec<bool>, StoreError> {
        read::check_fences(&*self.database, &shards).await
    }

    async fn open_messages(&self, query: OpenQuery, limit: u32) -> Result<OpenPage, StoreError> {
        // The semaphore is never closed.
        let permit = self.backlog.acquire().await.ok();
        let reading = read_open::open_messages(&*self.database, &self.unreadable, &query, limit);
        let found = reading.await?;
        drop(permit);
        if let Some(sequence) = found.hold {
            // Heard before any commit that is handed over after this read.
            for lane in &self.lanes {
                lane.push_control(Job::Hold { space: query.space, range: query.range, sequence });
            }
        }
        Ok(found.page)
    }

    async fn open_sends(
        &self,
        space: Space,
        range: SlotRange,
        after: Option<Position>,
        limit: u32,
    ) -> Result<SendPage, StoreError> {
        let _permit = self.backlog.acquire().await.ok();
        let place = (space, range);
        read_sends::open_sends(&*self.database, &self.unreadable, place, after, limit).await
    }

    async fn find_keys(
        &self,
        queries: Vec<KeyQuery>,
    ) -> Result<Vec<Option<MessageRecord>>, StoreError> {
        self.keys.find(queries).await
    }

    async fn states(
        &self,
        addresses: Vec<Address>,
    ) -> Result<Vec<Option<StoredState>>, StoreError> {
        self.states.find(addresses).await
    }

    async fn commit(&self, commit: Commit, lease: &LeaseGuard) -> Result<Committed, CommitError> {
        let (answer, answered) = oneshot::channel();
        let shard = commit.shard;
        let request = Request { commit, lease: lease.clone(), answer, encoded: None };
        let queued = self.lane(shard).is_some_and(|lane| lane.push(Job::Commit(Box::new(request))));
        if !queued {
            let reason = "the queue of commits is full".to_owned();
            self.refusals.turned_away(self.host.now(), 1, &reason);
            self.metrics.commit_refused.with_label_values(&["unavailable"]).inc();
            return Err(CommitError::Unavailable { reason });
        }
        answered.await.unwrap_or_else(|_| {
            Err(CommitError::Undecided { reason: "the committer ended".to_owned() })
        })
    }

    async fn retire(
        &self,
        shards: Vec<Retiring>,
        limit: u32,
        lease: &LeaseGuard,
    ) -> Result<Retired, StoreError> {
        let database = &*self.database;
        let write = async |plan: &Plan| {
            let removed = database.retire(plan, lease).await?;
            self.commits.fetch_add(1, Ordering::Relaxed);
            Ok(removed)
        };
        self.retirement.retire(database, &shards, limit, write).await
    }

    async fn message(&self, message_id: MessageId) -> Result<Option<MessageRecord>, StoreError> {
        read::message(&*self.database, message_id).await
    }

    async fn chunks(
        &self,
        message_id: MessageId,
        from: u64,
        limit: u32,
    ) -> Result<Vec<StoredChunk>, StoreError> {
        read_chunks::chunks(&*self.database, message_id, (from, limit)).await
    }

    async fn chunk_counts(&self, messages: Vec<MessageId>) -> Result<Vec<u64>, StoreError> {
        read_chunks::counts(&*self.database, &messages).await
    }

    async fn chunk_bodies(
        &self,
        message_id: MessageId,
        from: u64,
        limit: u32,
    ) -> Result<Vec<ChunkBody>, StoreError> {
        read_chunks::bodies(&*self.database, &self.unreadable, message_id, (from, limit)).await
    }

    async fn journal(
        &self,
        query: JournalQuery,
        limit: u32,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        read_journal::journal(&*self.database, &query, limit).await
    }

    async fn messages(
        &self,
        filter: MessageFilter,
        cursor: Option<String>,
        limit: u32,
    ) -> Result<Page<MessageRecord>, StoreError> {
        read::messages(&*self.database, &filter, cursor, limit).await
    }

    async fn entities(
        &self,
        filter: EntityFilter,
        cursor: Option<String>,
        limit: u32,
    ) -> Result<Page<EntityRecord>, StoreError> {
        read::entities(&*self.database, &filter, cursor, limit).await
    }

    async fn check_writable(&self, timeout: Duration) -> Result<(), StoreError> {
        let probe = self.database.probe(self.host.clock.wall());
        tokio::time::timeout(timeout, probe).await.unwrap_or_else(|_| {
            let reason = format!("no answer to a write within {timeout:?}");
            Err(StoreError::Unavailable { reason })
        })?;
        // The probe changes a row in its place: a disk without space for another one takes it.
        match self.refusals.last(self.host.now()) {
            Some(reason) => Err(StoreError::Unavailable { reason }),
            None => Ok(()),
        }
    }

    fn known_commits(&self) -> Vec<KnownCommit> {
        self.known.all()
    }

    async fn find_commits(&self, known: Vec<KnownCommit>) -> Result<Vec<FoundCommit>, StoreError> {
        read::find_commits(&*self.database, &known).await
    }

    async fn failed(&self) -> String {
        self.database.failed().await
    }

    fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    fn describe(&self) -> String {
        self.database.describe()
    }
}
