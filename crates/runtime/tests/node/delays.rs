//! Messages that wait for their time.

use std::time::Duration;

use quarry_ports::MessageState;
use quarry_runtime::Node;
use quarry_types::{Answer, CallError, Due, Envelope, MessageId, RefusalCode, ReplyMode};

use crate::world::{TIMEOUT, World, call, envelope, id_of, number};

async fn send_later(node: &Node, id: &str, payload: &str, delay: Duration) -> MessageId {
    let due = Due::After(u64::try_from(delay.as_millis()).unwrap());
    let one_way =
        Envelope { reply: ReplyMode::Accepted, due, ..envelope(node, id, "set", payload) };
    let accepted = node.call(one_way, TIMEOUT).await.unwrap();
    assert!(matches!(accepted, Answer::Accepted { replayed: false, .. }));
    id_of(&accepted)
}

/// By how much store time may be ahead of an owner's clock: both are cut to whole milliseconds.
const READ_BEHIND: Duration = Duration::from_millis(2);

/// When the message was accepted, for when it was due, and when it ended, in milliseconds.
async fn times(node: &Node, id: MessageId) -> (i64, i64) {
    let record = node.await_message(id, Duration::from_mins(5)).await.unwrap().unwrap();
    let MessageState::Finished { finished_at, .. } = record.state else {
        panic!("not finished: {record:?}")
    };
    (record.message.accepted_at.0, finished_at.0)
}

#[tokio::test(start_paused = true)]
async fn a_delayed_message_is_handled_when_it_is_due_and_not_before() {
    let world = World::new();
    let (node, _) = world.start(1);
    let id = send_later(&node, "a", "7", Duration::from_secs(90)).await;
    assert_eq!(number(call(&node, "a", "set", "5").await), 5, "it holds nothing back");
    let record = node.ports().store.message(id).await.unwrap().unwrap();
    let due = record.message.accepted_at.after(Duration::from_secs(90) + READ_BEHIND);
    let delayed = MessageState::Open { attempts: 0, due, is_delayed: true, errors: Vec::new() };
    assert_eq!(record.state, delayed);
    let (accepted, finished) = times(&node, id).await;
    assert!((90_000..90_100).contains(&(finished - accepted)), "{} ms", finished - accepted);
    assert_eq!(number(call(&node, "a", "get", "").await), 7);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_message_outlives_its_owner_and_is_handled_in_time() {
    let world = World::new();
    let (one, cut_off) = world.start(1);
    let ids = ["a", "b", "c", "d"].map(|id| send_later(&one, id, "7", Duration::from_mins(1)));
    let ids = futures_util::future::join_all(ids).await;
    let soon = send_later(&one, "e", "8", Duration::from_secs(2)).await;
    let (two, _two) = world.start(2);
    cut_off.cut(true);
    for id in ids {
        let (accepted, finished) = times(&two, id).await;
        assert!((60_000..60_100).contains(&(finished - accepted)), "{} ms", finished - accepted);
    }
    let (accepted, finished) = times(&two, soon).await;
    assert!(finished - accepted >= 2_000, "due while nobody owned it, and not before");
    assert_eq!(number(call(&two, "e", "get", "").await), 8);
}

#[tokio::test(start_paused = true)]
async fn a_time_that_has_passed_is_now() {
    let world = World::new();
    let (node, _) = world.start(1);
    let past =
        Envelope { due: Due::At(quarry_types::Timestamp(1)), ..envelope(&node, "a", "set", "5") };
    assert_eq!(number(node.call(past, TIMEOUT).await), 5);
}

#[tokio::test(start_paused = true)]
async fn a_delay_of_more_than_a_year_is_refused() {
    let world = World::new();
    let (node, _) = world.start(1);
    let due = Due::After(u64::MAX);
    let refused = node.call(Envelope { due, ..envelope(&node, "a", "set", "5") }, TIMEOUT).await;
    let Err(CallError::Refused(refusal)) = refused else { panic!("{refused:?}") };
    assert_eq!(refusal.code, RefusalCode::InvalidPayload);
    assert!(refusal.message.contains("366 days"), "{}", refusal.message);
}
