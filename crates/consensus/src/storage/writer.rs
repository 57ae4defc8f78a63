//! The one writer of `coordinator.db`: takes what is queued, commits once, then fires the callbacks.

use std::io;

use bytes::Bytes;
use openraft::storage::IOFlushed;
use quarry_ports::crash;
use sqlx::{Connection, Sqlite, SqliteConnection, Transaction};
use tokio::sync::{mpsc, oneshot};

use crate::group::Group;

/// How many writes wait at most; then the core of openraft waits for the disk.
const QUEUE: usize = 1_024;
/// How many writes share one commit at most.
pub(super) const BATCH: usize = 256;

const REPLACE_SNAPSHOT: &str = "insert into snapshot (one, log_index, frame) values (1, $1, $2)
    on conflict (one) do update set log_index = excluded.log_index, frame = excluded.frame
    where excluded.log_index >= log_index";

/// Tells the asker that its write is durable.
pub(super) type Done = oneshot::Sender<io::Result<()>>;

/// A small record of which only the newest counts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mark {
    Vote,
    Committed,
    Purged,
}

impl Mark {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Vote => "vote",
            Self::Committed => "committed",
            Self::Purged => "purged",
        }
    }
}

/// One change of the file. Changes become durable in the order in which they were queued.
pub(super) enum Write {
    /// Adds entries (index, frame) behind the last.
    Append { entries: Vec<(u64, Bytes)>, flushed: IOFlushed<Group> },
    /// Removes the entries from this index on.
    Truncate { from: u64 },
    /// Removes the entries up to this index and records that.
    Purge { upto: u64, mark: Bytes },
    /// Records the committed index; it may be lost in a crash, then it is learned again.
    Committed { frame: Bytes },
    /// Records the vote.
    Vote { frame: Bytes, done: Done },
    /// Replaces the snapshot, unless the stored one covers more.
    Snapshot { upto: u64, frame: Bytes, done: Done },
}

/// The queue before the writer.
pub(super) fn channel() -> (mpsc::Sender<Write>, mpsc::Receiver<Write>) {
    mpsc::channel(QUEUE)
}

/// Writes until all senders are gone, or until the file fails: then nothing more is acknowledged.
pub(super) async fn run(mut connection: SqliteConnection, mut queue: mpsc::Receiver<Write>) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut broken: Option<String> = None;
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        let outcome = match &broken {
            Some(reason) => Err(reason.clone()),
            None => commit(&mut connection, &batch).await.map_err(|error| error.to_string()),
        };
        if let Err(reason) = &outcome
            && broken.is_none()
        {
            tracing::error!(%reason, "the coordinator's file failed; this node takes no further part");
            broken = Some(reason.clone());
        }
        for write in batch.drain(..) {
            tell(write, &outcome);
        }
    }
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "the coordinator's file was not closed in order");
    }
}

async fn commit(connection: &mut SqliteConnection, batch: &[Write]) -> Result<(), sqlx::Error> {
    let appends = batch.iter().any(|write| matches!(write, Write::Append { .. }));
    let mut transaction = connection.begin_with("begin immediate").await?;
    for write in batch {
        perform(&mut transaction, write).await?;
    }
    if appends {
        crash::point("raft-before-append");
    }
    transaction.commit().await?;
    if appends {
        crash::point("raft-appended");
    }
    if batch.iter().any(|write| matches!(write, Write::Committed { .. })) {
        crash::point("raft-committed");
    }
    if batch.iter().any(|write| matches!(write, Write::Snapshot { .. })) {
        crash::point("snapshot-written");
    }
    Ok(())
}

async fn perform(
    transaction: &mut Transaction<'_, Sqlite>,
    write: &Write,
) -> Result<(), sqlx::Error> {
    match write {
        Write::Append { entries, .. } => {
            for (index, frame) in entries {
                sqlx::query("insert into log (log_index, frame) values ($1, $2)")
                    .bind(signed(*index)?)
                    .bind(frame.as_ref())
                    .execute(&mut **transaction)
                    .await?;
            }
        }
        Write::Truncate { from } => {
            sqlx::query("delete from log where log_index >= $1")
                .bind(signed(*from)?)
                .execute(&mut **transaction)
                .await?;
        }
        Write::Purge { upto, mark: frame } => {
            sqlx::query("delete from log where log_index <= $1")
                .bind(signed(*upto)?)
                .execute(&mut **transaction)
                .await?;
            mark(transaction, Mark::Purged, frame).await?;
        }
        Write::Committed { frame } => mark(transaction, Mark::Committed, frame).await?,
        Write::Vote { frame, .. } => mark(transaction, Mark::Vote, frame).await?,
        Write::Snapshot { upto, frame, .. } => {
            sqlx::query(REPLACE_SNAPSHOT)
                .bind(signed(*upto)?)
                .bind(frame.as_ref())
                .execute(&mut **transaction)
                .await?;
        }
    }
    Ok(())
}

async fn mark(
    transaction: &mut Transaction<'_, Sqlite>,
    mark: Mark,
    frame: &Bytes,
) -> Result<(), sqlx::Error> {
    sqlx::query("insert or replace into mark (name, frame) values ($1, $2)")
        .bind(mark.name())
        .bind(frame.as_ref())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

fn signed(index: u64) -> Result<i64, sqlx::Error> {
    i64::try_from(index).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

pub(super) fn tell(write: Write, outcome: &Result<(), String>) {
    let outcome = outcome.clone().map_err(io::Error::other);
    match write {
        Write::Append { flushed, .. } => flushed.io_completed(outcome),
        // An asker that is gone has stopped; nobody waits for the answer.
        Write::Vote { done, .. } | Write::Snapshot { done, .. } => drop(done.send(outcome)),
        Write::Truncate { .. } | Write::Purge { .. } | Write::Committed { .. } => {}
    }
}
