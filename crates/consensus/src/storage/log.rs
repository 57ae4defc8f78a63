//! The log: all retained entries in memory, behind them the file.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    io,
    ops::RangeBounds,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use openraft::{
    LogState, OptionalSend, RaftLogReader,
    entry::RaftEntry,
    storage::{IOFlushed, RaftLogStorage},
};
use quarry_ports::codec::{self, schema};
use tokio::sync::{mpsc, oneshot};

use super::writer::Write;
use crate::group::{Entry, Group, LogId, Vote};

/// How many bytes of entries go to a follower at a time, unless the first one alone is larger.
const MAX_MESSAGE_BYTES: u64 = 4 * 1024 * 1024;

/// What the file holds, as memory.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) entries: BTreeMap<u64, Entry>,
    pub(super) sizes: BTreeMap<u64, u64>,
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<LogId>,
    pub(super) purged: Option<LogId>,
}

/// The log store. Clones share one log.
///
/// The lock guards memory only and is never held across an await. `append` puts entries into memory
/// and queues them for the writer; a vote is told to memory when it is durable.
#[derive(Clone)]
pub(crate) struct Log {
    held: Arc<Mutex<Held>>,
    writes: mpsc::Sender<Write>,
}

impl Log {
    pub(super) fn new(held: Held, writes: mpsc::Sender<Write>) -> Self {
        Self { held: Arc::new(Mutex::new(held)), writes }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many entries are behind `index`, and how many bytes they have.
    pub(crate) fn behind(&self, index: Option<u64>) -> (usize, u64) {
        let held = self.held();
        let first = index.map_or(0, |index| index.saturating_add(1));
        let sizes = held.sizes.range(first..);
        sizes.fold((0, 0), |(count, bytes), (_, size)| (count + 1, bytes + size))
    }

    /// Whether nothing was ever written: neither a vote nor an entry.
    pub(crate) fn is_empty(&self) -> bool {
        let held = self.held();
        held.vote.is_none() && held.entries.is_empty() && held.purged.is_none()
    }

    /// The index of the last entry; 0 before the first.
    pub(crate) fn last_index(&self) -> u64 {
        let held = self.held();
        let last = held.entries.last_key_value().map(|(index, _)| *index);
        last.or(held.purged.map(|purged| purged.index)).unwrap_or_default()
    }

    async fn queue(&self, write: Write) -> io::Result<()> {
        self.writes.send(write).await.map_err(|_| stopped())
    }
}

pub(super) fn stopped() -> io::Error {
    io::Error::other("the writer of the coordinator's file has stopped")
}

pub(super) fn encode_mark<T: serde::Serialize>(value: &T) -> io::Result<Bytes> {
    codec::encode(schema::RAFT_META, value).map_err(io::Error::other)
}

impl RaftLogReader<Group> for Log {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, io::Error> {
        Ok(self.held().entries.range(range).map(|(_, entry)| entry.clone()).collect())
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let held = self.held();
        let mut bytes = 0;
        let mut taken = Vec::new();
        for (index, entry) in held.entries.range(start..end) {
            bytes += held.sizes.get(index).copied().unwrap_or_default();
            if bytes > MAX_MESSAGE_BYTES && !taken.is_empty() {
                break;
            }
            taken.push(entry.clone());
        }
        Ok(taken)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.held().vote)
    }
}

impl RaftLogStorage<Group> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Group>, io::Error> {
        let held = self.held();
        let last = held.entries.last_key_value().map(|(_, entry)| entry.log_id);
        Ok(LogState { last_purged_log_id: held.purged, last_log_id: last.or(held.purged) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let (done, durable) = oneshot::channel();
        self.queue(Write::Vote { frame: encode_mark(vote)?, done }).await?;
        durable.await.map_err(|_| stopped())??;
        self.held().vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.queue(Write::Committed { frame: encode_mark(&committed)? }).await?;
        self.held().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.held().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Group>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut frames = Vec::new();
        {
            let mut held = self.held();
            for entry in entries {
                let frame = codec::encode(schema::RAFT_ENTRY, &entry).map_err(io::Error::other)?;
                let index = entry.index();
                held.sizes.insert(index, u64::try_from(frame.len()).unwrap_or(u64::MAX));
                held.entries.insert(index, entry);
                frames.push((index, frame));
            }
        }
        self.queue(Write::Append { entries: frames, flushed: callback }).await
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let from = last.map_or(0, |last| last.index.saturating_add(1));
        {
            let mut held = self.held();
            drop(held.entries.split_off(&from));
            drop(held.sizes.split_off(&from));
        }
        self.queue(Write::Truncate { from }).await
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        {
            let mut held = self.held();
            let from = upto.index.saturating_add(1);
            held.entries = held.entries.split_off(&from);
            held.sizes = held.sizes.split_off(&from);
            held.purged = held.purged.max(Some(upto));
        }
        self.queue(Write::Purge { upto: upto.index, mark: encode_mark(&Some(upto))? }).await
    }
}
