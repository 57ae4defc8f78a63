//! The coordinator's plan, alone: a pure function, measured on clusters that do not exist.

use std::{collections::BTreeMap, time::Duration};

use indicatif::ProgressBar;
use quarry_core::placement::{Input, Limits, Runner, Shard, plan};
use quarry_ports::Host;
use quarry_types::{NodeId, ShardId};
use serde::Serialize;

use super::{
    conditions::{build, cores, load_average},
    report::Spread,
};
use crate::{
    cli::{Format, PlanBenchArguments},
    failure::Failure,
    output::{Output, aligned, table},
};

/// A plan that may move everything at once, so that all of a change is counted.
const UNBOUNDED: Limits = Limits { max_moves: u32::MAX };

/// A whole run.
#[derive(Debug, Serialize)]
struct Report {
    bench: &'static str,
    build: &'static str,
    cores: usize,
    load: [f64; 2],
    nodes: u64,
    shards: u32,
    rounds: u32,
    /// Sorting as many random numbers as there are shards, in milliseconds.
    baseline_ms: Spread,
    results: Vec<Figure>,
}

/// One change of the cluster.
#[derive(Debug, Serialize)]
struct Figure {
    change: &'static str,
    ms: Spread,
    /// The middle to the baseline's.
    ratio: f64,
    moves: usize,
    /// The fewest moves after which every runner has its share.
    fewest: usize,
}

/// Measures the plan for a cold start, for one node that joins and for one that leaves.
pub(super) fn run(
    arguments: &PlanBenchArguments,
    host: &Host,
    output: Output,
) -> Result<(), Failure> {
    let load_before = load_average();
    let (nodes, shards) = (arguments.nodes, arguments.shards);
    let numbers: Vec<u64> = (0..shards).map(|_| host.random.next_u64()).collect();
    let bar = ProgressBar::new(u64::from(arguments.rounds) * 4);
    let mut watch = Watch { host, rounds: arguments.rounds, bar: &bar };
    let (baseline_ms, _) = watch.times(|| {
        let mut numbers = numbers.clone();
        numbers.sort_unstable();
        numbers
    });
    let mut figure = |change, input: &Input, fewest| {
        let (ms, planned) = watch.times(|| plan(input, UNBOUNDED));
        let ratio = ms.median / baseline_ms.median.max(1e-9);
        (Figure { change, ms, ratio, moves: planned.moves.len(), fewest }, planned)
    };
    let cold = input(nodes, shards);
    let (started, homes) = figure("cold start", &cold, cold.shards.len());
    let mut settled = cold;
    for change in homes.moves {
        if let Some(shard) = settled.shards.get_mut(&change.shard) {
            shard.home = Some(change.to);
        }
    }
    let mut joined = settled.clone();
    joined.runners.insert(NodeId(nodes.saturating_add(1)), runner());
    let fewest = settled.shards.len() / joined.runners.len();
    let (join, _) = figure("one joins", &joined, fewest);
    let mut left = settled;
    left.runners.remove(&NodeId(1));
    let fewest = left.shards.values().filter(|shard| shard.home == Some(NodeId(1))).count();
    let (leave, _) = figure("one leaves", &left, fewest);
    bar.finish_and_clear();
    let report = Report {
        bench: "plan",
        build: build(),
        cores: cores(),
        load: [load_before, load_average()],
        nodes,
        shards,
        rounds: arguments.rounds,
        baseline_ms,
        results: vec![started, join, leave],
    };
    report.print(output)
}

fn runner() -> Runner {
    Runner { weight: 1, ..Runner::default() }
}

/// So many equal runners, and shards without a home.
fn input(nodes: u64, shards: u32) -> Input {
    let shards: BTreeMap<_, _> = (0..shards).map(|id| (ShardId(id), Shard::default())).collect();
    Input { runners: (1..=nodes).map(|id| (NodeId(id), runner())).collect(), shards }
}

/// Times the rounds of something.
struct Watch<'a> {
    host: &'a Host,
    rounds: u32,
    bar: &'a ProgressBar,
}

impl Watch<'_> {
    /// The milliseconds of each round, and what the last one gave.
    fn times<T>(&mut self, mut work: impl FnMut() -> T) -> (Spread, T) {
        let mut round = || {
            let began = self.host.now();
            let made = work();
            let took: Duration = self.host.now().since(began);
            self.bar.inc(1);
            (took.as_secs_f64() * 1e3, made)
        };
        let (first, mut last) = round();
        let mut times = vec![first];
        for _ in 1..self.rounds {
            let (took, made) = round();
            times.push(took);
            last = made;
        }
        (Spread::of(times), last)
    }
}

impl Report {
    fn print(&self, output: Output) -> Result<(), Failure> {
        if output.format() != Format::Table {
            return output.record(&[], self);
        }
        let [before, after] = self.load;
        output.line(&aligned(&[
            ("bench", self.bench.to_owned()),
            ("build", self.build.to_owned()),
            ("cores", format!("{}, load {before:.1} to {after:.1}", self.cores)),
            ("cluster", format!("{} nodes, {} shards", self.nodes, self.shards)),
            (
                "baseline",
                format!(
                    "sorting {} numbers: {:.2} ms (median of {})",
                    self.shards, self.baseline_ms.median, self.rounds
                ),
            ),
        ]))?;
        output.line("")?;
        let columns = ["change", "min ms", "median ms", "max ms", "ratio", "moves", "fewest"];
        output.line(&table(&columns, self.results.iter().map(Figure::row).collect()))
    }
}

impl Figure {
    fn row(&self) -> Vec<String> {
        let Spread { min, median, max } = self.ms;
        let mut row = vec![self.change.to_owned()];
        row.extend([min, median, max].map(|ms| format!("{ms:.2}")));
        row.push(format!("{:.1}", self.ratio));
        row.extend([self.moves, self.fewest].map(|moves| moves.to_string()));
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cold_start_places_every_shard() {
        let planned = plan(&input(10, 256), UNBOUNDED);
        assert_eq!((planned.moves.len(), planned.unplaced.len()), (256, 0));
    }
}
