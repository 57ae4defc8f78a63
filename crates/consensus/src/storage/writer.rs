//! The one writer of `coordinator.db`: takes what is queued, commits once, then fires the callbacks.

use std::{io, time::Duration};

use bytes::Bytes;
use openraft::storage::IOFlushed;
use quarry_ports::crash;
use sqlx::{Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use crate::group::Group;

/// How many writes wait at most; then the core of openraft waits for the disk.
const QUEUE: usize = 1_024;
/// How many writes share one commit at most.
pub(super) const BATCH: usize = 256;

/// How long to wait before a full disk is tried again.
const ROOM_PAUSE: Duration = Duration::from_millis(200);
/// What SQLite says of a full disk, or of a file that has reached its limit.
const SQLITE_FULL: &str = "13";

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

/// Writes until all senders are gone, or until the file fails: then nothing more is acknowledged. A full
/// disk is waited for.
pub(super) async fn run(mut connection: SqliteConnection, mut queue: mpsc::Receiver<Write>) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut broken: Option<String> = None;
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        let outcome = match &broken {
            Some(reason) => Err(reason.clone()),
            None => commit_when_there_is_room(&mut connection, &batch, || queue.is_closed())
                .await
                .map_err(|error| error.to_string()),
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

/// Commits, as soon as the disk has room: what a full disk refuses is undone as a whole, and nobody was
/// told of it. Until then this voter is one that does not answer; given up where nobody waits any more.
async fn commit_when_there_is_room(
    connection: &mut SqliteConnection,
    batch: &[Write],
    is_given_up: impl Fn() -> bool,
) -> Result<(), sqlx::Error> {
    let mut is_told = false;
    loop {
        let outcome = commit(connection, batch).await;
        match &outcome {
            Err(error) if is_full(error) && !is_given_up() => {
                if !is_told {
                    tracing::error!(%error, "the coordinator's file has no room; this node waits for some");
                }
                is_told = true;
                tokio::time::sleep(ROOM_PAUSE).await;
            }
            _ => {
                if is_told && outcome.is_ok() {
                    tracing::info!("the coordinator's file has room again");
                }
                return outcome;
            }
        }
    }
}

/// Whether the disk is full. After any other failure, for example of a flush, it is not known what
/// stands in the file.
fn is_full(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code == SQLITE_FULL)
}

async fn commit(connection: &mut SqliteConnection, batch: &[Write]) -> Result<(), sqlx::Error> {
    let outcome = commit_or_fail(connection, batch).await;
    if outcome.is_err() {
        // SQLite may have done so by itself.
        drop(sqlx::query("rollback").execute(connection).await);
    }
    outcome
}

async fn commit_or_fail(
    connection: &mut SqliteConnection,
    batch: &[Write],
) -> Result<(), sqlx::Error> {
    let appends = batch.iter().any(|write| matches!(write, Write::Append { .. }));
    sqlx::query("begin immediate").execute(&mut *connection).await?;
    for write in batch {
        perform(connection, write).await?;
    }
    if appends {
        crash::point("raft-before-append");
    }
    sqlx::query("commit").execute(&mut *connection).await?;
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

async fn perform(connection: &mut SqliteConnection, write: &Write) -> Result<(), sqlx::Error> {
    match write {
        Write::Append { entries, .. } => {
            for (index, frame) in entries {
                sqlx::query("insert into log (log_index, frame) values ($1, $2)")
                    .bind(signed(*index)?)
                    .bind(frame.as_ref())
                    .execute(&mut *connection)
                    .await?;
            }
        }
        Write::Truncate { from } => {
            sqlx::query("delete from log where log_index >= $1")
                .bind(signed(*from)?)
                .execute(&mut *connection)
                .await?;
        }
        Write::Purge { upto, mark: frame } => {
            sqlx::query("delete from log where log_index <= $1")
                .bind(signed(*upto)?)
                .execute(&mut *connection)
                .await?;
            mark(connection, Mark::Purged, frame).await?;
        }
        Write::Committed { frame } => mark(connection, Mark::Committed, frame).await?,
        Write::Vote { frame, .. } => mark(connection, Mark::Vote, frame).await?,
        Write::Snapshot { upto, frame, .. } => {
            sqlx::query(REPLACE_SNAPSHOT)
                .bind(signed(*upto)?)
                .bind(frame.as_ref())
                .execute(&mut *connection)
                .await?;
        }
    }
    Ok(())
}

async fn mark(
    connection: &mut SqliteConnection,
    mark: Mark,
    frame: &Bytes,
) -> Result<(), sqlx::Error> {
    sqlx::query("insert or replace into mark (name, frame) values ($1, $2)")
        .bind(mark.name())
        .bind(frame.as_ref())
        .execute(&mut *connection)
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
