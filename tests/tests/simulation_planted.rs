//! Bugs that are planted are found by the simulation: this shows that its checks see something.
//!
//! `QUARRY_SIM_SEARCH=1` looks for the first seed that finds each instead of trying the known one first.
#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use quarry_scenario::{Plan, simulate};
use quarry_tests::report::say;
use quarry_types::planted::Bug;

/// Under which seed each is found, the first from 0.
const FOUND: [(Bug, u64); 16] = [
    (Bug::NoFence, 2),
    (Bug::FenceLate, 0),
    (Bug::GrantReuse, 0),
    (Bug::NoDedupe, 0),
    (Bug::AckEarly, 0),
    (Bug::OutboxOutsideTransaction, 0),
    (Bug::StaleRead, 303),
    (Bug::LeaseIgnored, 3),
    (Bug::RegrantEarly, 1),
    (Bug::SendClosedEarly, 1),
    (Bug::VoteForgotten, 1),
    (Bug::ResetUnrecorded, 0),
    (Bug::StateOutsideTransaction, 0),
    (Bug::RetryBehind, 2),
    (Bug::AttemptsUnbounded, 0),
    (Bug::GiveTooMuch, 0),
];

/// The most seeds that any may need.
const MOST: u64 = 1_000;

fn violation(bug: Bug, seed: u64) -> Option<String> {
    let plan = Plan { bug: Some(bug), ..Plan::of_seed(seed) };
    simulate(plan).unwrap().violations.into_iter().next()
}

/// One test, because a bug is planted in the whole process.
#[test]
fn every_planted_bug_is_found() {
    let searches = std::env::var_os("QUARRY_SIM_SEARCH").is_some();
    let mut missed = Vec::new();
    for (bug, known) in FOUND {
        // Another program runs otherwise under the same seed: then others are looked through.
        let known = (!searches).then_some(known);
        let found =
            known.into_iter().chain(0..MOST).find_map(|seed| Some((seed, violation(bug, seed)?)));
        match found {
            Some((seed, violation)) => say(format!("{bug}: seed {seed}: {violation}")),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
