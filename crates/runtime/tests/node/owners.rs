//! Who serves: nodes that give their shards away, and nodes that are cut off.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use quarry_types::{
    Address, CallError, Envelope, NodeId, NodeState, RefusalCode, ReplyMode, Tenant,
};

use crate::world::{TIMEOUT, World, call, envelope, envelope_to, number};

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

/// A lease tells of a leader. Whoever held one is no process that has just started, shards or not.
#[tokio::test(start_paused = true)]
async fn a_node_that_is_cut_off_before_it_served_anything_refuses_as_soon() {
    let world = World::new();
    let (_one, _one_lives) = world.start(1);
    let (two, cut_off) = world.start(2);
    let lease = two.ports().coordinator.lease();
    until(&world, "it is one of the cluster", || lease.was_held()).await;
    cut_off.cut(true);
    assert!(two.owned_shards().is_empty());
    world.host.sleep_until(lease.deadline()).await;
    let asked = world.host.now();
    let answers = ["a", "b", "c", "d"].map(|id| call(&two, id, "set", "6"));
    for answer in futures_util::future::join_all(answers).await {
        let Err(CallError::Refused(refusal)) = answer else { panic!("{answer:?}") };
        assert_eq!(refusal.code, RefusalCode::NoOwner);
    }
    let took = world.host.now().since(asked);
    assert!(took < Duration::from_secs(1), "refused after {took:?}");
}

/// The lease ends by the clock, whatever the runner tells the coordinator then, and hears no answer to.
#[tokio::test(start_paused = true)]
async fn handlers_are_stopped_when_the_lease_ends_also_while_shards_are_being_released() {
    let world = World::new();
    let (one, one_lives) = world.start(1);
    let busy = Address::parse(Tenant::default_tenant(), "Sleeper/a").unwrap();
    let sent = envelope_to(&one, busy, "sleep", "60");
    one.call(Envelope { reply: ReplyMode::Accepted, ..sent }, TIMEOUT).await.unwrap();
    let residents = &one.ports().metrics.residents;
    until(&world, "the handler runs", || residents.get() == 1).await;
    one_lives.fall_silent(true);
    let (_two, _two_lives) = world.start(2);
    let is_moving = || world.coordination.view().shards.iter().any(|it| it.moving_to.is_some());
    until(&world, "shards are to be released", is_moving).await;
    one_lives.cut(true);
    let lease = one.ports().coordinator.lease();
    world.host.sleep_until(lease.deadline()).await;
    assert_eq!(residents.get(), 1, "it ran until the lease ended");
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!((residents.get(), lease.is_held()), (0, false));
}

/// What is granted to a node is granted to the process that joined last (L5). One that was replaced and
/// has not heard of it yet has a lease, and may not make use of it; nor may its end drain the other.
#[tokio::test(start_paused = true)]
async fn a_process_whose_place_another_one_took_serves_nothing_and_drains_nobody() {
    let world = World::new();
    let (old, cut_off) = world.start(1);
    call(&old, "a", "set", "5").await.unwrap();
    cut_off.cut(true);
    let taken_over = || {
        let of = |outcome| old.ports().metrics.shard_takeovers.with_label_values(&[outcome]).get();
        ["loaded", "refused"].map(of)
    };
    let before = taken_over();
    let (new, _new_lives) = world.start(1);
    assert_eq!(number(call(&new, "a", "get", "").await), 5);
    until(&world, "it serves all", || new.owned_shards().len() == 8).await;
    assert!(old.ports().coordinator.lease().is_held(), "it has heard nothing");
    assert_eq!((old.owned_shards(), taken_over()), (Vec::new(), before));
    cut_off.cut(false);
    old.drain().await;
    let state = |node| world.coordination.view().nodes[&NodeId(node)].state;
    assert_eq!((state(1), new.owned_shards().len()), (NodeState::Up, 8));
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

#[tokio::test(start_paused = true)]
async fn an_old_backlog_makes_its_owner_give_its_other_shards_away_until_it_is_worked_off() {
    const MESSAGES: u32 = 60;
    let world = World::new();
    let (one, _one_lives) = world.start(1);
    let (_other, _other_lives) = world.start(2);
    let owned = |by: u64| world.coordination.view().owned_by(NodeId(by)).count();
    until(&world, "each owns its half", || owned(1) == 4 && owned(2) == 4).await;
    let first = envelope(&one, "a", "set_slowly", "1");
    let slot = first.address.slot();
    let heavy = || world.coordination.view().shard_of(slot).cloned().unwrap();
    let busy = heavy().owner.unwrap();
    for number in 0..MESSAGES {
        let message = envelope(&one, "a", "set_slowly", &number.to_string());
        let one_way = Envelope { reply: ReplyMode::Accepted, ..message };
        one.call(one_way, TIMEOUT).await.unwrap();
    }
    until(&world, "the owner of the backlog owns nothing else", || owned(busy.0) == 1).await;
    assert_eq!((heavy().owner, heavy().load), (Some(busy), 16), "what is busy stays");
    until(&world, "each owns its half again", || owned(1) == 4 && owned(2) == 4).await;
    assert_eq!(heavy().load, 1);
    assert_eq!(world.attempts.load(Ordering::Relaxed), MESSAGES, "each was handled once");
}

/// A coordinator whose data were lost grants epochs once more: under some of them the store has loads of
/// processes that are gone, and of other shards it has newer ones.
#[tokio::test(start_paused = true)]
async fn a_coordinator_that_is_made_anew_grants_its_way_past_all_epochs_of_the_store() {
    let lost = World::new();
    let (one, one_lives) = lost.start(1);
    let owned = |world: &World, by: u64| world.coordination.view().owned_by(NodeId(by)).count();
    until(&lost, "the first has all", || one.owned_shards().len() == 8).await;
    let (two, two_lives) = lost.start(2);
    until(&lost, "each serves its half", || {
        one.owned_shards().len() == 4 && two.owned_shards().len() == 4
    })
    .await;
    for id in ["a", "b", "c", "d", "e"] {
        call(&one, id, "set", "5").await.unwrap();
    }
    one_lives.cut(true);
    two_lives.cut(true);

    let world = World { database: Arc::clone(&lost.database), ..World::new() };
    // Both worlds have the same chances: so that its processes are none of those that were.
    let passed = [world.host.random.next_u64(), world.host.random.next_u64()];
    assert_ne!(passed[0], passed[1]);
    let (again, _again_lives) = world.start(3);
    until(&world, "all are its own", || owned(&world, 3) == 8).await;
    let before = world.coordination.view().applied;
    for id in ["a", "b", "c", "d", "e"] {
        assert_eq!(number(call(&again, id, "get", "").await), 5);
    }
    until(&world, "all are served", || again.owned_shards().len() == 8).await;
    let entries = world.coordination.view().applied - before;
    assert!(entries <= 4, "{entries} entries for 8 refused loads");
}

async fn until(world: &World, what: &str, condition: impl Fn() -> bool) {
    let begun = world.host.now();
    while !condition() {
        assert!(world.host.now().since(begun) < Duration::from_mins(2), "{what}: not within 2 min");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
