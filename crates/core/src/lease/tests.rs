//! The two sides together.

use alloc::{vec, vec::Vec};
use core::time::Duration;

use proptest::prelude::*;
use quarry_types::{BootId, Monotonic, NodeId};

use super::*;

const NODE: NodeId = NodeId(1);
const BOOT: BootId = BootId(7);

fn at(millis: u64) -> Monotonic {
    Monotonic(millis * 1_000_000)
}

fn leader() -> LeaderLeases {
    let mut leases = LeaderLeases::elected(at(0), [(NODE, BOOT, LeaseTimes::USUAL_TTL)]);
    leases.applied_own_term();
    leases
}

#[test]
fn times_are_checked_together() {
    // given (heartbeat, time to live) in ms, then whether they make a lease
    let table = [
        (500, 3_000, true),
        (500, 2_000, true),
        (500, 1_999, false),
        (10, 40, true),
        (9, 3_000, false),
        (10_000, 300_000, true),
        (10_001, 300_000, false),
        (500, 300_001, false),
    ];
    for (heartbeat, ttl, then) in table {
        let times = LeaseTimes::new(Duration::from_millis(heartbeat), Duration::from_millis(ttl));
        assert_eq!(times.is_ok(), then, "{heartbeat} {ttl}");
    }
    assert!(
        LeaseTimes::new(LeaseTimes::default().heartbeat(), LeaseTimes::default().ttl()).is_ok()
    );
}

#[test]
fn an_answer_is_waited_for_longer_than_a_round_and_leaves_time_to_ask_again() {
    for (heartbeat, ttl) in [(10, 40), (500, 3_000), (10_000, 300_000)] {
        let times = LeaseTimes::new(Duration::from_millis(heartbeat), Duration::from_millis(ttl));
        let times = times.unwrap();
        assert!(times.round_limit() < times.answer_limit());
        assert!(times.answer_limit() * 2 <= times.runner_span());
    }
}

#[test]
fn a_runner_counts_from_the_moment_it_sent() {
    let mut lease = RunnerLease::new(LeaseTimes::default());
    let first = lease.sent(at(100));
    let second = lease.sent(at(600));
    assert!(!lease.is_held(at(600)), "nothing is acknowledged yet");
    assert_eq!(lease.acknowledged(first), Some(at(2_650)));
    assert!(lease.is_held(at(2_649)));
    assert!(!lease.is_held(at(2_650)));
    assert_eq!(lease.acknowledged(second), Some(at(3_150)));
    assert_eq!(lease.acknowledged(second), None, "a doubled answer extends nothing");
}

#[test]
fn answers_out_of_order_never_shorten_a_lease() {
    let mut lease = RunnerLease::new(LeaseTimes::default());
    let (first, second) = (lease.sent(at(0)), lease.sent(at(500)));
    assert_eq!(lease.acknowledged(second), Some(at(3_050)));
    assert_eq!(lease.acknowledged(first), None);
    assert_eq!(lease.deadline(), Some(at(3_050)));
}

#[test]
fn a_lease_given_up_is_not_brought_back_by_a_late_answer() {
    let mut lease = RunnerLease::new(LeaseTimes::default());
    let first = lease.sent(at(0));
    assert!(lease.acknowledged(first).is_some());
    let late = lease.sent(at(500));
    lease.end();
    assert!(!lease.is_held(at(500)));
    assert_eq!(lease.acknowledged(late), None);
    let later = lease.sent(at(600));
    assert_eq!(lease.acknowledged(later), None);
    assert_eq!(lease.deadline(), None);
}

#[test]
fn unanswered_heartbeats_are_bounded() {
    let mut lease = RunnerLease::new(LeaseTimes::default());
    let first = lease.sent(at(0));
    for number in 1..=2_000 {
        lease.sent(at(number));
    }
    assert_eq!(lease.acknowledged(first), None);
}

#[test]
fn a_new_leader_gives_everyone_a_full_lease() {
    let mut leases = leader();
    assert_eq!(leases.next_deadline(), Some(at(3_450)));
    assert_eq!(leases.expired(at(3_449)), vec![]);
    assert_eq!(leases.expired(at(3_450)), vec![(NODE, BOOT)]);
    assert_eq!(leases.next_deadline(), None);
}

#[test]
fn a_leader_that_has_not_applied_its_own_term_neither_acknowledges_nor_ends() {
    let mut leases = LeaderLeases::elected(at(0), [(NODE, BOOT, LeaseTimes::USUAL_TTL)]);
    let received = leases.heartbeat(NODE, BOOT, at(100)).unwrap();
    assert_eq!(leases.acknowledge(received, at(200)), Err(NotAcknowledged::NotApplied));
    assert_eq!(leases.expired(at(10_000)), vec![]);
    leases.applied_own_term();
    assert_eq!(leases.acknowledge(received, at(200)), Ok(at(3_550)));
}

#[test]
fn a_quorum_round_that_began_earlier_proves_nothing() {
    let mut leases = leader();
    let received = leases.heartbeat(NODE, BOOT, at(1_000)).unwrap();
    assert_eq!(leases.acknowledge(received, at(999)), Err(NotAcknowledged::RoundTooOld));
    assert_eq!(leases.next_deadline(), Some(at(3_450)), "it extends nothing");
    assert_eq!(leases.acknowledge(received, at(1_000)), Ok(at(4_450)));
}

#[test]
fn a_lease_that_is_ending_is_not_acknowledged() {
    let mut leases = leader();
    let received = leases.heartbeat(NODE, BOOT, at(3_400)).unwrap();
    assert_eq!(leases.expired(at(3_450)), vec![(NODE, BOOT)]);
    assert_eq!(
        leases.acknowledge(received, at(3_460)),
        Err(NotAcknowledged::Ending { node: NODE }),
        "its end may be committed already"
    );
    assert!(leases.heartbeat(NODE, BOOT, at(3_470)).is_err());
    leases.joined(NODE, BOOT, LeaseTimes::USUAL_TTL, at(3_480));
    assert_eq!(leases.expired(at(3_480)), vec![(NODE, BOOT)], "named until it is applied");
    leases.ended(NODE, BOOT);
    assert_eq!(leases.expired(at(9_000)), vec![]);
    leases.joined(NODE, BOOT, LeaseTimes::USUAL_TTL, at(9_000));
    assert!(leases.heartbeat(NODE, BOOT, at(9_001)).is_ok(), "it may come back");
}

#[test]
fn every_leader_counts_with_the_time_to_live_of_the_process() {
    let others = NodeId(2);
    let all = [(NODE, BOOT, Duration::from_secs(10)), (others, BOOT, Duration::from_secs(2))];
    let mut leases = LeaderLeases::elected(at(0), all);
    leases.applied_own_term();
    assert_eq!(leases.expired(at(2_299)), vec![]);
    assert_eq!(leases.expired(at(2_300)), vec![(others, BOOT)]);
    let received = leases.heartbeat(NODE, BOOT, at(2_400)).unwrap();
    assert_eq!(leases.acknowledge(received, at(2_400)), Ok(at(13_900)));
    leases.joined(NODE, BOOT, Duration::from_secs(20), at(3_000));
    assert_eq!(leases.expired(at(25_399)), vec![(others, BOOT)], "it was told late");
    assert_eq!(leases.expired(at(25_400)), vec![(NODE, BOOT), (others, BOOT)]);
    let longest = Duration::from_hours(1);
    leases.joined(NodeId(3), BOOT, longest, at(0));
    assert!(leases.next_deadline().unwrap() <= at(0).after(LeaseTimes::MAX_TTL * 2), "bounded");
}

#[test]
fn no_more_than_the_usual_time_to_live_is_a_lease_too() {
    let ms = Duration::from_millis;
    for (heartbeat, ttl, then) in
        [(500, 3_000, (500, 3_000)), (10_000, 300_000, (750, 3_000)), (200, 1_000, (200, 1_000))]
    {
        let times = LeaseTimes::new(ms(heartbeat), ms(ttl)).unwrap();
        let (heartbeat, ttl) = then;
        assert_eq!(Ok(times.at_most_usual()), LeaseTimes::new(ms(heartbeat), ms(ttl)));
    }
}

#[test]
fn who_does_not_tell_its_time_to_live_is_waited_for_longer_rather_than_shorter() {
    let ms = Duration::from_millis;
    // given what the leader counts with and what was told, then what is counted with
    for (own, told, then) in [
        (3_000, None, 3_000),
        (1_000, None, 3_000),
        (9_000, None, 9_000),
        (9_000, Some(1_000), 1_000),
        (1_000, Some(9_000), 9_000),
    ] {
        let times = LeaseTimes::new(ms(100), ms(own)).unwrap();
        assert_eq!(times.ttl_of(told.map(ms)), ms(then), "{own} {told:?}");
    }
}

#[test]
fn a_newer_process_has_a_lease_of_its_own() {
    let mut leases = leader();
    let received = leases.heartbeat(NODE, BOOT, at(100)).unwrap();
    leases.joined(NODE, BootId(8), LeaseTimes::USUAL_TTL, at(150));
    let refused = Err(NotAcknowledged::NoLease { node: NODE, boot: BOOT });
    assert_eq!(leases.acknowledge(received, at(200)), refused);
    leases.ended(NODE, BOOT);
    assert_eq!(leases.next_deadline(), Some(at(3_600)), "the older one's end is not its own");
}

#[test]
fn a_goodbye_ends_a_lease_before_its_time() {
    let mut leases = leader();
    leases.end_early(NODE, BootId(8));
    assert_eq!(leases.expired(at(1)), vec![], "another process");
    leases.end_early(NODE, BOOT);
    assert_eq!(leases.expired(at(1)), vec![(NODE, BOOT)]);
}

/// One heartbeat in real time, in microseconds.
#[derive(Clone, Debug)]
struct Exchange {
    pause: u64,
    to_leader: u64,
    quorum: u64,
    to_runner: u64,
    is_lost: bool,
    leader_changes: bool,
}

/// Often none at all, because the bound is reached where the network is fast.
fn delay() -> impl Strategy<Value = u64> {
    prop_oneof![0..10_u64, 0..1_500_000_u64]
}

fn exchange() -> impl Strategy<Value = Exchange> {
    (1..2_000_000_u64, delay(), delay(), delay(), any::<u8>()).prop_map(
        |(pause, to_leader, quorum, to_runner, dice)| Exchange {
            pause,
            to_leader,
            quorum,
            to_runner,
            is_lost: dice % 5 == 0,
            leader_changes: dice % 7 == 0,
        },
    )
}

/// A clock with an offset, running at `rate` thousandths of real time.
#[derive(Clone, Copy, Debug)]
struct Skewed {
    offset: u64,
    rate: u64,
}

impl Skewed {
    fn read(self, real_micros: u64) -> Monotonic {
        Monotonic(self.offset + real_micros * self.rate)
    }
}

fn skewed() -> impl Strategy<Value = Skewed> {
    let rate = prop_oneof![Just(900), Just(1_100), 900..=1_100_u64];
    (0..1_000_000_000_u64, rate).prop_map(|(offset, rate)| Skewed { offset, rate })
}

/// Events in the order of real time; of simultaneous ones the leader's own come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Elected,
    Received(usize),
    RoundOver(usize),
    Answered(usize),
}

fn schedule(exchanges: &[Exchange]) -> (Vec<u64>, Vec<(u64, Event)>) {
    let (mut now, mut sent, mut events) = (0, Vec::new(), vec![(0, Event::Elected)]);
    for (number, exchange) in exchanges.iter().enumerate() {
        now += exchange.pause;
        sent.push(now);
        if exchange.leader_changes {
            events.push((now, Event::Elected));
        }
        if !exchange.is_lost {
            let received = now + exchange.to_leader;
            let over = received + exchange.quorum;
            events.push((received, Event::Received(number)));
            events.push((over, Event::RoundOver(number)));
            events.push((over + exchange.to_runner, Event::Answered(number)));
        }
    }
    events.sort_unstable();
    (sent, events)
}

proptest! {
    /// Heartbeats are lost, late and overtake each other, leaders change, and clocks differ by up
    /// to 10 % each way: when the leader names the lease as over, the runner has stopped (L2).
    #[test]
    fn the_runner_stops_before_the_leader_may_act(
        exchanges in proptest::collection::vec(exchange(), 1..40),
        runner_clock in skewed(),
        leader_clock in skewed(),
    ) {
        let times = LeaseTimes::default();
        let (sent, events) = schedule(&exchanges);
        let mut runner = RunnerLease::new(times);
        let ids: Vec<HeartbeatId> =
            sent.iter().map(|real| runner.sent(runner_clock.read(*real))).collect();
        let mut leader = LeaderLeases::elected(leader_clock.read(0), []);
        let (mut received, mut acknowledged) = (vec![None; ids.len()], vec![false; ids.len()]);
        for (real, event) in events {
            let now = leader_clock.read(real);
            match event {
                Event::Elected => {
                    leader = LeaderLeases::elected(now, [(NODE, BOOT, times.ttl())]);
                    leader.applied_own_term();
                    received.fill(None);
                }
                Event::Received(number) => {
                    received[number] = leader.heartbeat(NODE, BOOT, now).ok();
                }
                Event::RoundOver(number) => {
                    let began = leader_clock.read(sent[number] + exchanges[number].to_leader);
                    acknowledged[number] = received[number]
                        .is_some_and(|heartbeat| leader.acknowledge(heartbeat, began).is_ok());
                }
                Event::Answered(number) => {
                    if acknowledged[number] {
                        runner.acknowledged(ids[number]);
                    }
                }
            }
            if let Some(deadline) = leader.next_deadline() {
                // The first real microsecond at which the leader may act.
                let acts = (deadline.0 - leader_clock.offset).div_ceil(leader_clock.rate);
                prop_assert!(!runner.is_held(runner_clock.read(acts.max(real))));
            }
            if !leader.expired(now).is_empty() {
                prop_assert!(!runner.is_held(runner_clock.read(real)), "over at {real}");
                leader.ended(NODE, BOOT);
            }
        }
    }
}

#[test]
fn a_leader_knows_for_how_long_a_process_was_silent() {
    let mut leases = leader();
    assert_eq!(leases.silence(NODE, BOOT, at(700)), Some(Duration::from_millis(700)));
    let beat = leases.heartbeat(NODE, BOOT, at(1_000)).unwrap();
    assert_eq!(leases.silence(NODE, BOOT, at(1_100)), Some(Duration::from_millis(1_100)));
    leases.acknowledge(beat, at(1_000)).unwrap();
    for silent in [0, 100, 5_000] {
        let silence = leases.silence(NODE, BOOT, at(1_000 + silent));
        assert_eq!(silence, Some(Duration::from_millis(silent)));
    }
    leases.end_early(NODE, BOOT);
    assert_eq!(leases.silence(NODE, BOOT, at(1_250)), Some(Duration::from_millis(250)));
    assert_eq!(leases.silence(NODE, BootId(8), at(1_250)), None);
    leases.ended(NODE, BOOT);
    assert_eq!(leases.silence(NODE, BOOT, at(1_250)), None);
}
