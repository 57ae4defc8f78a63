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
use tokio::sync::Notify;

use super::connect::connect_options;

/// Between two looks at the log while there are commits.
const INTERVAL: Duration = Duration::from_millis(200);
/// Pages of log from which a checkpoint is worth its flush: 4 MiB.
const WORTH_PAGES: i64 = 1_024;
/// Pages of log that are not let grow: 64 MiB. Then one checkpoint waits for the lock and starts the
/// log anew, which under steady load no passive one ever can.
const MOST_PAGES: i64 = 16_384;
/// How long that one may keep writers of this file waiting.
const RESTART_WAIT: Duration = Duration::from_millis(100);

/// The checkpoint task of one open file.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    woken: Notify,
    stopped: AtomicBool,
}

impl Checkpoints {
    /// Starts the task for the file at `path`.
    pub(super) fn start(path: &Path, host: &Host) -> Arc<Self> {
        let this = Arc::new(Self::default());
        let options = connect_options(path).busy_timeout(RESTART_WAIT);
        host.spawn("sqlite-checkpoint", Arc::clone(&this).run(options));
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

    async fn run(self: Arc<Self>, options: SqliteConnectOptions) {
        let mut connection = None;
        while !self.stopped.load(Ordering::Acquire) {
            self.woken.notified().await;
            if let Err(error) = checkpoint(&mut connection, &options).await {
                tracing::warn!(%error, "a checkpoint of the store failed");
                connection = None;
            }
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
    if log_pages(connection, "pragma wal_checkpoint(passive)").await? > MOST_PAGES {
        log_pages(connection, "pragma wal_checkpoint(restart)").await?;
    }
    Ok(())
}
