//! Nodes whose store does not check who owns a shard: an owner that stands still before it sends a commit
//! gets it in when others have long been. What says so is what says it of a run of chaos; the sound program
//! comes through the same steps in `cluster_freeze`.

use anyhow::{Context, Result, ensure};
use quarry_tests::{
    chaos::{judge, watched},
    cluster::{self, Cluster},
    freeze::{STEP_WITHIN, Stood, nothing_is_wrong, stands_still, wakes_in_quiet},
    process::StoreKind,
    report::say,
};
use quarry_types::planted::Bug;

/// Nodes without a fence, of which the first stops itself before it sends a commit.
async fn without_a_fence() -> Result<Cluster> {
    let mut cluster = Cluster::prepare(3, StoreKind::Postgres).await?;
    cluster.plant(Bug::NoFence.as_str())?;
    cluster.set(1, "QUARRY_CRASH_POINT", "commit-before-send:60:stop")?;
    Ok(cluster)
}

/// Does `steps` to nodes without a fence; what was found, which has all of `expected` in it. What else
/// becomes of nodes with a bug is not asked for.
async fn is_found(
    steps: impl AsyncFnOnce(&mut Cluster) -> Result<()>,
    expected: &[&str],
) -> Result<()> {
    let ran = cluster::run_prepared(without_a_fence().await?, steps).await;
    let found = format!("{:#}", ran.err().context("nothing was found")?);
    for what in expected {
        ensure!(found.contains(what), "{what:?} was not found, but: {found}");
    }
    // Behind it stand the ends of the logs.
    say(found.split("\n---").next().unwrap_or_default());
    Ok(())
}

#[tokio::test]
async fn a_store_without_a_fence_is_found_by_a_commit_of_an_epoch_of_the_past() -> Result<()> {
    let steps = async |cluster: &mut Cluster| {
        let store = cluster.store_url().to_owned();
        let all = async {
            let stop = async |cluster: &mut Cluster| cluster.stopped(1, STEP_WITHIN).await;
            let Stood { registers, load, .. } = stands_still(cluster, None, stop).await?;
            nothing_is_wrong(cluster, &registers, load).await
        };
        watched(&store, all).await.map(drop)
    };
    is_found(steps, &["G3: shard"]).await
}

#[tokio::test]
async fn a_store_without_a_fence_is_found_by_what_clients_were_told() -> Result<()> {
    let steps = async |cluster: &mut Cluster| {
        let registers = wakes_in_quiet(cluster).await?;
        judge(cluster, &registers).await.map(drop)
    };
    is_found(steps, &["breaches:", "Lost", "(L1)"]).await
}
