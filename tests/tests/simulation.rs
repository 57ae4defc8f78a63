//! Whole clusters of the real node code over virtual time, with faults by a seed.
//!
//! `QUARRY_SIM_SEEDS` says how many seeds, `QUARRY_SIM_FROM` which is the first.
#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use quarry_scenario::{Plan, Point, Tally, simulate, sweep};
use quarry_tests::report::say;

const THREADS: usize = 2;

/// Seeds that showed something: of a check that a story was not read to its end where no node was
/// there to be asked; an innocent message was held guilty of the ends of three processes.
const KEPT: [u64; 2] = [798, 1189];
/// The same, of one node: the simulator started it twice on one disk; the innocent message again.
const KEPT_ALONE: [u64; 2] = [130, 68];

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// Nothing is wrong under any seed; the last lines of those under which something is are shown.
fn check(tally: &Tally) {
    say(tally.lines().join("\n"));
    for (seed, report) in &tally.broken {
        let lines: Vec<&str> = report.trace.lines().collect();
        let from = lines.iter().position(|line| line.contains("VIOLATION")).unwrap_or(0);
        let shown = lines.get(from.saturating_sub(40)..(from + 5).min(lines.len())).unwrap();
        say(format!("\nseed {seed}: {:#?}\n{}", report.violations, shown.join("\n")));
    }
    let seeds: Vec<_> = tally.broken.keys().collect();
    assert!(seeds.is_empty(), "replay with `quarry sim --seed N`: {seeds:?}");
}

#[test]
fn no_seed_breaks_a_promise_and_each_point_is_reached() {
    let from = number("QUARRY_SIM_FROM", 0);
    let seeds = number("QUARRY_SIM_SEEDS", 160);
    let tally = sweep(from..from + seeds, THREADS, Plan::of_seed).unwrap();
    check(&tally);
    for point in Point::ALL {
        let per_cent = tally.per_cent(point);
        assert!(seeds < 100 || per_cent >= 5, "{}: only {per_cent} %", point.as_str());
    }
}

#[test]
fn what_a_seed_showed_once_it_shows_no_more() {
    for seed in KEPT {
        check(&sweep(seed..seed + 1, 1, Plan::of_seed).unwrap());
    }
    for seed in KEPT_ALONE {
        let alone = |seed| Plan { nodes: 1, ..Plan::of_seed(seed) };
        check(&sweep(seed..seed + 1, 1, alone).unwrap());
    }
}

#[test]
fn five_nodes_of_which_two_are_no_voters_keep_the_promises_too() {
    let seeds = number("QUARRY_SIM_SEEDS", 160) / 10;
    check(&sweep(0..seeds, THREADS, |seed| Plan { nodes: 5, ..Plan::of_seed(seed) }).unwrap());
}

#[test]
fn one_node_keeps_them_too() {
    let seeds = number("QUARRY_SIM_SEEDS", 160) / 10;
    check(&sweep(0..seeds, THREADS, |seed| Plan { nodes: 1, ..Plan::of_seed(seed) }).unwrap());
}

#[test]
fn the_same_seed_gives_the_same_trace_twice() {
    for seed in 0..50 {
        let [first, second] = [(); 2].map(|()| simulate(Plan::of_seed(seed)).unwrap());
        let differs = first.trace.lines().zip(second.trace.lines()).find(|(a, b)| a != b);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(first.digest(), second.digest(), "seed {seed}");
    }
}
