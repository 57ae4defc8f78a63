//! What a takeover finds open, when there is more of it than memory holds.

use std::{sync::atomic::Ordering, time::Duration};

use quarry_ports::{MessageFilter, MessageStateKind};
use quarry_runtime::Node;
use quarry_types::{Envelope, ReplyMode};

use crate::world::{TIMEOUT, World, call, envelope, number};

const ENTITIES: [&str; 4] = ["a", "b", "c", "d"];
const OF_EACH: u32 = 900;

async fn is_anything_open(node: &Node) -> bool {
    let filter =
        MessageFilter { state: Some(MessageStateKind::Unfinished), ..MessageFilter::default() };
    let open = node.ports().store.messages(filter, None, 1).await.unwrap();
    !open.items.is_empty()
}

#[tokio::test(start_paused = true)]
async fn a_long_backlog_is_handled_in_order_and_memory_holds_little_of_it() {
    let world = World::new();
    let (one, cut_off) = world.start(1);
    for value in 0..OF_EACH {
        for id in ENTITIES {
            let message = envelope(&one, id, "set_slowly", &value.to_string());
            let one_way = Envelope { reply: ReplyMode::Accepted, ..message };
            one.call(one_way, TIMEOUT).await.unwrap();
        }
    }
    let done_before = world.attempts.load(Ordering::Relaxed);
    cut_off.cut(true);
    let (two, _two_lives) = world.start(2);
    assert_eq!(number(call(&two, "another", "set", "5").await), 5, "new work goes on");
    let asked = world.host.now();
    let of_old = envelope(&two, "a", "set_slowly", "-1");
    let accepted = Envelope { reply: ReplyMode::Accepted, ..of_old };
    two.call(accepted, TIMEOUT).await.unwrap();
    assert!(world.host.now().since(asked) < Duration::from_secs(1), "accepted meanwhile");
    let (pending, mut most) = (&two.ports().metrics.pending_messages, 0);
    for _ in 0..2 * OF_EACH {
        most = most.max(pending.get());
        tokio::time::sleep(Duration::from_secs(1)).await;
        if most > 0 && pending.get() == 0 && !is_anything_open(&two).await {
            break;
        }
    }
    assert!(!is_anything_open(&two).await, "all is handled");
    assert!((1..600).contains(&most), "{most} of {} messages in memory", 4 * OF_EACH);
    assert_eq!(number(call(&two, "a", "get", "").await), -1, "what came last was handled last");
    for id in &ENTITIES[1..] {
        assert_eq!(number(call(&two, id, "get", "").await), i64::from(OF_EACH) - 1);
    }
    // What the first node was in the middle of began again.
    let attempts = world.attempts.load(Ordering::Relaxed) - 2;
    assert!((4 * OF_EACH..=4 * OF_EACH + 8).contains(&attempts), "{attempts} attempts");
    assert!(done_before < OF_EACH, "most was left to the second node");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_nobody_remembers_is_found_within_ten_seconds_and_handled() {
    const LOST: u32 = 1;
    let world = World::new();
    let (one, cut_off) = world.start(1);
    for number in 0..20 {
        let id = format!("e{number}");
        for value in 0..10 {
            let message = envelope(&one, &id, "set_slowly", &value.to_string());
            let one_way = Envelope { reply: ReplyMode::Accepted, ..message };
            one.call(one_way, TIMEOUT).await.unwrap();
        }
    }
    cut_off.cut(true);
    world.host.sleep_until(one.ports().coordinator.lease().deadline()).await;
    world.database.faults().lose_rows(LOST);
    let (two, _two_lives) = world.start(2);
    let over_at = world.host.now();
    while world.database.faults().rows_to_lose() > 0 {
        assert!(world.host.now().since(over_at) < Duration::from_secs(10), "nothing was lost");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let lost_at = world.host.now();
    let stalls = &two.ports().metrics.stalls;
    while stalls.get() < u64::from(LOST) {
        let passed = world.host.now().since(lost_at);
        assert!(passed < Duration::from_secs(10), "{} found", stalls.get());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    while is_anything_open(&two).await {
        let passed = world.host.now().since(lost_at);
        assert!(passed < Duration::from_mins(1), "what was found is not handled");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(stalls.get(), u64::from(LOST), "nothing else was ever found");
}
