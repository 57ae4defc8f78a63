//! Lease, takeover and fence as a model, of which every state is visited (L1, L3, L4, L5, D2, G3, G6).
//!
//! One shard; a coordinator; three nodes whose processes restart; a store; between processes and
//! store a network that delivers late, in any order, never, or again. Time is left out: a lease ends
//! at any moment, and its holder believes in it for as long as it likes, as one that is frozen does.
//! So nothing here rests on clocks (L2): the fence alone must be enough.
//!
//! The sound rules are exhausted within [`BOUNDS`]. Then one rule is left out at a time, and the
//! model must find how that breaks a promise. Each rule names the code that it mirrors:
//! `lease_model/storage.rs` the transactions of `quarry-store`, `lease_model/process.rs` its
//! committer and the runtime's shard task. That the real coordinator grants as the model's does is
//! checked over the states of `quarry_core::coordinator` itself.

mod lease_model {
    pub(crate) mod coordinator;
    pub(crate) mod message;
    pub(crate) mod model;
    pub(crate) mod process;
    pub(crate) mod rules;
    pub(crate) mod search;
    pub(crate) mod storage;
    pub(crate) mod world;
}

use lease_model::{
    coordinator,
    model::{D2_KEPT, D2_ONCE, G6, L3, L4, L5},
    rules::{Bounds, Network, Requests, Rules, Setting},
    search::{Counterexample, exhaust, shortest},
    world::Step,
};

/// Three grants are a takeover from an owner that took over itself; two restarts are an owner and
/// its heir that both lose what they had begun; three sequences are two writes and a void one.
const BOUNDS: Bounds = Bounds { grants: 3, writes: 2, restarts: 2, sequences: 3 };
/// Bounds within which every request can be kept.
const SMALL: Bounds = Bounds { grants: 2, writes: 2, restarts: 1, sequences: 3 };
/// Entries in the coordinator's log behind the one that makes the cluster.
const ENTRIES: u64 = 6;

const SOUND: Setting = Setting {
    rules: Rules::Sound,
    network: Network::Duplicating,
    requests: Requests::KeptWhileLive,
};

#[test]
fn the_sound_rules_keep_every_promise_in_every_state() {
    println!("{}", exhaust(SOUND, BOUNDS));
}

#[test]
fn keeping_dead_requests_shows_nothing_else() {
    println!("{}", exhaust(Setting { requests: Requests::Kept, ..SOUND }, SMALL));
}

#[test]
fn the_coordinator_grants_each_epoch_once() {
    println!("{}", coordinator::exhaust(ENTRIES));
}

/// A shortest way in which `rules` break `promise`, with a network that delivers once at most.
fn found(rules: Rules, promise: &'static str) -> Counterexample {
    let found = shortest(rules, Network::AtMostOnce, BOUNDS, promise);
    found.unwrap_or_else(|| panic!("{rules:?} does not break \"{promise}\""))
}

#[test]
fn writes_without_a_fence_are_found() {
    println!("{}", found(Rules::NoFenceOnWrites, L3));
    println!("{}", found(Rules::NoFenceOnWrites, L4));
}

#[test]
fn a_fence_that_waits_for_the_first_write_is_found() {
    println!("{}", found(Rules::FenceAtFirstWrite, L3));
    println!("{}", found(Rules::FenceAtFirstWrite, L4));
}

#[test]
fn writes_without_a_sequence_are_found() {
    let doubled = found(Rules::NoWriteSequence, D2_ONCE);
    println!("{doubled}");
    let lost = |step: &Step| matches!(step, Step::LoseAnswer(_));
    assert!(doubled.steps.iter().any(lost), "doubled without a lost answer");
    println!("{}", found(Rules::NoWriteSequence, D2_KEPT));
    let network = Network::Duplicating;
    let by_network = shortest(Rules::NoWriteSequence, network, BOUNDS, D2_ONCE);
    println!("{}", by_network.expect("a request that comes again is written again"));
}

#[test]
fn a_grant_that_can_be_loaded_twice_is_found() {
    println!("{}", found(Rules::GrantLoadableTwice, L5));
    println!("{}", found(Rules::GrantLoadableTwice, L4));
}

#[test]
fn a_fate_that_is_decided_by_looking_is_found() {
    println!("{}", found(Rules::LookInsteadOfVoid, G6));
}
