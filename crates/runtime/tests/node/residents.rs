//! Entities in memory: no more than may be, and right whether they are or not.

use std::{sync::atomic::Ordering, time::Duration};

use futures_util::{StreamExt, stream};
use quarry_runtime::{Node, NodeConfig, TypeLimits};
use quarry_types::{Address, EntityType, Tenant};
use tokio::sync::oneshot;

use crate::world::{TIMEOUT, World, call, envelope_to, number};

/// Entities that are touched, and how many may be in memory.
const ENTITIES: i64 = 1_000;
const CAP: i64 = 100;
const CALLERS: i64 = 8;

fn residents(node: &Node) -> i64 {
    node.ports().metrics.residents.get()
}

fn left(node: &Node, why: &str) -> u64 {
    node.ports().metrics.passivations.with_label_values(&[why]).get()
}

fn activated(node: &Node, from: &str) -> u64 {
    node.ports().metrics.activations.with_label_values(&[from]).get()
}

fn probes(residents: usize) -> impl Fn(&mut NodeConfig) {
    move |config| {
        let own = TypeLimits { residents, ..config.limits.default_type };
        config.limits.types.insert(EntityType::new("Probe").unwrap(), own);
    }
}

/// Calls `method` of all entities, some at a time; the most that were in memory meanwhile.
async fn touch(node: &Node, method: &str) -> i64 {
    let callers = usize::try_from(CALLERS).unwrap();
    let touched = stream::iter(0..ENTITIES).map(|id| async move {
        let payload = if method == "set" { id.to_string() } else { String::new() };
        let answer = call(node, &format!("e{id}"), method, &payload).await;
        assert_eq!(number(answer), id);
        residents(node)
    });
    let seen: Vec<i64> = touched.buffer_unordered(callers).collect().await;
    assert_eq!(i64::try_from(seen.len()).unwrap(), ENTITIES);
    seen.into_iter().max().unwrap()
}

#[tokio::test(start_paused = true)]
async fn no_more_are_in_memory_than_may_be_and_those_that_run() {
    let world = World::new();
    let (node, _) = world.start_as(1, |config| config.residents = 100);
    for method in ["set", "get", "set", "get"] {
        let most = touch(&node, method).await;
        assert!((CAP..=CAP + CALLERS).contains(&most), "{most} of {CAP} while {method}");
        assert!(residents(&node) <= CAP, "{} when all rest", residents(&node));
    }
    let evicted = i64::try_from(left(&node, "room")).unwrap();
    assert!(evicted >= 4 * (ENTITIES - CAP - CALLERS), "{evicted} made room");
    assert_eq!(left(&node, "failed"), 0);
    assert!(activated(&node, "memory") > 0);
}

#[tokio::test(start_paused = true)]
async fn the_memory_of_states_is_bounded_and_nothing_hangs_on_it() {
    let world = World::new();
    let room = 20_000;
    let (node, _) = world.start_as(1, |config| {
        (config.residents, config.dormant_bytes) = (10, room);
    });
    touch(&node, "set").await;
    touch(&node, "get").await;
    let metrics = &node.ports().metrics;
    let kept = metrics.dormant_entities.get();
    assert!((1..ENTITIES).contains(&kept), "{kept} are kept");
    assert!(metrics.dormant_bytes.get() <= i64::try_from(room).unwrap());
    let another = World::new();
    let (other, _) = another.start_as(1, |config| {
        (config.residents, config.dormant_bytes) = (10, 0);
    });
    touch(&other, "set").await;
    touch(&other, "get").await;
    assert_eq!((other.ports().metrics.dormant_entities.get(), activated(&other, "memory")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_runs_stays_and_the_least_recently_used_leaves() {
    let world = World::new();
    let (node, _) = world.start_as(1, |config| config.residents = 3);
    let (sender, slow) = oneshot::channel();
    let caller = node.clone();
    world.host.spawn("call", async move {
        drop(sender.send(call(&caller, "slow", "set_slowly", "1").await));
    });
    until(|| world.attempts.load(Ordering::Relaxed) == 1).await;
    for id in ["a", "b", "a", "c", "a"] {
        call(&node, id, "set", "5").await.unwrap();
    }
    assert_eq!((residents(&node), left(&node, "room")), (3, 1), "b left for c");
    let before = activated(&node, "store") + activated(&node, "memory");
    call(&node, "a", "set", "6").await.unwrap();
    assert_eq!(activated(&node, "store") + activated(&node, "memory"), before, "a never left");
    assert_eq!(number(slow.await.unwrap()), 1);
    assert_eq!(number(call(&node, "slow", "get", "").await), 1);
    let attempts = world.attempts.load(Ordering::Relaxed);
    assert_eq!(attempts, 7, "the slow one ran once");
}

#[tokio::test(start_paused = true)]
async fn a_type_at_its_cap_makes_room_by_itself() {
    let world = World::new();
    let (node, _) = world.start_as(1, probes(2));
    let book = Address::parse(Tenant::default_tenant(), "Book/b").unwrap();
    let ask = || node.call(envelope_to(&node, book.clone(), "get", ""), TIMEOUT);
    ask().await.unwrap();
    for id in 0..10 {
        call(&node, &format!("e{id}"), "set", "5").await.unwrap();
    }
    assert_eq!((residents(&node), left(&node, "room")), (3, 8));
    let before = activated(&node, "store") + activated(&node, "memory");
    ask().await.unwrap();
    assert_eq!(activated(&node, "store") + activated(&node, "memory"), before, "the book stayed");
}

#[tokio::test(start_paused = true)]
async fn a_state_that_was_kept_is_not_used_once_another_owner_was_there() {
    let world = World::new();
    let (one, cut_off) = world.start(1);
    call(&one, "a", "set", "5").await.unwrap();
    until(|| residents(&one) == 0).await;
    assert_eq!(number(call(&one, "a", "get", "").await), 5);
    assert_eq!(activated(&one, "memory"), 1, "it was kept");
    until(|| residents(&one) == 0).await;
    cut_off.cut(true);
    let (two, two_lives) = world.start(2);
    until(|| two.owned_shards().len() == 8).await;
    assert_eq!(number(call(&two, "a", "set", "6").await), 6);
    cut_off.cut(false);
    two_lives.cut(true);
    until(|| one.owned_shards().len() == 8).await;
    assert_eq!(number(call(&one, "a", "get", "").await), 6);
}

async fn until(what: impl Fn() -> bool) {
    let awaited = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(5), awaited).await.unwrap();
}
