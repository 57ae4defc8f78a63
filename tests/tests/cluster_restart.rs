//! A rolling restart under load: every node is asked to go, goes, and comes back.

use std::time::Duration;

use anyhow::{Result, ensure};
use quarry_tests::{
    cluster::{self, Cluster},
    failover::progressed,
    ledger::Ledger,
    process::StoreKind,
    report::say,
    workload::{Load, Registers, Verified},
};

const LOAD: Load = Load { clients: 8, registers: 50, appends: 1_000 };
const STEP_WITHIN: Duration = Duration::from_mins(1);
const GONE_WITHIN: Duration = Duration::from_secs(40);

async fn one_after_the_other(cluster: &mut Cluster) -> Result<Verified> {
    let registers = Registers::new(cluster.client().clone(), cluster.urls());
    let load = registers.load(LOAD);
    for (turn, node) in (1..).zip(cluster.ids()) {
        progressed(&registers, turn * LOAD.appends / 4, STEP_WITHIN).await?;
        let status = cluster.terminate(node, GONE_WITHIN).await?;
        ensure!(status.success(), "node {node} went with {status}");
        cluster.restart(node).await?;
    }
    let unanswered = load.finish().await?;
    ensure!(unanswered == 0, "{unanswered} appends were never answered");
    let verified = registers.verify().await?;
    ensure!(verified.acknowledged == verified.stored, "not all is there once: {verified:?}");
    say(format!("{:?}", Ledger::of(cluster).await?.audit().await?));
    Ok(verified)
}

#[tokio::test]
async fn a_rolling_restart_loses_nothing_on_sqlite() -> Result<()> {
    cluster::run(3, StoreKind::Sqlite, async |cluster| {
        println!("SQLite: {:?}", one_after_the_other(cluster).await?);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_rolling_restart_loses_nothing_on_postgres() -> Result<()> {
    cluster::run(3, StoreKind::Postgres, async |cluster| {
        println!("PostgreSQL: {:?}", one_after_the_other(cluster).await?);
        Ok(())
    })
    .await
}
