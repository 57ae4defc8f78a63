//! Faults by a seed, on real processes on hosts of their own: a short schedule, or the one that
//! `QUARRY_CHAOS_SEED` and `QUARRY_CHAOS_SECONDS` ask for.

use std::{env, time::Duration};

use anyhow::{Context, Result};
use quarry_tests::{
    chaos::{self, Schedule},
    report::say,
};

const NODES: u16 = 3;
/// One deck of faults: each kind once.
const SECONDS: u64 = 24;
const SEED: u64 = 1;

/// The number of an environment variable.
fn number(name: &str, otherwise: u64) -> Result<u64> {
    let given = env::var(name).ok().filter(|text| !text.is_empty());
    given.map_or(Ok(otherwise), |text| {
        text.parse().with_context(|| format!("{name} is {text:?}, not a whole number"))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_strikes_each_acknowledged_call_is_done_once_and_in_order() -> Result<()> {
    let seed = number("QUARRY_CHAOS_SEED", SEED)?;
    let time = Duration::from_secs(number("QUARRY_CHAOS_SECONDS", SECONDS)?);
    let schedule = Schedule::draw(seed, NODES, time);
    match chaos::run(&schedule, NODES).await? {
        Ok(survived) => say(format!("seed {seed}: {survived}")),
        Err(forbidden) => say(format!("skipped, this machine has no network: {}", forbidden.0)),
    }
    Ok(())
}
