//! Faults by a seed, on real processes on hosts of their own: a short schedule, or the one that
//! `QUARRY_CHAOS_SEED` and `QUARRY_CHAOS_SECONDS` ask for.

use std::{env, time::Duration};

use anyhow::Result;
use quarry_tests::{
    chaos::{self, Schedule},
    cluster::Cluster,
    environment::number,
    report::say,
};

const NODES: u16 = 3;
const SEED: u64 = 1;

/// The program is the sound one, unless `QUARRY_CHAOS_BUG` names a bug to plant in it.
fn sound_or_planted(cluster: &mut Cluster) -> Result<()> {
    let bug = env::var("QUARRY_CHAOS_BUG").ok().filter(|bug| !bug.is_empty());
    bug.map_or(Ok(()), |bug| cluster.plant(&bug))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_strikes_each_acknowledged_call_is_done_once_and_in_order() -> Result<()> {
    let seed = number("QUARRY_CHAOS_SEED")?.unwrap_or(SEED);
    let schedule = match number("QUARRY_CHAOS_SECONDS")? {
        Some(seconds) => Schedule::draw(seed, NODES, Duration::from_secs(seconds)),
        None => Schedule::deck(seed, NODES),
    };
    match chaos::run(&schedule, NODES, sound_or_planted).await? {
        Ok(survived) => say(format!("seed {seed}: {survived}")),
        Err(forbidden) => say(format!("skipped, this machine has no network: {}", forbidden.0)),
    }
    Ok(())
}
