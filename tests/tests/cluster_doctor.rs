//! `quarry doctor` on real clusters: what it finds appears when something happens, says what to do,
//! and is gone when it is mended.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use quarry_tests::{
    cluster::{self, Cluster},
    command::Workbench,
    database::Database,
    ledger::{damage_counter, mend_counters},
    process::StoreKind,
    report::say,
    wait::{Stopwatch, until},
};
use serde_json::Value;

/// How long something may take to be found, or to be found no more.
const WITHIN: Duration = Duration::from_mins(2);

/// Asks a cluster how it is.
struct Doctor {
    bench: Workbench,
    urls: String,
}

/// What was found.
#[derive(Debug)]
struct Found {
    code: Option<i32>,
    findings: Vec<Value>,
}

impl Found {
    fn with(&self, code: &str) -> Option<&Value> {
        self.findings.iter().find(|finding| finding.get("code").is_some_and(|seen| seen == code))
    }
}

impl Doctor {
    fn of(cluster: &Cluster) -> Result<Self> {
        Ok(Self { bench: Workbench::new()?, urls: cluster.urls().join(",") })
    }

    /// What a command prints, and how it ends.
    async fn run(&self, line: &str) -> Result<(Option<i32>, Value)> {
        let mut words: Vec<&str> = line.split(' ').collect();
        words.extend(["--url", &self.urls, "-o", "json"]);
        let ran = self.bench.quarry(&words).await?;
        let printed = serde_json::from_str(&ran.stdout)
            .with_context(|| format!("{line}: {} {}", ran.stdout, ran.stderr))?;
        Ok((ran.code, printed))
    }

    async fn asked(&self, line: &str) -> Result<Found> {
        let (code, printed) = self.run(line).await?;
        let findings = printed.get("findings").and_then(Value::as_array).cloned();
        let findings = findings.with_context(|| format!("no findings in {printed}"))?;
        let is_well = printed.get("ok") == Some(&Value::Bool(true));
        ensure!(is_well == (code == Some(0)), "{code:?}: {printed}");
        Ok(Found { code, findings })
    }

    /// Waits until it finds what has this code.
    async fn finds(&self, line: &str, code: &str) -> Result<Value> {
        let watch = Stopwatch::start();
        let finding =
            until(code, WITHIN, async || self.asked(line).await.ok()?.with(code).cloned()).await?;
        say(format!("{line}: {finding} after {:?}", watch.elapsed()));
        Ok(finding)
    }

    /// Waits until nothing is wrong.
    async fn is_content(&self) -> Result<()> {
        let last = std::cell::RefCell::new(None);
        let content = until("nothing is wrong", WITHIN, async || {
            let found = self.asked("doctor").await.ok()?;
            let is_content = found.code == Some(0);
            last.replace(Some(found));
            is_content.then_some(())
        });
        content.await.with_context(|| format!("{:?}", last.borrow()))
    }

    /// The id of a message that is only stored.
    async fn sent(&self, line: &str) -> Result<String> {
        let (code, sent) = self.run(line).await?;
        let id = sent.get("messageId").and_then(Value::as_str);
        id.map(str::to_owned).with_context(|| format!("{code:?}: {sent}"))
    }
}

fn advice(finding: &Value) -> &str {
    finding.get("advice").and_then(Value::as_str).unwrap_or_default()
}

async fn of_messages(cluster: &Cluster, doctor: &Doctor) -> Result<()> {
    damage_counter(cluster, "broken").await?;
    let aside = doctor.sent("send Counter/broken add 5 --async").await?;
    doctor.finds("doctor", "quarantined").await?;
    let finding = doctor.finds(&format!("doctor message {aside}"), "quarantined").await?;
    ensure!(advice(&finding).contains(&format!("quarry message redrive {aside}")), "{finding}");
    // Its shard may still be on its way to who joined last.
    doctor.finds("doctor entity Counter/broken", "owner").await?;
    let found = doctor.asked("doctor entity Counter/broken").await?;
    ensure!(found.code == Some(1) && found.with("quarantined").is_some(), "{found:?}");
    mend_counters(cluster).await?;
    doctor.run(&format!("message redrive {aside}")).await?;
    doctor.finds(&format!("doctor message {aside}"), "finished").await?;
    let delayed = doctor.sent("send Counter/full add 1 --delay 1h").await?;
    let found = doctor.asked(&format!("doctor message {delayed}")).await?;
    ensure!(found.code == Some(0) && found.with("delayed").is_some(), "{found:?}");
    for _ in 0..2 {
        doctor.sent("send Counter/full add 1 --delay 1h").await?;
    }
    let finding = doctor.finds("doctor", "mailbox_full").await?;
    ensure!(finding.to_string().contains("Counter/full (3 wait)"), "{finding}");
    let found = doctor.asked("doctor entity Counter/full").await?;
    ensure!(found.with("mailbox_full").is_some(), "{found:?}");
    doctor.run("message cancel --entity Counter/full").await?;
    let unknown = "01890000-0000-7000-8000-000000000000";
    let found = doctor.asked(&format!("doctor message {unknown}")).await?;
    ensure!(found.code == Some(3) && found.with("not_known").is_some(), "{found:?}");
    doctor.is_content().await
}

/// What the others counted of a node that was killed.
async fn is_counted(cluster: &Cluster, killed: u16) -> Result<()> {
    let (mut gone, mut taken) = (0, 0);
    for node in cluster.ids().into_iter().filter(|node| *node != killed) {
        let metrics = cluster.metrics(node).await?;
        gone += metrics.sum_where("quarry_leases_ended_total", &[("cause", "gone")]);
        taken += metrics.sum_where("quarry_shard_moves_total", &[("reason", "lease_over")]);
        let heartbeats = metrics.sum("quarry_heartbeat_seconds_count");
        ensure!(heartbeats > 0, "node {node} timed none of its heartbeats");
        ensure!(metrics.sum("quarry_raft_log_bytes") > 0, "node {node} has a log");
    }
    ensure!(gone == 1 && taken > 0, "{gone} leases ended early, {taken} shards were taken");
    Ok(())
}

/// A node is killed, frozen, and comes back.
async fn of_nodes(cluster: &mut Cluster, doctor: &Doctor) -> Result<()> {
    cluster.kill(2).await?;
    let finding = doctor.finds("doctor", "node_down").await?;
    ensure!(finding.get("nodes") == Some(&serde_json::json!([2])), "{finding}");
    ensure!(advice(&finding).contains("replace-voter 2"), "{finding}");
    cluster.restart(2).await?;
    doctor.is_content().await?;
    is_counted(cluster, 2).await?;
    cluster.kill(1).await?;
    cluster.kill(3).await?;
    let finding = doctor.finds("doctor", "no_quorum").await?;
    ensure!(finding.get("nodes") == Some(&serde_json::json!([1, 3])), "{finding}");
    cluster.start(1)?;
    cluster.start(3)?;
    for node in [1, 3] {
        cluster.ready(node, WITHIN).await?;
    }
    doctor.is_content().await
}

async fn what_happens_is_found(cluster: &mut Cluster) -> Result<()> {
    let doctor = Doctor::of(cluster)?;
    doctor.is_content().await?;
    of_messages(cluster, &doctor).await?;
    of_nodes(cluster, &doctor).await?;
    ensure!(cluster.violations().await? == 0, "an invariant was violated");
    Ok(())
}

async fn with_small_bounds(store: StoreKind) -> Result<()> {
    let mut cluster = Cluster::prepare(3, store).await?;
    for node in cluster.ids() {
        cluster.set(node, "QUARRY_ENTITIES__ATTEMPTS", "2")?;
        cluster.set(node, "QUARRY_ENTITIES__MAILBOX", "3")?;
    }
    cluster::run_prepared(cluster, what_happens_is_found).await
}

#[tokio::test]
async fn what_is_wrong_is_found_and_then_no_more_on_sqlite() -> Result<()> {
    with_small_bounds(StoreKind::Sqlite).await
}

#[tokio::test]
async fn what_is_wrong_is_found_and_then_no_more_on_postgres() -> Result<()> {
    with_small_bounds(StoreKind::Postgres).await
}

#[tokio::test]
async fn a_database_that_takes_no_writes_is_found_with_what_to_do() -> Result<()> {
    cluster::run(3, StoreKind::Postgres, async |cluster| {
        let doctor = Doctor::of(cluster)?;
        doctor.is_content().await?;
        let server = Database::create().await?;
        let name = cluster.database()?.name().to_owned();
        let set = format!("alter database {name} set default_transaction_read_only = on");
        server.administer(&set).await?;
        cluster.database()?.end_sessions().await?;
        let finding = doctor.finds("doctor", "store").await?;
        ensure!(advice(&finding).contains("read-only"), "{finding}");
        let reset = format!("alter database {name} reset default_transaction_read_only");
        server.administer(&reset).await?;
        doctor.is_content().await
    })
    .await
}
