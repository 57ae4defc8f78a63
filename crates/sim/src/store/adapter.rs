//! The adapter of one process on a [`MemoryDatabase`].

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use quarry_ports::{
    ChunkBody, Clock, ClockRead, Commit, CommitError, Committed, EntityFilter, EntityRecord,
    FenceError, FenceRequest, JournalEntry, JournalQuery, KeyQuery, LeaseGuard, LoadedShard,
    MessageFilter, MessageRecord, OpenPage, OpenQuery, Page, Position, Retired, Retiring, SendPage,
    Store, StoreError, StoredChunk, StoredState,
};
use quarry_types::{
    Address, ClusterId, Epoch, MessageId, Sequence, ShardId, SlotRange, Space,
    planted::{Bug, is_planted},
};
use tokio::sync::oneshot;

use super::{
    LostCommit, MemoryDatabase, list,
    tables::Tables,
    weather::{Fate, Sky},
};

struct Held {
    epoch: Epoch,
    range: SlotRange,
    sequence: Sequence,
    /// What every commit is answered until the shard is loaded anew.
    lost: Option<CommitError>,
}

/// A store in memory. A commit is applied when it is first polled, so the order of calls is the
/// order of commits; where its database has a [`Weather`](super::Weather), when it has arrived there.
pub struct MemoryStore {
    database: Arc<MemoryDatabase>,
    clock: Arc<dyn Clock>,
    reader: Arc<dyn Clock>,
    held: Mutex<BTreeMap<ShardId, Held>>,
    commits: AtomicU64,
}

impl MemoryStore {
    /// Opens `database` as one process does. Store time is `clock`'s wall time.
    pub fn open(database: &Arc<MemoryDatabase>, clock: Arc<dyn Clock>) -> Arc<Self> {
        Self::open_by(database, Arc::clone(&clock), clock)
    }

    /// The same where the process that opens it has another clock: `reader`.
    pub fn open_by(
        database: &Arc<MemoryDatabase>,
        clock: Arc<dyn Clock>,
        reader: Arc<dyn Clock>,
    ) -> Arc<Self> {
        Arc::new(Self {
            database: Arc::clone(database),
            clock,
            reader,
            held: Mutex::default(),
            commits: AtomicU64::new(0),
        })
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<ShardId, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> Result<MutexGuard<'_, Tables>, StoreError> {
        match self.database.faults().unavailable() {
            Some(reason) => Err(StoreError::Unavailable { reason }),
            None => Ok(self.database.tables()),
        }
    }

    /// Rows of slots that this process owns are about to be read (L4).
    fn owner_reads(&self, ranges: impl Iterator<Item = SlotRange>) {
        let Some(witness) = self.database.witness() else { return };
        let held = self.held();
        for range in ranges {
            let has =
                |held: &Held| held.range.contains(range.first) && held.range.contains(range.last);
            witness.read(range, held.values().any(has));
        }
    }

    fn write(&self, commit: &Commit, lease: &LeaseGuard) -> Result<Committed, CommitError> {
        let mut held = self.held();
        let Some(shard) = held.get_mut(&commit.shard) else {
            return Err(CommitError::Fenced { recorded: Epoch(0) });
        };
        if let Some(lost) = &shard.lost {
            return Err(lost.clone());
        }
        if shard.epoch != commit.epoch {
            return Err(CommitError::Fenced { recorded: shard.epoch });
        }
        let result = self.send(commit, lease, shard);
        match &result {
            Ok(done) => shard.sequence = done.sequence,
            Err(CommitError::Rejected { .. } | CommitError::Unavailable { .. }) => {}
            Err(error) => shard.lost = Some(error.clone()),
        }
        result
    }

    fn send(
        &self,
        commit: &Commit,
        lease: &LeaseGuard,
        shard: &Held,
    ) -> Result<Committed, CommitError> {
        if !lease.is_held() {
            return Err(CommitError::LeaseOver); // L2
        }
        let faults = self.database.faults();
        if let Some(reason) = faults.unavailable() {
            return Err(CommitError::Unavailable { reason });
        }
        let lost = faults.next_lost();
        let sequence = shard.sequence.next();
        if lost != Some(LostCommit::NotWritten) {
            self.database.write(commit, shard.range, sequence)?;
            self.commits.fetch_add(1, Ordering::Relaxed);
        }
        match lost {
            Some(_) => Err(CommitError::Undecided { reason: "the answer was lost".to_owned() }),
            None => Ok(Committed { sequence, first_ordinal: 0 }),
        }
    }
}

impl MemoryStore {
    /// Waits as long as a question takes to the database.
    async fn on_the_way(&self) {
        if let Some(sky) = self.database.sky() {
            tokio::time::sleep(sky.way()).await;
        }
    }

    /// What a commit would be written as, if it may leave this process.
    fn leave(
        &self,
        commit: &Commit,
        lease: &LeaseGuard,
    ) -> Result<(SlotRange, Sequence), CommitError> {
        let held = self.held();
        let Some(shard) = held.get(&commit.shard) else {
            return Err(CommitError::Fenced { recorded: Epoch(0) });
        };
        if let Some(lost) = &shard.lost {
            return Err(lost.clone());
        }
        if shard.epoch != commit.epoch {
            return Err(CommitError::Fenced { recorded: shard.epoch });
        }
        if !lease.is_held() {
            return Err(CommitError::LeaseOver); // L2
        }
        match self.database.faults().unavailable() {
            Some(reason) => Err(CommitError::Unavailable { reason }),
            None => Ok((shard.range, shard.sequence.next())),
        }
    }

    /// Sends `commit` to the database, where it arrives whatever becomes of this process.
    async fn commit_under(
        &self,
        sky: &Arc<Sky>,
        commit: Commit,
        lease: &LeaseGuard,
    ) -> Result<Committed, CommitError> {
        let (shard, epoch) = (commit.shard, commit.epoch);
        let result = match self.leave(&commit, lease) {
            Ok((range, sequence)) => {
                let (database, sky) = (Arc::clone(&self.database), Arc::clone(sky));
                let (answer, answered) = oneshot::channel();
                let host = sky.host.clone();
                let early = is_planted(Bug::AckEarly).then_some(sequence);
                drop(host.spawn("commit", async move {
                    let result = database.arrive(&sky, &commit, range, sequence).await;
                    // The process may be gone.
                    drop(answer.send(result));
                }));
                let undecided = CommitError::Undecided { reason: "the answer was lost".to_owned() };
                match early {
                    Some(sequence) => Ok(Committed { sequence, first_ordinal: 0 }),
                    None => answered.await.unwrap_or(Err(undecided)),
                }
            }
            Err(error) => Err(error),
        };
        if let Some(shard) = self.held().get_mut(&shard).filter(|shard| shard.epoch == epoch) {
            match &result {
                Ok(done) => shard.sequence = done.sequence,
                Err(CommitError::Rejected { .. } | CommitError::Unavailable { .. }) => {}
                Err(error) => shard.lost = Some(error.clone()),
            }
        }
        result
    }
}

impl MemoryDatabase {
    fn write(
        &self,
        commit: &Commit,
        range: SlotRange,
        sequence: Sequence,
    ) -> Result<(), CommitError> {
        let written = self.tables().write(commit, range, sequence);
        if let Some(witness) = self.witness() {
            match &written {
                Ok(entered) => witness.committed(commit, sequence, entered),
                Err(CommitError::Fenced { recorded }) => witness.fenced(commit, *recorded),
                Err(_) => {}
            }
        }
        written.map(drop)
    }

    /// Takes a commit that left its process.
    async fn arrive(
        &self,
        sky: &Sky,
        commit: &Commit,
        range: SlotRange,
        sequence: Sequence,
    ) -> Result<Committed, CommitError> {
        if let Some(witness) = self.witness() {
            witness.left(commit);
        }
        tokio::time::sleep(sky.way_of_commit()).await;
        let fate = sky.fate();
        let result = match fate {
            Fate::Refused => {
                Err(CommitError::Unavailable { reason: "the database is busy".to_owned() })
            }
            Fate::LostRequest => Ok(()),
            Fate::Answered | Fate::LostAnswer => self.write(commit, range, sequence),
        };
        let is_lost = matches!(fate, Fate::LostAnswer | Fate::LostRequest);
        if let Some(witness) = self.witness() {
            witness.arrived(commit, is_lost);
        }
        tokio::time::sleep(sky.way()).await;
        if is_lost {
            return Err(CommitError::Undecided { reason: "the answer was lost".to_owned() });
        }
        result.map(|()| Committed { sequence, first_ordinal: 0 })
    }
}

/// The slot of an entity.
fn one(address: &Address) -> SlotRange {
    SlotRange { first: address.slot(), last: address.slot() }
}

#[async_trait]
impl Store for MemoryStore {
    async fn identity(&self) -> Result<Option<ClusterId>, StoreError> {
        Ok(self.read()?.cluster)
    }

    async fn adopt(&self, cluster: ClusterId) -> Result<ClusterId, StoreError> {
        Ok(*self.read()?.cluster.get_or_insert(cluster))
    }

    async fn load_shard(&self, request: FenceRequest) -> Result<LoadedShard, FenceError> {
        let asked = self.reader.monotonic();
        self.on_the_way().await;
        let read = ClockRead { asked, answered: self.reader.monotonic() };
        let mut held = self.held();
        let loaded = self.read()?.load(request, self.clock.wall(), read)?;
        if let Some(witness) = self.database.witness() {
            witness.loaded(&request, &loaded);
        }
        let shard = Held {
            epoch: request.epoch,
            range: request.range,
            sequence: loaded.sequence,
            lost: None,
        };
        held.insert(request.shard, shard);
        Ok(loaded)
    }

    async fn check_fences(&self, shards: Vec<(ShardId, Epoch)>) -> Result<Vec<bool>, StoreError> {
        self.on_the_way().await;
        let tables = self.read()?;
        Ok(shards.into_iter().map(|(shard, epoch)| tables.epoch(shard) == epoch).collect())
    }

    async fn open_messages(&self, query: OpenQuery, limit: u32) -> Result<OpenPage, StoreError> {
        self.on_the_way().await;
        self.owner_reads(std::iter::once(query.range));
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut page = self.read()?.open_messages(&query, limit);
        if !page.messages.is_empty() && self.database.faults().loses_row() {
            page.messages.remove(0);
        }
        Ok(page)
    }

    /// Simulated clusters bind no types, so the slots alone tell whose the sends are.
    async fn open_sends(
        &self,
        _space: Space,
        range: SlotRange,
        after: Option<Position>,
        limit: u32,
    ) -> Result<SendPage, StoreError> {
        self.on_the_way().await;
        self.owner_reads(std::iter::once(range));
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(self.read()?.open_sends(range, after, limit))
    }

    async fn find_keys(
        &self,
        queries: Vec<KeyQuery>,
    ) -> Result<Vec<Option<MessageRecord>>, StoreError> {
        self.on_the_way().await;
        self.owner_reads(queries.iter().map(|query| one(&query.address)));
        let tables = self.read()?;
        let keys = queries.into_iter().map(|query| (query.address, query.method, query.key));
        Ok(keys.map(|key| tables.by_key(&key)).collect())
    }

    async fn states(
        &self,
        addresses: Vec<Address>,
    ) -> Result<Vec<Option<StoredState>>, StoreError> {
        self.on_the_way().await;
        self.owner_reads(addresses.iter().map(one));
        let tables = self.read()?;
        let stored = addresses.iter().map(|address| {
            tables
                .states
                .get(address)
                .map(|state| StoredState { state: state.bytes.clone(), sequence: state.sequence })
        });
        Ok(stored.collect())
    }

    async fn commit(&self, commit: Commit, lease: &LeaseGuard) -> Result<Committed, CommitError> {
        if let Some(sky) = self.database.sky() {
            return self.commit_under(sky, commit, lease).await;
        }
        let result = self.write(&commit, lease);
        let time = self.database.faults().commit_time();
        if time.is_zero() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(time).await;
        }
        result
    }

    async fn retire(
        &self,
        shards: Vec<Retiring>,
        limit: u32,
        lease: &LeaseGuard,
    ) -> Result<Retired, StoreError> {
        let held = self.held();
        let mut tables = self.read()?;
        let mut left = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut all = Retired::default();
        for Retiring { shard, epoch, age, record } in shards {
            let Some(range) = held.get(&shard).map(|held| held.range) else { continue };
            if !lease.is_held() || tables.epoch(shard) != epoch {
                continue;
            }
            if record {
                tables.record_age(shard, range, age);
            }
            let retired = tables.retire(range, age, left);
            left = left.saturating_sub(usize::try_from(retired.messages).unwrap_or(left));
            all.messages += retired.messages;
            all.more |= retired.more;
        }
        Ok(all)
    }

    async fn message(&self, message_id: MessageId) -> Result<Option<MessageRecord>, StoreError> {
        Ok(self.read()?.record(message_id))
    }

    async fn chunks(
        &self,
        message_id: MessageId,
        from: u64,
        limit: u32,
    ) -> Result<Vec<StoredChunk>, StoreError> {
        Ok(self.read()?.chunk_page(message_id, from, limit).cloned().collect())
    }

    async fn chunk_counts(&self, messages: Vec<MessageId>) -> Result<Vec<u64>, StoreError> {
        let tables = self.read()?;
        let count = |id| tables.chunks.get(id).map_or(0, Vec::len);
        Ok(messages.iter().map(|id| u64::try_from(count(id)).unwrap_or(u64::MAX)).collect())
    }

    async fn chunk_bodies(
        &self,
        message_id: MessageId,
        from: u64,
        limit: u32,
    ) -> Result<Vec<ChunkBody>, StoreError> {
        let tables = self.read()?;
        let page = tables.chunk_page(message_id, from, limit);
        Ok(page.map(|chunk| chunk.body.clone()).collect())
    }

    async fn journal(
        &self,
        query: JournalQuery,
        limit: u32,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        let tables = self.read()?;
        let entries = tables.journals.get(&query.address).into_iter().flatten();
        let wanted = entries.filter(|entry| {
            entry.sequence > query.after
                && query.kind.as_ref().is_none_or(|kind| *kind == entry.kind)
                && query.request_id.as_ref().is_none_or(|id| *id == entry.request_id)
        });
        Ok(wanted.take(usize::try_from(limit).unwrap_or(usize::MAX)).cloned().collect())
    }

    async fn messages(
        &self,
        filter: MessageFilter,
        cursor: Option<String>,
        limit: u32,
    ) -> Result<Page<MessageRecord>, StoreError> {
        let before = match cursor.map(|text| text.parse::<MessageId>()) {
            None => None,
            Some(Ok(id)) => Some(id),
            Some(Err(error)) => {
                return Err(StoreError::Corrupt { reason: format!("the cursor: {error}") });
            }
        };
        Ok(list::messages(&*self.read()?, &filter, before, limit))
    }

    async fn entities(
        &self,
        filter: EntityFilter,
        cursor: Option<String>,
        limit: u32,
    ) -> Result<Page<EntityRecord>, StoreError> {
        let after = cursor.map(|text| match text.split_once('/') {
            Some((entity_type, id)) => (entity_type.to_owned(), id.to_owned()),
            None => (text, String::new()),
        });
        Ok(list::entities(&*self.read()?, &filter, after.as_ref(), limit))
    }

    async fn check_writable(&self, _timeout: Duration) -> Result<(), StoreError> {
        self.read().map(drop)
    }

    fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}
