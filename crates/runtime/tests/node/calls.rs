//! Calls: what callers are promised.

use std::{sync::atomic::Ordering, time::Duration};

use quarry_ports::MessageState;
use quarry_types::{
    Answer, CallError, Envelope, IdempotencyKey, KeyOrigin, NodeId, Outcome, RefusalCode,
    ReplyMode, UnknownCode,
};

use crate::world::{TIMEOUT, World, call, envelope, id_of, number};

#[tokio::test(start_paused = true)]
async fn a_state_outlives_its_actor_and_its_node() {
    let world = World::new();
    let (node, _) = world.start(1);
    assert_eq!(number(call(&node, "a", "set", "5").await), 5);
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(node.ports().metrics.residents.get(), 0, "the idle entity was passivated");
    assert_eq!(number(call(&node, "a", "get", "").await), 5);
    node.drain().await;
    let (next, _) = world.start(2);
    assert_eq!(number(call(&next, "a", "get", "").await), 5);
}

#[tokio::test(start_paused = true)]
async fn a_declared_failure_is_an_outcome_and_changes_nothing() {
    let world = World::new();
    let (node, _) = world.start(1);
    call(&node, "a", "set", "5").await.unwrap();
    let failed = call(&node, "a", "set_and_fail", "6").await.unwrap();
    let Answer::Handled { outcome: Outcome::Failure(failure), .. } = failed else {
        panic!("{failed:?}")
    };
    assert_eq!(failure.code, "declared");
    assert_eq!(number(call(&node, "a", "get", "").await), 5);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_tried_again_until_it_succeeds() {
    let world = World::new();
    let (node, _) = world.start(1);
    assert_eq!(number(call(&node, "a", "fail_twice", "").await), 3);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_always_panics_is_set_aside_and_the_entity_goes_on() {
    let world = World::new();
    let (node, _) = world.start(1);
    let poison = node.call(envelope(&node, "a", "panic", ""), Duration::from_mins(2)).await;
    let Err(CallError::Unknown(unknown)) = poison else { panic!("not set aside: {poison:?}") };
    assert_eq!(unknown.code, UnknownCode::Quarantined);
    assert_eq!(world.attempts.load(Ordering::Relaxed), 10);
    let record = node.await_message(unknown.message_id.unwrap(), TIMEOUT).await.unwrap().unwrap();
    let MessageState::Quarantined { attempts, errors } = record.state else {
        panic!("{:?}", record.state)
    };
    assert_eq!(attempts, 10);
    assert!(errors[0].contains("as asked"));
    assert_eq!(number(call(&node, "a", "set", "7").await), 7);
}

#[tokio::test(start_paused = true)]
async fn the_same_key_is_handled_once_and_answered_with_the_stored_outcome() {
    let world = World::new();
    let (node, _) = world.start(1);
    let mut keyed = envelope(&node, "a", "set", "5");
    keyed.key = IdempotencyKey::new("mine").unwrap();
    keyed.key_origin = KeyOrigin::Client;
    let first = node.call(keyed.clone(), TIMEOUT).await.unwrap();
    keyed.message_id = node.new_message_id(&keyed.address);
    let second = node.call(keyed.clone(), TIMEOUT).await.unwrap();
    assert_eq!(id_of(&first), id_of(&second));
    assert!(matches!(second, Answer::Handled { replayed: true, .. }));
    keyed.payload = "6".into();
    let third = node.call(keyed, TIMEOUT).await;
    let Err(CallError::Refused(refusal)) = third else { panic!("{third:?}") };
    assert_eq!(refusal.code, RefusalCode::KeyReused);
    assert_eq!(world.attempts.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_one_way_message_is_stored_when_it_is_acknowledged_and_handled_later() {
    let world = World::new();
    let (node, _) = world.start(1);
    let one_way =
        Envelope { reply: ReplyMode::Accepted, ..envelope(&node, "a", "set_slowly", "5") };
    let accepted = node.call(one_way, TIMEOUT).await.unwrap();
    assert!(matches!(accepted, Answer::Accepted { .. }));
    let record = node.ports().store.message(id_of(&accepted)).await.unwrap().unwrap();
    assert!(matches!(record.state, MessageState::Open { .. }));
    let record = node.await_message(id_of(&accepted), TIMEOUT).await.unwrap().unwrap();
    assert!(matches!(record.state, MessageState::Finished { .. }));
}

#[tokio::test(start_paused = true)]
async fn any_node_takes_a_message_for_any_entity() {
    let world = World::new();
    let (one, _one) = world.start(1);
    let (two, _two) = world.start(2);
    for at in 0..20 {
        let id = format!("e{at}");
        assert_eq!(number(call(&one, &id, "set", &at.to_string()).await), at);
        assert_eq!(number(call(&two, &id, "get", "").await), at);
    }
    assert!(world.network.traffic().sent > 0);
}

#[tokio::test(start_paused = true)]
async fn a_drain_hands_every_shard_over_without_a_failed_call() {
    let world = World::new();
    let (one, _one) = world.start(1);
    let (two, _two) = world.start(2);
    let caller = two.clone();
    let calls = world.host.spawn("calls", async move {
        for at in 0..200 {
            let id = format!("e{}", at % 10);
            assert_eq!(number(call(&caller, &id, "set", &at.to_string()).await), at);
        }
    });
    one.drain().await;
    assert!(calls.ended().await);
    assert!(one.owned_shards().is_empty());
    assert_eq!(world.coordination.view().owned_by(NodeId(2)).count(), 8);
    assert_eq!(two.ports().metrics.load_seconds.get_sample_count(), 8);
    let handled =
        |node: &quarry_runtime::Node| node.ports().metrics.queue_seconds.get_sample_count();
    assert_eq!(handled(&one) + handled(&two), 200);
    let run = |node: &quarry_runtime::Node| {
        let seconds = &node.ports().metrics.handler_seconds;
        seconds.with_label_values(&["Probe"]).get_sample_count()
    };
    assert!(run(&one) + run(&two) >= 200);
}

#[tokio::test(start_paused = true)]
async fn a_node_without_its_lease_serves_nothing_and_another_takes_over() {
    let world = World::new();
    let (one, cut_off) = world.start(1);
    assert_eq!(number(call(&one, "a", "set", "5").await), 5);
    let (two, _two) = world.start(2);
    cut_off.cut(true);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(one.owned_shards().is_empty());
    assert_eq!(number(call(&two, "a", "get", "").await), 5);
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_calls_are_refused_and_then_go_on() {
    let world = World::new();
    let (node, _) = world.start(1);
    call(&node, "a", "set", "5").await.unwrap();
    world.database.faults().set_unavailable("switched off");
    let refused = call(&node, "a", "set", "6").await;
    let Err(CallError::Refused(refusal)) = refused else { panic!("{refused:?}") };
    assert_eq!(refusal.code, RefusalCode::StoreUnavailable);
    world.database.faults().set_available();
    assert_eq!(number(call(&node, "a", "get", "").await), 5);
    assert_eq!(number(call(&node, "a", "set", "7").await), 7);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_runs_again_calls_another_entity_once() {
    let world = World::new();
    let (one, _one) = world.start(1);
    let (_two, _coordinator) = world.start(2);
    for id in ["a", "b", "c", "d"] {
        world.attempts.store(0, Ordering::Relaxed);
        let other = format!("\"other-{id}\"");
        assert_eq!(number(call(&one, id, "set_another", &other).await), 7);
        assert_eq!(number(call(&one, &format!("other-{id}"), "get", "").await), 7);
        assert_eq!(world.attempts.load(Ordering::Relaxed), 3, "two attempts here, one there");
    }
}
