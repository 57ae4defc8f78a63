//! Nodes whose store does not check who owns a shard: an owner that stands still before it sends a commit
//! gets it in when others have long been. The sound program comes through the same steps in
//! `cluster_freeze`.

use anyhow::{Result, ensure};
use quarry_tests::{
    cluster::{self, Cluster},
    freeze::{STEP_WITHIN, stands_still},
    process::StoreKind,
    report::say,
};
use quarry_types::planted::Bug;

#[tokio::test]
async fn a_store_without_a_fence_is_found_by_what_an_owner_of_the_past_commits() -> Result<()> {
    let mut cluster = Cluster::prepare(3, StoreKind::Postgres).await?;
    cluster.plant(Bug::NoFence.as_str())?;
    cluster.set(1, "QUARRY_CRASH_POINT", "commit-before-send:60:stop")?;
    let mut late = Vec::new();
    let ran = cluster::run_prepared(cluster, async |cluster| {
        let stop = async |cluster: &mut Cluster| cluster.stopped(1, STEP_WITHIN).await;
        late = stands_still(cluster, None, stop).await?.woken.late;
        Ok(())
    });
    // What else becomes of nodes with a bug is not asked for.
    let ran = ran.await;
    ensure!(!late.is_empty(), "nothing was found: {ran:?}");
    say(format!("committed under grants of the past: {late:?}"));
    Ok(())
}
