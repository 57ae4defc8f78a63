//! With a retention of 10 s and a constant load, tables keep their size and keys are known for 10 s.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use quarry_tests::{
    client::{Answer, Client, Message},
    cluster::{self, Cluster},
    ledger::{Kept, Ledger},
    process::StoreKind,
    report::say,
    wait::{Looks, Stopwatch},
};
use serde_json::json;

/// How often one message is sent to each counter.
const COUNTERS: [&str; 4] = ["a", "b", "c", "d"];
/// When the rows are counted: after the first retention time, and two more.
const COUNTED_AT: [Duration; 3] =
    [Duration::from_secs(14), Duration::from_secs(24), Duration::from_secs(34)];

async fn add(client: &Client, url: &str, id: &str, key: Option<&str>) -> Result<bool> {
    let body = json!(1);
    let message = Message { entity_type: "Counter", id, method: "add", key, body: &body };
    match client.send(url, &message).await? {
        Answer::Done { replayed, .. } => Ok(replayed),
        other => anyhow::bail!("Counter/{id} add: {other:?}"),
    }
}

/// What was sent, and what stood, at each time.
async fn constant_load(cluster: &Cluster) -> Result<Vec<(u32, Kept)>> {
    let (client, url) = (cluster.client().clone(), cluster.url(1)?.to_owned());
    let mut ledger = Ledger::of(cluster).await?;
    ensure!(!add(&client, &url, "keyed", Some("k")).await?, "the key is new");
    let (watch, mut sent, mut seen) = (Stopwatch::start(), 0_u32, Vec::new());
    let mut looks = Looks::during(Duration::from_mins(1));
    let mut is_known = None;
    while looks.next().await && seen.len() < COUNTED_AT.len() {
        for counter in COUNTERS {
            add(&client, &url, counter, None).await?;
            sent += 1;
        }
        if is_known.is_none() && watch.elapsed() > Duration::from_secs(6) {
            is_known = Some(add(&client, &url, "keyed", Some("k")).await?);
        }
        if COUNTED_AT.get(seen.len()).is_some_and(|at| watch.elapsed() >= *at) {
            seen.push((sent, ledger.kept().await?));
        }
    }
    ensure!(is_known == Some(true), "the key was forgotten before its time");
    ensure!(!add(&client, &url, "keyed", Some("k")).await?, "the key was known for too long");
    Ok(seen)
}

/// What is kept is what was sent in the last 10 s and a bit.
async fn sizes_stay(store: StoreKind) -> Result<()> {
    let mut cluster = Cluster::prepare(1, store).await?;
    cluster.set(1, "QUARRY_STORE__RETENTION", "10s")?;
    cluster::run_prepared(cluster, async |cluster| {
        let seen = constant_load(cluster).await?;
        say(format!("sent and kept: {seen:?}"));
        let (sent, last) = *seen.last().context("nothing was counted in time")?;
        let in_retention = |at: u32| f64::from(at) * 10.0 / 34.0;
        for (_, kept) in &seen {
            ensure!(kept.messages == kept.outcomes, "both go together: {kept:?}");
        }
        let kept = u32::try_from(last.messages)?;
        let most = in_retention(sent) * 1.8;
        ensure!(f64::from(kept) < most, "{kept} messages are kept of {sent}, more than {most}");
        ensure!(last.commits < 256 + 4 * 400, "{} rows of commits are kept", last.commits);
        ensure!(cluster.violations().await? == 0, "an invariant was violated");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn tables_keep_their_size_under_constant_load_on_sqlite() -> Result<()> {
    sizes_stay(StoreKind::Sqlite).await
}

#[tokio::test]
async fn tables_keep_their_size_under_constant_load_on_postgres() -> Result<()> {
    sizes_stay(StoreKind::Postgres).await
}
