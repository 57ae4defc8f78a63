//! Checkpoints: copying the write-ahead log into the file, beside the commits.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use quarry_ports::Host;
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::{io::AsyncWriteExt as _, sync::Notify};

use super::{connect::connect_options, trust::Trust};

/// Between two looks at the log while there are commits.
const INTERVAL: Duration = Duration::from_millis(100);
/// Pages of log from which a checkpoint is worth its flush: 2 MiB.
const WORTH_PAGES: i64 = 512;
/// Pages of log from which it is started anew, which under steady load no passive checkpoint can do:
/// 8 MiB. The one that does holds the lock, so passive ones leave it little to copy.
const RESTART_PAGES: i64 = 2_048;
/// How long that one waits for readers and writers of this file.
const RESTART_WAIT: Duration = Duration::from_millis(100);
/// The size that the log is given at the start. A flush of bytes that a file already has is many
/// times faster than one that grows it, since the file system's journal is left alone.
const LOG_BYTES: u64 = 16 * 1024 * 1024;

/// Fills the log beside the file at `path` up to its size. Only while this process holds the file's
/// write lock: nobody else appends to the log then. Readers of the log stop at the first frame that
/// is not valid, and zeros never are.
pub(super) async fn reserve(path: &Path) -> std::io::Result<()> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let mut file = tokio::fs::OpenOptions::new().append(true).open(log).await?;
    let mut missing = LOG_BYTES.saturating_sub(file.metadata().await?.len());
    let zeros = vec![0; 1 << 20];
    while missing > 0 {
        let length = usize::try_from(missing).unwrap_or(usize::MAX).min(zeros.len());
        file.write_all(zeros.get(..length).unwrap_or_default()).await?;
        missing = missing.saturating_sub(u64::try_from(length).unwrap_or(u64::MAX));
    }
    file.sync_all().await
}

/// The checkpoint task of one open file.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    woken: Notify,
    stopped: AtomicBool,
}

impl Checkpoints {
    /// Starts the task for the file at `path`.
    pub(super) fn start(path: &Path, trust: Trust, host: &Host) -> Arc<Self> {
        let this = Arc::new(Self::default());
        let options = connect_options(path).busy_timeout(RESTART_WAIT);
        host.spawn("sqlite-checkpoint", Arc::clone(&this).run(options, trust));
        this
    }

    /// Something was written.
    pub(super) fn written(&self) {
        self.woken.notify_one();
    }

    /// Ends the task.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.woken.notify_one();
    }

    async fn run(self: Arc<Self>, options: SqliteConnectOptions, trust: Trust) {
        let mut connection = None;
        let mut is_failing = false;
        while !self.stopped.load(Ordering::Acquire) {
            self.woken.notified().await;
            let done = checkpoint(&mut connection, &options).await;
            if let Err(error) = &done {
                trust.heard(error);
                connection = None;
            }
            // A full disk fails all of them: it is told once.
            match (&done, is_failing) {
                (Err(error), false) => tracing::warn!(%error, "checkpoints of the store fail"),
                (Ok(()), true) => tracing::info!("checkpoints of the store succeed again"),
                _ => {}
            }
            is_failing = done.is_err();
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

/// The size of the log in pages.
async fn log_pages(
    connection: &mut SqliteConnection,
    how: &'static str,
) -> Result<i64, sqlx::Error> {
    let (_busy, log, _copied): (i64, i64, i64) = sqlx::query_as(how).fetch_one(connection).await?;
    Ok(log)
}

async fn checkpoint(
    connection: &mut Option<SqliteConnection>,
    options: &SqliteConnectOptions,
) -> Result<(), sqlx::Error> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(SqliteConnection::connect_with(options).await?),
    };
    // "noop" looks only (SQLite 3.51); older ones take it for passive, which is right as well.
    if log_pages(connection, "pragma wal_checkpoint(noop)").await? < WORTH_PAGES {
        return Ok(());
    }
    if log_pages(connection, "pragma wal_checkpoint(passive)").await? >= RESTART_PAGES {
        log_pages(connection, "pragma wal_checkpoint(passive)").await?;
        log_pages(connection, "pragma wal_checkpoint(restart)").await?;
    }
    Ok(())
}
