//! An idle cluster writes nothing: while nobody asks for anything, and all entities have left the
//! memory, neither the coordinator's log nor the store changes, and no shard changes hands.

use std::{collections::BTreeMap, fs, os::unix::fs::MetadataExt as _, time::Duration};

use anyhow::{Context, Result, ensure};
use quarry_tests::{
    cluster::{self, Cluster},
    failover::progressed,
    ledger::Ledger,
    process::StoreKind,
    report::say,
    wait::Stopwatch,
    workload::{Load, Registers},
};

const LOAD: Load = Load::endless(4, 20);
const STEP_WITHIN: Duration = Duration::from_mins(1);
/// Four times as long as the leader waits between two looks at balance.
const IDLE: Duration = Duration::from_secs(20);
const REST_WITHIN: Duration = Duration::from_mins(3);
/// What is no trace of work: the row that readiness changes, and the ages of shards, which are recorded
/// once a minute for as long as outcomes wait for the end of their retention.
const NO_WORK: [&str; 2] = ["write_probe", "shard_age"];

/// All that can show that something was written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Traces {
    /// Of each node what it counted, by family.
    counted: Vec<Vec<(&'static str, u64)>>,
    /// Of each table its rows, and the newest transaction among them.
    tables: BTreeMap<String, (i64, i64)>,
    /// The epochs of the fences.
    epochs: BTreeMap<i64, i64>,
    /// Of each file of the nodes its size and when it was written.
    files: BTreeMap<String, (u64, i64, i64)>,
}

const COUNTED: [&str; 7] = [
    "quarry_raft_applied_index",
    "quarry_raft_term",
    "quarry_raft_leader_changes_total",
    "quarry_coordinator_epochs_raised_total",
    "quarry_shard_takeovers_total",
    "quarry_commits_total",
    "quarry_resident_entities",
];

impl Traces {
    async fn of(cluster: &Cluster, ledger: &mut Ledger) -> Result<Self> {
        let mut counted = Vec::new();
        for node in cluster.ids() {
            let metrics = cluster.metrics(node).await?;
            counted.push(COUNTED.map(|family| (family, metrics.sum(family))).to_vec());
        }
        let mut tables = ledger.written().await?;
        tables.retain(|table, _| !NO_WORK.contains(&table.as_str()));
        let (epochs, files) = (ledger.fences().await?, files(cluster)?);
        Ok(Self { counted, tables, epochs, files })
    }

    fn sum(&self, family: &str) -> u64 {
        let all = self.counted.iter().flatten();
        all.filter(|(known, _)| *known == family).map(|(_, count)| count).sum()
    }
}

/// The files that nodes keep for themselves, but those that SQLite has only in memory.
fn files(cluster: &Cluster) -> Result<BTreeMap<String, (u64, i64, i64)>> {
    let mut files = BTreeMap::new();
    for node in cluster.ids() {
        for entry in fs::read_dir(cluster.home(node))? {
            let path = entry?.path();
            if !path.to_string_lossy().ends_with("-shm") {
                // What is only there until it takes another file's place may be gone.
                let Ok(about) = fs::metadata(&path) else { continue };
                let about = (about.size(), about.mtime(), about.mtime_nsec());
                files.insert(path.display().to_string(), about);
            }
        }
    }
    Ok(files)
}

/// What is there when all entities have left the memory and nothing was written for [`IDLE`]. What comes
/// now and then shows itself within that; a leader that a busy machine makes change begins it anew.
async fn comes_to_rest(cluster: &Cluster, ledger: &mut Ledger) -> Result<Traces> {
    let (watch, mut seconds) = (Stopwatch::start(), 0);
    let mut at_rest = (Traces::of(cluster, ledger).await?, Stopwatch::start());
    while watch.elapsed() < REST_WITHIN {
        seconds += 1;
        watch.reaches(Duration::from_secs(seconds)).await?;
        let traces = Traces::of(cluster, ledger).await?;
        if traces != at_rest.0 {
            at_rest = (traces, Stopwatch::start());
        } else if traces.sum("quarry_resident_entities") == 0 && at_rest.1.elapsed() >= IDLE {
            return Ok(traces);
        }
    }
    anyhow::bail!("never idle for {IDLE:?} within {REST_WITHIN:?}: {:#?}", at_rest.0)
}

#[tokio::test]
async fn an_idle_cluster_writes_nothing() -> Result<()> {
    let mut cluster = Cluster::prepare(3, StoreKind::Postgres).await?;
    for node in cluster.ids() {
        cluster.set(node, "QUARRY_ENTITIES__IDLE_AFTER", "500ms")?;
    }
    cluster::run_prepared(cluster, async |cluster| {
        let registers = Registers::new(cluster.client().clone(), cluster.urls());
        let load = registers.load(LOAD);
        progressed(&registers, 200, STEP_WITHIN).await?;
        let unanswered = load.stop().await?;
        ensure!(unanswered == 0, "{unanswered} appends were never answered");
        let mut ledger = Ledger::of(cluster).await?;
        let before = comes_to_rest(cluster, &mut ledger).await?;
        let commits = before.sum("quarry_commits_total");
        say(format!("{commits} commits, and none in {IDLE:?} without a call"));
        ensure!(before.sum("quarry_coordinator_epochs_raised_total") == 0, "epochs were raised");
        ensure!(cluster.violations().await? == 0, "an invariant was violated");
        // Whoever writes leaves traces.
        let value = registers.next_value(0);
        registers.append(0, "r0", &value, 0).await?.context("the append was not answered")?;
        let after = Traces::of(cluster, &mut ledger).await?;
        ensure!(after.tables != before.tables, "an append left no trace in the store");
        ensure!(after.sum("quarry_commits_total") > commits, "an append was not counted");
        Ok(())
    })
    .await
}
