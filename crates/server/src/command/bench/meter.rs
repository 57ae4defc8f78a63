//! What the disk is given, counted by those who give it.

use std::time::Duration;

use anyhow::Context;
use quarry_ports::Metrics;
use sqlx::PgConnection;

use super::{database, device::Flushes};

/// A server's sessions tell what they did at most once a second.
pub(crate) const TOLD_WITHIN: Duration = Duration::from_millis(1_100);

/// What was done so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count {
    messages: f64,
    bytes: f64,
    syncs: Option<f64>,
}

/// What one message cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// Bytes written.
    pub(crate) bytes: Option<f64>,
    /// Times that the log, or the whole device, was flushed.
    pub(crate) syncs: Option<f64>,
}

/// Counts messages that were accepted, and what was written for them: of PostgreSQL the bytes of its
/// log and how often it flushed that, by its own statistics; of SQLite all bytes that this process
/// had written to files, whole pages, and how often the device was flushed, by the kernel's.
pub(crate) struct Meter<'a> {
    server: Option<PgConnection>,
    flushes: &'a Flushes,
    metrics: Metrics,
}

impl<'a> Meter<'a> {
    /// One of the store at `url`; `flushes` are those of the disk beneath a SQLite file.
    pub(crate) async fn open(
        url: &str,
        flushes: &'a Flushes,
        metrics: Metrics,
    ) -> anyhow::Result<Self> {
        let server =
            if url.starts_with("postgres") { Some(database::connect(url).await?) } else { None };
        Ok(Self { server, flushes, metrics })
    }

    /// Whether sessions of a server count, which tell it when they end a transaction.
    pub(crate) const fn is_of_a_server(&self) -> bool {
        self.server.is_some()
    }

    /// Who counts the flushes.
    pub(crate) fn describe(&self) -> String {
        match self.server {
            Some(_) => "flushes of the log, by the server's statistics".to_owned(),
            None => self.flushes.describe(),
        }
    }

    /// What was done so far.
    pub(crate) async fn read(&mut self) -> anyhow::Result<Count> {
        let messages = exact(self.metrics.commit_messages.get());
        let Some(server) = &mut self.server else {
            let syncs = self.flushes.so_far().map(exact);
            return Ok(Count { messages, bytes: written()?, syncs });
        };
        let sql = "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8";
        let bytes = sqlx::query_scalar(sql).fetch_one(&mut *server).await?;
        // The column came with version 14 and went with version 18.
        let sql = "select wal_sync::float8 from pg_stat_wal";
        let syncs = sqlx::query_scalar(sql).fetch_one(&mut *server).await.ok();
        Ok(Count { messages, bytes, syncs })
    }
}

impl Cost {
    /// What each message cost from one count to another.
    pub(crate) fn between(before: Count, after: Count) -> Self {
        let messages = (after.messages - before.messages).max(1.0);
        let syncs = before.syncs.zip(after.syncs).map(|(before, after)| after - before);
        Self {
            bytes: Some((after.bytes - before.bytes) / messages),
            syncs: syncs.map(|syncs| syncs / messages),
        }
    }
}

/// Bytes that this process had written to files.
fn written() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/self/io").context("/proc/self/io")?;
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    Ok(exact(line.context("write_bytes")?.trim().parse()?))
}

/// A counter as a float.
fn exact(counter: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a bench counts far less than 2^52")]
    let exact = counter as f64;
    exact
}
