//! Chaos on nodes whose store does not check who owns a shard: the run has to fail. The sound program
//! comes through the same steps in `cluster_chaos`.

use anyhow::{Context, Result, ensure};
use quarry_tests::{
    chaos::{self, Fault, Schedule},
    cluster::Cluster,
    report::say,
};
use quarry_types::planted::Bug;

const NODES: u16 = 3;

/// The schedule of the first seed that begins with commits that arrive when others have long been.
fn late_first() -> Result<Schedule> {
    let begins_late = |schedule: &Schedule| {
        let first = schedule.steps.first();
        first.is_some_and(|step| matches!(step.faults.as_slice(), [Fault::Late(_)]))
    };
    let decks = (1..1_000).map(|seed| Schedule::deck(seed, NODES));
    decks.into_iter().find(begins_late).context("no seed begins so")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_of_chaos_fails_where_the_store_has_no_fence() -> Result<()> {
    let schedule = late_first()?;
    let plant = |cluster: &mut Cluster| cluster.plant(Bug::NoFence.as_str());
    let found = match chaos::run(&schedule, NODES, plant).await {
        Ok(Ok(survived)) => anyhow::bail!("nothing was found: {survived}"),
        Ok(Err(forbidden)) => {
            say(format!("skipped, this machine has no network: {}", forbidden.0));
            return Ok(());
        }
        Err(found) => format!("{found:#}"),
    };
    let breaches = ["G3: shard", "breaches:", "L1: shard", "L5: epoch"];
    ensure!(breaches.iter().any(|breach| found.contains(breach)), "it failed otherwise: {found}");
    say(found.split("\n---").next().unwrap_or_default());
    Ok(())
}
