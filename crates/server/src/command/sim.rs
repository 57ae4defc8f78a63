//! `quarry sim`.

use std::{collections::BTreeMap, thread::available_parallelism, time::Duration};

use quarry_scenario::{Plan, Point, Tally, simulate, sweep};
use serde::Serialize;

use crate::{
    cli::SimArguments,
    failure::{Exit, Failure},
    output::Output,
};

/// What is printed.
#[derive(Serialize)]
struct Shown {
    runs: u64,
    acknowledged: u64,
    commits: u64,
    virtual_seconds: f64,
    speed: f64,
    /// Of 100 runs, in how many each point was reached.
    reached_percent: BTreeMap<&'static str, u64>,
    /// What is wrong, by the seed.
    broken: BTreeMap<u64, Vec<String>>,
}

/// Simulates the seeds, and fails where a promise was broken.
pub(crate) fn run(arguments: &SimArguments, output: Output) -> Result<(), Failure> {
    let plan = |seed| {
        let plan = Plan { nodes: arguments.nodes, ..Plan::of_seed(seed) };
        match arguments.minutes {
            Some(minutes) => Plan { safety: Duration::from_mins(minutes), ..plan },
            None => plan,
        }
    };
    if arguments.seeds == 1 && output.verbosity() > 0 {
        output.say(simulate(plan(arguments.seed))?.trace.trim_end());
    }
    let threads = available_parallelism().map_or(1, std::num::NonZero::get);
    let seeds = arguments.seed..arguments.seed.saturating_add(arguments.seeds);
    let tally = sweep(seeds, threads, plan)?;
    show(&tally, output)?;
    match tally.broken.keys().next() {
        None => Ok(()),
        Some(seed) => Err(Failure::new(Exit::Failed, format!("seed {seed} breaks a promise"))
            .advise(format!("quarry sim --seed {seed} -v tells what happened"))),
    }
}

fn show(tally: &Tally, output: Output) -> Result<(), Failure> {
    let reached: BTreeMap<_, _> =
        Point::ALL.iter().map(|point| (point.as_str(), tally.per_cent(*point))).collect();
    let broken = tally.broken.iter().map(|(seed, report)| (*seed, report.violations.clone()));
    let shown = Shown {
        runs: tally.runs,
        acknowledged: tally.acknowledged,
        commits: tally.commits,
        virtual_seconds: tally.lasted.as_secs_f64(),
        speed: tally.speed(),
        reached_percent: reached,
        broken: broken.collect(),
    };
    let points: Vec<String> = shown
        .reached_percent
        .iter()
        .map(|(point, per_cent)| format!("{point} {per_cent} %"))
        .collect();
    let wrong: Vec<String> = shown
        .broken
        .iter()
        .map(|(seed, violations)| format!("seed {seed}: {}", violations.join("; ")))
        .collect();
    let facts = [
        ("runs", shown.runs.to_string()),
        ("calls acknowledged", shown.acknowledged.to_string()),
        ("commits", shown.commits.to_string()),
        (
            "virtual time",
            format!("{:.0} s, {:.0} times as fast", shown.virtual_seconds, shown.speed),
        ),
        ("reached", points.join(", ")),
        ("broken", if wrong.is_empty() { "nothing".to_owned() } else { wrong.join("\n") }),
    ];
    output.record(&facts, &shown)
}
