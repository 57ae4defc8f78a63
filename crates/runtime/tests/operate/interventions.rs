//! Interventions: cancel, redrive, drop, from any node, in every state.

use std::{sync::atomic::Ordering, time::Duration};

use quarry_ports::{MessageRecord, MessageState};
use quarry_runtime::Node;
use quarry_types::{
    Answer, CallError, Due, Envelope, IdempotencyKey, Intervention, KeyOrigin, MessageId, Outcome,
    RefusalCode, ReplyMode, Tenant, UnknownCode,
};
use tokio::sync::oneshot;

use super::world::{TIMEOUT, World, envelope, read, reply};

type Told = Result<Answer, CallError>;

async fn act(node: &Node, message_id: MessageId, intervention: &Intervention) -> Told {
    node.intervene(&Tenant::default_tenant(), message_id, intervention, TIMEOUT).await
}

/// Sends a message and goes on; what it is answered comes of the future.
fn send(node: &Node, envelope: Envelope) -> (MessageId, impl Future<Output = Told>) {
    let (caller, message_id) = (node.clone(), envelope.message_id);
    let (sender, told) = oneshot::channel();
    let task = node.ports().host.spawn("call", async move {
        drop(sender.send(caller.call(envelope, Duration::from_mins(5)).await));
    });
    let told = async move {
        assert!(task.ended().await);
        told.await.unwrap()
    };
    (message_id, told)
}

/// The failure that a message ended with, and whether it stood before.
fn ended(told: &Told) -> (&str, bool) {
    match told {
        Ok(Answer::Handled { outcome: Outcome::Failure(failure), replayed, .. }) => {
            (&failure.code, *replayed)
        }
        other => panic!("not ended: {other:?}"),
    }
}

fn refused(told: &Told) -> RefusalCode {
    match told {
        Err(CallError::Refused(refusal)) => refusal.code,
        other => panic!("not refused: {other:?}"),
    }
}

async fn record(node: &Node, message_id: MessageId) -> MessageRecord {
    node.ports().store.message(message_id).await.unwrap().unwrap()
}

/// A message that is set aside.
async fn set_aside(node: &Node, sent: Envelope) -> MessageId {
    let told = node.call(sent, Duration::from_mins(2)).await;
    let Err(CallError::Unknown(unknown)) = told else { panic!("not set aside: {told:?}") };
    assert_eq!(unknown.code, UnknownCode::Quarantined);
    unknown.message_id.unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_waits_behind_another_is_cancelled_and_its_caller_is_told() {
    let world = World::new();
    let (node, _) = world.start(1);
    let (_, slow) = send(&node, envelope(&node, "a", "append_slowly", "1"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (id, waiting) = send(&node, envelope(&node, "a", "append", "2"));
    let (_, behind) = send(&node, envelope(&node, "a", "append", "3"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ended(&act(&node, id, &Intervention::Cancel).await), ("cancelled", false));
    assert_eq!(ended(&waiting.await).0, "cancelled");
    assert_eq!(ended(&act(&node, id, &Intervention::Cancel).await), ("cancelled", true));
    assert_eq!(reply::<u64>(&slow.await), 1);
    assert_eq!(reply::<u64>(&behind.await), 2);
    assert_eq!(read(&node, "a").await, [1, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_run_is_given_up_with_what_it_changed_and_the_next_one_begins_at_once() {
    let world = World::new();
    let (one, _one) = world.start(1);
    let (two, _two) = world.start(2);
    for (id, operator) in [("a", &one), ("b", &two), ("c", &one), ("d", &two)] {
        let (message_id, slow) = send(&one, envelope(&one, id, "append_slowly", "1"));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (_, behind) = send(&one, envelope(&one, id, "append", "2"));
        let began = world.host.now();
        assert_eq!(ended(&act(operator, message_id, &Intervention::Cancel).await).0, "cancelled");
        assert_eq!(ended(&slow.await).0, "cancelled");
        assert_eq!(reply::<u64>(&behind.await), 1, "what the other run did is gone");
        let took = world.host.now().since(began);
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert_eq!(read(&one, id).await, [2]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_delayed_message_is_cancelled_and_never_handled() {
    let world = World::new();
    let (node, _) = world.start(1);
    let delayed = Envelope {
        reply: ReplyMode::Accepted,
        due: Due::After(60_000),
        ..envelope(&node, "a", "append", "1")
    };
    let id = delayed.message_id;
    node.call(delayed, TIMEOUT).await.unwrap();
    assert_eq!(ended(&act(&node, id, &Intervention::Cancel).await), ("cancelled", false));
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert!(matches!(record(&node, id).await.state, MessageState::Finished { .. }));
    assert_eq!(world.ledger.runs.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_backs_off_is_cancelled_before_its_next_attempt() {
    let world = World::new();
    let (node, _) = world.start(1);
    let (id, failing) = send(&node, envelope(&node, "a", "append_even", "1"));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let runs = world.ledger.runs.load(Ordering::Relaxed);
    assert_eq!(ended(&act(&node, id, &Intervention::Cancel).await).0, "cancelled");
    assert_eq!(ended(&failing.await).0, "cancelled");
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(world.ledger.runs.load(Ordering::Relaxed), runs);
    assert_eq!(node.ports().metrics.retries.get(), u64::from(runs));
    assert_eq!(node.ports().metrics.quarantined.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_over_or_unknown_is_refused_with_a_clear_code() {
    let world = World::new();
    let (node, _) = world.start(1);
    let sent = envelope(&node, "a", "append", "1");
    let id = sent.message_id;
    node.call(sent, TIMEOUT).await.unwrap();
    let redrive = Intervention::Redrive { payload: None };
    for intervention in [Intervention::Cancel, Intervention::Drop, redrive.clone()] {
        let told = act(&node, id, &intervention).await;
        assert_eq!(refused(&told), RefusalCode::AlreadyFinished, "{intervention:?}");
        let unknown = node.new_message_id(&envelope(&node, "a", "append", "1").address);
        let told = act(&node, unknown, &intervention).await;
        assert_eq!(refused(&told), RefusalCode::NoSuchMessage, "{intervention:?}");
    }
    let aside = set_aside(&node, envelope(&node, "a", "append_even", "1")).await;
    let other = Tenant::new("other").unwrap();
    let told = node.intervene(&other, aside, &Intervention::Drop, TIMEOUT).await;
    assert_eq!(refused(&told), RefusalCode::NoSuchMessage);
    let (open, _slow) = send(&node, envelope(&node, "b", "append_slowly", "1"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(refused(&act(&node, open, &Intervention::Drop).await), RefusalCode::NotQuarantined);
    let edited = Intervention::Redrive { payload: Some("2".into()) };
    assert_eq!(refused(&act(&node, open, &edited).await), RefusalCode::NotQuarantined);
    let told = act(&node, open, &redrive).await;
    assert!(matches!(told, Ok(Answer::Accepted { replayed: true, .. })), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_message_is_redriven_with_another_payload_by_the_next_owner() {
    let world = World::new();
    let (node, _) = world.start(1);
    let key = IdempotencyKey::new("mine").unwrap();
    let sent =
        Envelope { key, key_origin: KeyOrigin::Client, ..envelope(&node, "a", "append_even", "1") };
    let id = set_aside(&node, sent.clone()).await;
    assert_eq!(node.ports().metrics.quarantined.get(), 1);
    assert_eq!(node.ports().metrics.retries.get(), 9);
    node.drain().await;
    let (next, _) = world.start(2);
    let edited = Intervention::Redrive { payload: Some("2".into()) };
    let told = act(&next, id, &edited).await;
    assert!(matches!(told, Ok(Answer::Accepted { replayed: false, .. })), "{told:?}");
    let over = next.await_message(id, TIMEOUT).await.unwrap().unwrap();
    let MessageState::Finished { outcome, attempts, .. } = over.state else { panic!("{over:?}") };
    assert_eq!((outcome, attempts), (Outcome::Success("1".into()), 1));
    assert_eq!(over.message.payload, "1", "what was sent stands");
    assert_eq!(read(&next, "a").await, [2]);
    let again = Envelope { message_id: next.new_message_id(&sent.address), ..sent.clone() };
    assert_eq!(reply::<u64>(&next.call(again.clone(), TIMEOUT).await), 1, "the key stands for it");
    let other = Envelope { payload: "2".into(), ..again };
    let told = next.call(other, TIMEOUT).await;
    assert_eq!(refused(&told), RefusalCode::KeyReused, "the key stands for what was sent");
}

#[tokio::test(start_paused = true)]
async fn an_edited_message_keeps_its_key_over_a_takeover() {
    let world = World::new();
    let (node, _) = world.start(1);
    let key = IdempotencyKey::new("mine").unwrap();
    let sent =
        Envelope { key, key_origin: KeyOrigin::Client, ..envelope(&node, "a", "append_even", "1") };
    let id = set_aside(&node, sent.clone()).await;
    let edited = Intervention::Redrive { payload: Some("3".into()) };
    act(&node, id, &edited).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(record(&node, id).await.edited, Some("3".into()));
    node.drain().await;
    let (next, _) = world.start(2);
    let again = Envelope { message_id: next.new_message_id(&sent.address), ..sent };
    let (_, caller) = send(&next, again);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ended(&act(&next, id, &Intervention::Cancel).await).0, "cancelled");
    assert_eq!(ended(&caller.await).0, "cancelled", "it waited for the same message");
}

#[tokio::test(start_paused = true)]
async fn a_drop_writes_a_final_failure_once() {
    let world = World::new();
    let (node, _) = world.start(1);
    let id = set_aside(&node, envelope(&node, "a", "append_even", "1")).await;
    world.database.faults().set_unavailable("the disk is full");
    let told = act(&node, id, &Intervention::Drop).await;
    assert_eq!(refused(&told), RefusalCode::StoreUnavailable);
    world.database.faults().set_available();
    assert!(matches!(record(&node, id).await.state, MessageState::Quarantined { .. }));
    assert_eq!(ended(&act(&node, id, &Intervention::Drop).await), ("dropped", false));
    assert_eq!(ended(&act(&node, id, &Intervention::Drop).await), ("dropped", true));
    assert_eq!(refused(&act(&node, id, &Intervention::Cancel).await), RefusalCode::AlreadyFinished);
    let redrive = Intervention::Redrive { payload: None };
    assert_eq!(refused(&act(&node, id, &redrive).await), RefusalCode::AlreadyFinished);
    let cancelled = set_aside(&node, envelope(&node, "a", "append_even", "1")).await;
    assert_eq!(ended(&act(&node, cancelled, &Intervention::Cancel).await).0, "cancelled");
}

#[tokio::test(start_paused = true)]
async fn many_are_dropped_at_the_same_time_and_share_commits() {
    let world = World::new();
    let (node, _) = world.start(1);
    let poisons =
        (0..200).map(|at| set_aside(&node, envelope(&node, &format!("e{at}"), "append_even", "1")));
    let ids = futures_util::future::join_all(poisons).await;
    let before = node.ports().store.commits();
    let dropped = ids.iter().map(|id| act(&node, *id, &Intervention::Drop));
    for told in futures_util::future::join_all(dropped).await {
        assert_eq!(ended(&told), ("dropped", false));
    }
    let commits = node.ports().store.commits() - before;
    assert!(commits <= 40, "200 drops took {commits} commits");
}
