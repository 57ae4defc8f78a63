//! An owner is frozen past its lease; what it left behind when it wakes is checked.

use std::time::Duration;

use anyhow::{Result, ensure};
use quarry_tests::{
    cluster,
    failover::{Fault, progressed, strike},
    process::StoreKind,
    workload::{Load, Registers},
};

const LOAD: Load = Load { clients: 8, registers: 50, appends: 600 };
const STEP_WITHIN: Duration = Duration::from_mins(1);

/// On SQLite a frozen process may hold the file's write lock, so this is PostgreSQL's test.
#[tokio::test]
async fn a_frozen_owner_changes_nothing_after_it_wakes() -> Result<()> {
    cluster::run(3, StoreKind::Postgres, async |cluster| {
        let registers = Registers::new(cluster.client().clone(), cluster.urls());
        let load = registers.load(LOAD);
        for (turn, node) in (1..).zip([1, 2]) {
            progressed(&registers, turn * LOAD.appends / 4, STEP_WITHIN).await?;
            let failover = strike(cluster, &registers, node, Fault::Freeze).await?;
            println!("PostgreSQL: {failover}");
            ensure!(failover.next.owner != serde_json::json!(node), "answered by a frozen node");
            cluster.thaw(node)?;
            cluster.ready(node, Duration::from_secs(30)).await?;
        }
        let unanswered = load.finish().await?;
        ensure!(unanswered == 0, "{unanswered} appends were never answered");
        println!("PostgreSQL: {:?}", registers.verify().await?);
        let violations = cluster.violations().await?;
        ensure!(violations == 0, "{violations} violations of invariants");
        Ok(())
    })
    .await
}
