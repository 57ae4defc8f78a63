//! Shards that are split while they are served.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use quarry_ports::{Administration, FenceRequest, Store as _};
use quarry_runtime::Node;
use quarry_sim::MemoryStore;
use quarry_types::{Address, BootId, Epoch, ShardView, Slot, Tenant};

use crate::world::{World, call, number};

fn slot_of(id: &str) -> Slot {
    Address::parse(Tenant::default_tenant(), &format!("Probe/{id}")).unwrap().slot()
}

fn shard_of(world: &World, id: &str) -> ShardView {
    world.coordination.view().shard_of(slot_of(id)).cloned().unwrap()
}

/// Another entity of the same shard, in its other half.
fn in_the_other_half(world: &World, id: &str) -> String {
    let [lower, upper] = shard_of(world, id).division().halves().unwrap();
    let other = if lower.range.contains(slot_of(id)) { upper } else { lower };
    let mut ids = (0..10_000).map(|number| format!("other-{number}"));
    ids.find(|id| other.range.contains(slot_of(id))).unwrap()
}

async fn split(node: &Node, shard: &ShardView) {
    node.ports().coordinator.administer(Administration::Split(shard.id)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_runs_in_a_shard_that_is_split_ends_there_and_the_halves_go_on() {
    let world = World::new();
    let (node, _lives) = world.start(1);
    call(&node, "a", "set", "1").await.unwrap();
    let (whole, other) = (shard_of(&world, "a"), in_the_other_half(&world, "a"));
    call(&node, &other, "set", "2").await.unwrap();
    world.attempts.store(0, Ordering::Relaxed);
    let slow = call(&node, "a", "set_slowly", "3");
    let meanwhile = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        split(&node, &whole).await;
        let asked = world.host.now();
        let answer = number(call(&node, &other, "set", "4").await);
        (answer, world.host.now().since(asked))
    };
    let (slow, (answer, took)) = tokio::join!(slow, meanwhile);
    assert_eq!((number(slow), answer), (3, 4));
    assert!(took < Duration::from_millis(250), "the whole serves on: {took:?}");
    assert_eq!(world.attempts.load(Ordering::Relaxed), 2, "nothing was cancelled");
    for (id, expected) in [("a", 3), (other.as_str(), 4)] {
        assert_eq!(number(call(&node, id, "get", "").await), expected);
        let half = shard_of(&world, id);
        assert!(half.is_part_of(whole.id));
        while !node.owned_shards().iter().any(|own| own.shard == half.id) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(number(call(&node, id, "set", "5").await), 5);
    }
    assert_eq!(node.ports().metrics.shard_splits.get(), 1);
    assert_eq!(world.coordination.violations(), 0);
}

/// What runs is young when the shard is asked to close, and proves to be long.
#[tokio::test(start_paused = true)]
async fn a_shard_that_waited_in_vain_for_a_handler_to_end_serves_on() {
    let world = World::new();
    let (node, _lives) = world.start(1);
    call(&node, "a", "set", "1").await.unwrap();
    let (whole, other) = (shard_of(&world, "a"), in_the_other_half(&world, "a"));
    call(&node, &other, "set", "2").await.unwrap();
    world.attempts.store(0, Ordering::Relaxed);
    let slow = call(&node, "a", "set_slowly", "3");
    let meanwhile = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        split(&node, &whole).await;
        let mut longest = Duration::ZERO;
        for value in 4..9 {
            let asked = world.host.now();
            assert_eq!(number(call(&node, &other, "set", &value.to_string()).await), value);
            longest = longest.max(world.host.now().since(asked));
        }
        longest
    };
    let (slow, longest) = tokio::join!(slow, meanwhile);
    assert_eq!(number(slow), 3);
    assert!(longest < Duration::from_millis(250), "{longest:?}");
    assert_eq!(world.attempts.load(Ordering::Relaxed), 6, "nothing was cancelled");
    while !shard_of(&world, "a").is_part_of(whole.id) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(number(call(&node, "a", "get", "").await), 3);
    assert_eq!(world.coordination.violations(), 0);
}

/// One of two entities always has a handler that has run for more than 100 ms.
#[tokio::test(start_paused = true)]
async fn a_shard_closes_though_a_handler_always_runs() {
    let world = World::new();
    let (node, _lives) = world.start(1);
    let (whole, other) = (shard_of(&world, "a"), in_the_other_half(&world, "a"));
    // Each takes 200 ms.
    let busy = async |id: &str, first: u64| {
        tokio::time::sleep(Duration::from_millis(first)).await;
        for _ in 0..50 {
            number(call(&node, id, "count", "2").await);
        }
    };
    let splitting = async {
        tokio::time::sleep(Duration::from_millis(250)).await;
        split(&node, &whole).await;
        let asked = world.host.now();
        while node.ports().metrics.shard_splits.get() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        world.host.now().since(asked)
    };
    let busy = async { tokio::join!(busy("a", 0), busy(&other, 100)) };
    tokio::select! {
        took = splitting => assert!(took < Duration::from_secs(2), "{took:?}"),
        _ = busy => panic!("the shard was not divided while handlers ran"),
    }
    assert_eq!(world.coordination.violations(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_split_that_the_coordinator_lost_is_done_again() {
    let world = World::new();
    let (node, lives) = world.start(1);
    call(&node, "a", "set", "1").await.unwrap();
    let whole = shard_of(&world, "a");
    node.drain().await;
    lives.end();
    let store = MemoryStore::open(&world.database, Arc::clone(&world.host.clock));
    for half in whole.division().halves().unwrap() {
        let (shard, range) = (half.id, half.range);
        let request = FenceRequest { shard, range, epoch: Epoch(900), boot: BootId(9) };
        store.load_shard(request).await.unwrap();
    }
    // As a load of the whole does before: its fence was closed under 900.
    let raised = world.coordination.view();
    assert!(raised.shard_of(slot_of("a")).unwrap().epoch < Epoch(900));
    let (next, _next_lives) = world.start(2);
    assert_eq!(number(call(&next, "a", "set", "7").await), 7);
    let half = shard_of(&world, "a");
    assert!(half.is_part_of(whole.id) && half.epoch > Epoch(900), "{half:?}");
}
