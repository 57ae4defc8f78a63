//! Peers that are gone, or slam the door, are not stormed, and those that come back are found soon.

use std::{ops::Range, path::Path, time::Duration};

use quarry_ports::Host;
use quarry_types::Monotonic;
use rustix::process::Signal;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
};

use crate::{
    cluster::{PATIENCE, Process, Spec, introduce},
    refusals::refused,
};

/// The shortest and the longest times in which a node tries eight times more, with the default pauses:
/// 50 ms, doubling up to 2 s, and between half of it and all of it each. Beyond the longest there is
/// time for a slow machine.
const EIGHT_TRIES: Range<Duration> = Duration::from_millis(3_575)..Duration::from_secs(15);
/// The longest pause, and time for a slow machine.
const SOON: Duration = Duration::from_secs(5);

/// A node that many others connect to, as it has the highest number.
const MIDDLE: u64 = 100;
/// How many these are.
const MANY: u64 = 16;
/// How many connections it holds at a time that have not proved who they are.
const PLACES: usize = 4;

fn now() -> Monotonic {
    Host::system().now()
}

fn since(begun: Monotonic) -> Duration {
    now().since(begun)
}

/// Takes the next connection.
async fn taken(listener: &TcpListener) -> TcpStream {
    let taken = tokio::time::timeout(PATIENCE, listener.accept()).await;
    taken.expect("somebody connects").unwrap().0
}

/// How often a node could not connect, as its log tells.
fn failures(log: &Path) -> usize {
    let log = std::fs::read_to_string(log).unwrap();
    log.lines()
        .filter(|line| line.contains("no link yet") || line.contains("still no link"))
        .count()
}

#[tokio::test]
async fn a_peer_that_slams_the_door_is_tried_less_and_less() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut node = Spec::new(1).start().await;
    let peers = format!("peers 2={}", listener.local_addr().unwrap());
    assert_eq!(node.tell(&peers).await, "ok");
    drop(taken(&listener).await);
    let begun = now();
    for _ in 0..8 {
        drop(taken(&listener).await);
    }
    let took = since(begun);
    assert!(EIGHT_TRIES.contains(&took), "eight tries more in {took:?}");
}

#[tokio::test]
async fn a_peer_that_is_gone_is_tried_less_and_less_and_linked_soon_after_it_is_back() {
    let place = tempfile::tempdir().unwrap();
    let log = place.path().join("log");
    let first = Spec { log: Some(log.clone()), ..Spec::new(1) }.start().await;
    let mut nodes = vec![first, Spec::new(2).start().await];
    introduce(&mut nodes).await;
    nodes[0].reaches(2).await;
    let gone = nodes.remove(1);
    let (listen, begun, before) = (gone.address.clone(), now(), failures(&log));
    gone.kill().await;
    let tried = async {
        while failures(&log) < before + 8 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, tried).await.expect("it is tried again and again");
    let took = since(begun);
    assert!(EIGHT_TRIES.contains(&took), "eight tries in {took:?}");
    nodes.push(Spec { listen, ..Spec::new(2) }.start().await);
    let back = now();
    nodes[0].until("linked", |linked| linked == "[NodeId(2)]").await;
    let took = since(back);
    assert!(took < SOON, "linked after {took:?}");
}

/// Nodes that lose the same peer at the same moment, again and again.
#[tokio::test]
async fn nodes_that_lose_a_peer_together_come_back_apart() {
    const NODES: u64 = 8;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peers = format!("peers {MIDDLE}={}", listener.local_addr().unwrap());
    let mut nodes = Vec::new();
    for id in 1..=NODES {
        nodes.push(Spec::new(id).start().await);
    }
    for node in &mut nodes {
        assert_eq!(node.tell(&peers).await, "ok");
    }
    // Those that came are held until all are there: before that none loses anything.
    let mut held = Vec::new();
    for _ in 0..NODES {
        held.push(taken(&listener).await);
    }
    for longest in [50, 100, 200, 400, 800, 1_600].map(Duration::from_millis) {
        let begun = now();
        held.clear();
        let mut arrivals = Vec::new();
        for _ in 0..NODES {
            held.push(taken(&listener).await);
            arrivals.push(since(begun));
        }
        let (first, last) = (arrivals[0], arrivals[arrivals.len() - 1]);
        assert!(first >= longest / 2, "{first:?} is before half of {longest:?}");
        assert!(last < longest + SOON, "{last:?} is long after {longest:?}");
        // Of eight that come at any time of an interval, all come within an eighth of it in one of
        // 260,000 cases; without chance all would come within what the machine needs to wake them.
        if longest >= Duration::from_millis(400) {
            let spread = last.saturating_sub(first);
            assert!(spread >= longest / 16, "all within {spread:?} at {longest:?}: {arrivals:?}");
        }
    }
}

/// The node in the middle, and many that connect to it.
async fn star() -> (Process, Vec<Process>) {
    let spec = |id| Spec { idle_milliseconds: 6_000, places: PLACES, ..Spec::new(id) };
    let mut middle = spec(MIDDLE).start().await;
    let mut many = Vec::new();
    for id in 1..=MANY {
        many.push(spec(id).start().await);
    }
    let peers: Vec<_> = many.iter().map(|node| format!("{}={}", node.id, node.address)).collect();
    assert_eq!(middle.tell(&format!("peers {}", peers.join(" "))).await, "ok");
    for node in &mut many {
        assert_eq!(node.tell(&format!("peers {MIDDLE}={}", middle.address)).await, "ok");
    }
    all_linked(&mut middle, &mut many).await;
    (middle, many)
}

/// Waits until the node in the middle is linked with all, as both sides know.
async fn all_linked(middle: &mut Process, many: &mut [Process]) {
    for node in many.iter_mut() {
        node.until("linked", |linked| linked == format!("[NodeId({MIDDLE})]")).await;
    }
    let all: Vec<_> = many.iter().map(|node| format!("NodeId({})", node.id)).collect();
    let all = format!("[{}]", all.join(", "));
    middle.until("linked", |linked| linked == all).await;
}

/// A node that is frozen for so long that all lose it: what its kernel took for it meanwhile, silent
/// ones first and then one try of each peer at least, comes to it at once when it goes on.
#[tokio::test]
async fn a_storm_at_a_node_that_was_frozen_stays_within_its_limits_and_is_over_soon() {
    let (mut middle, mut many) = star().await;
    middle.freeze().await;
    let mut silent = Vec::new();
    for _ in 0..PLACES {
        silent.push(TcpStream::connect(&middle.address).await.unwrap());
    }
    for node in &mut many {
        node.until("linked", |linked| linked == "[]").await;
        refused(node, "deadline", 1).await;
    }
    let back = now();
    middle.signal(Signal::CONT);
    all_linked(&mut middle, &mut many).await;
    let took = since(back);
    // The silent ones hold the places for two seconds.
    assert!(took < SOON + Duration::from_secs(4), "all are linked after {took:?}");
    refused(&mut middle, "busy", MANY).await;
    // Each that had a place was cut off in time, and each that came behind a peer's try at once.
    refused(&mut middle, "deadline", 1).await;
    for stream in &mut silent {
        let ended = tokio::time::timeout(PATIENCE, stream.read(&mut [0; 64])).await;
        let ended = ended.expect("a silent connection is ended");
        assert!(matches!(ended, Ok(0) | Err(_)), "a silent connection was told {ended:?}");
    }
    for node in &mut many {
        node.reaches(MIDDLE).await;
    }
}

#[tokio::test]
async fn all_who_lost_a_node_at_once_are_linked_with_it_soon_after_it_is_back() {
    let (middle, mut many) = star().await;
    let listen = middle.address.clone();
    middle.kill().await;
    for node in &mut many {
        node.until("linked", |linked| linked == "[]").await;
    }
    let mut middle = Spec { listen, places: PLACES, ..Spec::new(MIDDLE) }.start().await;
    let back = now();
    let peers: Vec<_> = many.iter().map(|node| format!("{}={}", node.id, node.address)).collect();
    assert_eq!(middle.tell(&format!("peers {}", peers.join(" "))).await, "ok");
    all_linked(&mut middle, &mut many).await;
    let took = since(back);
    assert!(took < SOON, "all are linked after {took:?}");
}
