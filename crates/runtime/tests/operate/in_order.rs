//! Messages in order: shared commits, other nodes, handoffs, refusals.

use std::time::Duration;

use quarry_runtime::Node;
use quarry_sim::FaultPlan;
use quarry_types::{Answer, CallError, Envelope, RefusalCode, ReplyMode};

use super::world::{TIMEOUT, World, envelope, read, reply};

fn appends(node: &Node, id: &str, values: impl Iterator<Item = u64>) -> Vec<Envelope> {
    values.map(|value| envelope(node, id, "append", &value.to_string())).collect()
}

#[tokio::test(start_paused = true)]
async fn they_are_handled_in_their_order_and_share_commits() {
    let world = World::new();
    let (node, _) = world.start(1);
    node.call(envelope(&node, "a", "append", "0"), TIMEOUT).await.unwrap();
    let before = node.ports().store.commits();
    let answers = node.call_in_order(appends(&node, "a", 1..500), TIMEOUT).await;
    let lengths: Vec<u64> = answers.iter().map(reply).collect();
    assert_eq!(lengths, (2..501).collect::<Vec<_>>());
    let commits = node.ports().store.commits() - before;
    assert!(commits <= 20, "499 messages took {commits} commits");
    assert_eq!(read(&node, "a").await, (0..500).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_read_among_them_sees_what_stands_before_it() {
    let world = World::new();
    let (node, _) = world.start(1);
    let mut envelopes = appends(&node, "a", 0..3);
    envelopes.push(envelope(&node, "a", "read", ""));
    envelopes.extend(appends(&node, "a", 3..5));
    envelopes.push(envelope(&node, "a", "nope", ""));
    envelopes.push(envelope(&node, "a", "read", ""));
    let answers = node.call_in_order(envelopes, TIMEOUT).await;
    assert_eq!(reply::<Vec<u64>>(&answers[3]), [0, 1, 2]);
    assert!(
        matches!(&answers[6], Err(CallError::Refused(r)) if r.code == RefusalCode::UnknownMethod)
    );
    assert_eq!(reply::<Vec<u64>>(&answers[7]), [0, 1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn they_keep_their_order_over_bad_links_and_moving_shards() {
    let world = World::new();
    let (one, _one) = world.start(1);
    let (two, _two) = world.start(2);
    world.network.set_plan(FaultPlan {
        drop_per_mille: 100,
        duplicate_per_mille: 100,
        reorder_per_mille: 100,
        delay_min: Duration::from_millis(1),
        delay_max: Duration::from_millis(20),
    });
    let senders: Vec<_> = (0..8)
        .map(|id| {
            let node = one.clone();
            world.host.spawn("sender", async move {
                for turn in 0..20 {
                    let mut envelopes =
                        appends(&node, &format!("e{id}"), turn * 50..(turn + 1) * 50);
                    for envelope in envelopes.iter_mut().step_by(3) {
                        envelope.reply = ReplyMode::Accepted;
                    }
                    let answers = node.call_in_order(envelopes, Duration::from_mins(5)).await;
                    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    one.drain().await;
    for sender in senders {
        assert!(sender.ended().await);
    }
    for id in 0..8 {
        assert_eq!(read(&two, &format!("e{id}")).await, (0..1_000).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_refuses_the_last_of_them() {
    let mut world = World::new();
    world.limits.default_type.mailbox = 10;
    let (node, _) = world.start(1);
    let answers = node.call_in_order(appends(&node, "a", 0..15), TIMEOUT).await;
    let (taken, refused) = answers.split_at(10);
    assert!(taken.iter().all(Result::is_ok), "{answers:?}");
    for answer in refused {
        let Err(CallError::Refused(refusal)) = answer else { panic!("{answer:?}") };
        assert_eq!(refusal.code, RefusalCode::Overloaded);
        assert!(refusal.retry_after_ms.is_some());
    }
    assert_eq!(read(&node, "a").await, (0..10).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn replies_that_do_not_fit_into_one_frame_are_all_there() {
    let world = World::new();
    let (one, _one) = world.start(1);
    let (_two, _coordinator) = world.start(2);
    for id in 0..4 {
        let many = |_| envelope(&one, &format!("large-{id}"), "echo", "2000000");
        let answers = one.call_in_order((0..8).map(many).collect(), TIMEOUT).await;
        for answer in answers {
            assert_eq!(reply::<String>(&answer).len(), 2_000_000);
            assert!(matches!(answer, Ok(Answer::Handled { .. })));
        }
    }
}
