//! Peers that freeze.

use rustix::process::Signal;

use crate::cluster::{Spec, introduce};

const MEBIBYTE: u64 = 1 << 20;

#[tokio::test]
async fn a_frozen_peer_costs_deadlines_and_no_memory() {
    let mut nodes = vec![Spec::new(1).start().await, Spec::new(2).start().await];
    introduce(&mut nodes).await;
    nodes[0].reaches(2).await;
    assert!(nodes[0].tell("flood 2 2000 65536 20000 100").await.starts_with("2000 0 0 "));
    let before = nodes[0].resident();
    nodes[1].freeze().await;
    // 2 GiB of requests, all of them waiting at some time for a peer that takes nothing.
    let ended = nodes[0].tell("flood 2 32000 65536 400 4000").await;
    let after = nodes[0].resident();
    nodes[1].signal(Signal::CONT);
    let figures: Vec<u64> = ended.split(' ').map(|figure| figure.parse().unwrap()).collect();
    assert_eq!(figures[0], 0, "nothing is answered: {ended}");
    assert!(figures[1] > figures[2], "most of it never left: {ended}");
    assert!(figures[3] < 20_000, "deadlines hold: {ended}");
    let grown = after.saturating_sub(before);
    assert!(grown < 64 * MEBIBYTE, "{} MiB more", grown / MEBIBYTE);
    assert!(nodes[0].counter("quarry_mesh_credit_exhausted_total{}").await > 1_000);
    // The link was not idle for long enough to be closed; it goes on.
    nodes[0].reaches(2).await;
    nodes[1].reaches(1).await;
}

#[tokio::test]
async fn a_peer_frozen_for_the_idle_time_loses_its_link_and_comes_back() {
    let spec = |id| Spec { idle_milliseconds: 6_000, ..Spec::new(id) };
    let mut nodes = vec![spec(1).start().await, spec(2).start().await];
    introduce(&mut nodes).await;
    nodes[0].reaches(2).await;
    nodes[1].freeze().await;
    assert_eq!(nodes[0].tell("hold 2 3600000").await, "lost: the link broke");
    nodes[1].signal(Signal::CONT);
    nodes[0].reaches(2).await;
    assert!(nodes[0].counter("quarry_mesh_reconnects_total{}").await >= 1);
}
