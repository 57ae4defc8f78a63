//! Who serves: nodes that give their shards away, and nodes that are cut off.

use std::time::Duration;

use quarry_types::{CallError, RefusalCode};

use crate::world::{World, call, number};

#[tokio::test(start_paused = true)]
async fn a_node_that_is_cut_off_refuses_soon_and_the_others_wait_for_the_next_owner() {
    let world = World::new();
    let (one, cut_off) = world.start(1);
    call(&one, "a", "set", "5").await.unwrap();
    cut_off.cut(true);
    let lease = one.ports().coordinator.lease();
    world.host.sleep_until(lease.deadline()).await;
    let asked = world.host.now();
    let (refused, taken_over) = tokio::join!(
        async { (call(&one, "a", "set", "6").await, world.host.now().since(asked)) },
        async {
            let (two, two_lives) = world.start(2);
            (call(&two, "a", "get", "").await, two_lives)
        }
    );
    let (Err(CallError::Refused(refusal)), took) = refused else { panic!("{refused:?}") };
    assert_eq!((refusal.code, refusal.retry_after_ms), (RefusalCode::NoOwner, Some(1_000)));
    assert!(took < Duration::from_secs(1), "refused after {took:?}");
    assert_eq!(number(taken_over.0), 5);
    cut_off.cut(false);
    assert_eq!(number(call(&one, "a", "set", "7").await), 7, "it serves again by itself");
}

#[tokio::test(start_paused = true)]
async fn shards_that_close_together_are_released_together() {
    let world = World::new();
    let (one, _one) = world.start(1);
    call(&one, "a", "set", "5").await.unwrap();
    while one.owned_shards().len() < 8 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let before = world.coordination.view().applied;
    one.drain().await;
    let entries = world.coordination.view().applied - before;
    assert!(entries <= 4, "{entries} entries for a drain, a release and a goodbye");
}
