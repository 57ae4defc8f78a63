//! A voter's disk in memory, for simulations.

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use quarry_ports::{
    Host,
    codec::{self, CodecError, schema},
};
use quarry_types::planted::{Bug, is_planted};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::{
    Log, Machine, StorageError, Witness,
    log::Held,
    machine,
    writer::{self, BATCH, Mark, Write, tell},
};
use crate::{
    group::{Entry, LogId, Snapshot, Vote},
    view::Views,
};

/// What a voter's file would hold. It outlives the process; clones are the same disk.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    content: Arc<Mutex<Content>>,
    witness: Option<Arc<dyn Witness>>,
}

#[derive(Debug, Default)]
struct Content {
    write_time: Duration,
    log: BTreeMap<u64, Bytes>,
    marks: BTreeMap<&'static str, Bytes>,
    snapshot: Option<(u64, Bytes)>,
}

impl MemoryDisk {
    /// An empty disk of a voter whose applied entries `witness` sees.
    pub fn seen_by(witness: Arc<dyn Witness>) -> Self {
        Self { witness: Some(witness), ..Self::default() }
    }

    /// How long each synchronous write takes from now on; zero at first.
    pub fn set_write_time(&self, time: Duration) {
        self.content().write_time = time;
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> Result<Held, StorageError> {
        let content = self.content();
        let mut held = Held {
            vote: mark::<Vote>(&content, Mark::Vote)?,
            committed: mark::<Option<LogId>>(&content, Mark::Committed)?.flatten(),
            purged: mark::<Option<LogId>>(&content, Mark::Purged)?.flatten(),
            ..Held::default()
        };
        for (index, frame) in &content.log {
            let entry: Entry = decode(schema::RAFT_ENTRY, &format!("log entry {index}"), frame)?;
            held.sizes.insert(*index, u64::try_from(frame.len()).unwrap_or(u64::MAX));
            held.entries.insert(*index, entry);
        }
        Ok(held)
    }

    fn snapshot(&self) -> Result<Option<Snapshot>, StorageError> {
        let Some((_, frame)) = self.content().snapshot.clone() else { return Ok(None) };
        let picture = machine::read(&frame)
            .map_err(|error| damaged("the snapshot", CodecError::Decode(error.to_string())))?;
        Ok(Some(Snapshot { meta: picture.meta, snapshot: frame }))
    }

    /// All of the batch, or nothing where the process ends before.
    async fn write(&self, batch: &[Write]) {
        let time = self.content().write_time;
        tokio::time::sleep(time).await;
        let mut content = self.content();
        for write in batch {
            content.perform(write);
        }
    }
}

impl fmt::Debug for MemoryDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDisk").field("content", &self.content).finish_non_exhaustive()
    }
}

impl Content {
    fn perform(&mut self, write: &Write) {
        match write {
            Write::Append { entries, .. } => self.log.extend(entries.iter().cloned()),
            Write::Truncate { from } => drop(self.log.split_off(from)),
            Write::Purge { upto, mark } => {
                self.log = self.log.split_off(&upto.saturating_add(1));
                self.marks.insert(Mark::Purged.name(), mark.clone());
            }
            Write::Committed { frame } => {
                drop(self.marks.insert(Mark::Committed.name(), frame.clone()));
            }
            Write::Vote { .. } if is_planted(Bug::VoteForgotten) => {}
            Write::Vote { frame, .. } => drop(self.marks.insert(Mark::Vote.name(), frame.clone())),
            Write::Snapshot { upto, frame, .. } => {
                if self.snapshot.as_ref().is_none_or(|(stored, _)| stored <= upto) {
                    self.snapshot = Some((*upto, frame.clone()));
                }
            }
        }
    }
}

/// Reads `disk`, and starts its writer.
pub(crate) fn open_memory(
    disk: &MemoryDisk,
    host: &Host,
    views: Arc<Views>,
) -> Result<(Log, Machine), StorageError> {
    let (held, snapshot) = (disk.held()?, disk.snapshot()?);
    let (writes, queue) = writer::channel();
    drop(host.spawn("coordinator writer", run(disk.clone(), queue)));
    let machine = Machine::new(snapshot, writes.clone(), views).seen_by(disk.witness.clone());
    Ok((Log::new(held, writes), machine))
}

async fn run(disk: MemoryDisk, mut queue: mpsc::Receiver<Write>) {
    let mut batch = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        disk.write(&batch).await;
        for write in batch.drain(..) {
            tell(write, &Ok(()));
        }
    }
}

fn mark<T: DeserializeOwned>(content: &Content, mark: Mark) -> Result<Option<T>, StorageError> {
    let frame = content.marks.get(mark.name());
    frame.map(|frame| decode(schema::RAFT_META, mark.name(), frame)).transpose()
}

fn decode<T: DeserializeOwned>(
    schema: codec::Schema,
    record: &str,
    frame: &[u8],
) -> Result<T, StorageError> {
    codec::decode(schema, frame).map_err(|source| damaged(record, source))
}

fn damaged(record: &str, source: CodecError) -> StorageError {
    let path = PathBuf::from("the disk in memory");
    StorageError::Damaged { path, record: record.to_owned(), source }
}
