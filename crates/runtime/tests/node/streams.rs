//! Chunks of replies.

use std::time::Duration;

use quarry_ports::ChunkBody;
use quarry_runtime::Node;
use quarry_types::{Envelope, MessageId, ReplyMode};

use crate::world::{TIMEOUT, World, envelope, id_of};

/// Follows a message's chunks from number `from` on until it is over.
async fn follow(node: &Node, id: MessageId, mut from: u64) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let chunks = node.chunks(id, from, 100, Duration::from_secs(30)).await.unwrap();
        if chunks.is_empty() {
            return all;
        }
        for chunk in chunks {
            assert_eq!(chunk.sequence, from, "gapless (R1)");
            from += 1;
            let ChunkBody::Made(bytes) = chunk.body else { panic!("a reset: {chunk:?}") };
            all.push(String::from_utf8(bytes.to_vec()).unwrap());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn chunks_are_followed_as_they_are_made_by_any_node_and_again_later() {
    let world = World::new();
    let (one, _one) = world.start(1);
    let (two, _two) = world.start(2);
    for id in ["a", "b", "c"] {
        let one_way = Envelope { reply: ReplyMode::Accepted, ..envelope(&one, id, "count", "5") };
        let accepted = id_of(&one.call(one_way, TIMEOUT).await.unwrap());
        let first = two.chunks(accepted, 0, 100, TIMEOUT).await.unwrap();
        assert!(!first.is_empty() && first.len() < 5, "while it runs");
        let expected: Vec<String> = (0..5).map(|number| number.to_string()).collect();
        assert_eq!(follow(&two, accepted, 0).await, expected);
        assert_eq!(follow(&one, accepted, 3).await, expected[3..]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_goes_on_without_gap_or_repeat_when_its_owner_is_lost() {
    let world = World::new();
    let (one, cut_off) = world.start(1);
    let one_way = Envelope { reply: ReplyMode::Accepted, ..envelope(&one, "a", "count", "100") };
    let accepted = id_of(&one.call(one_way, TIMEOUT).await.unwrap());
    let (two, _two) = world.start(2);
    let before = two.chunks(accepted, 0, 100, TIMEOUT).await.unwrap();
    assert!(!before.is_empty());
    cut_off.cut(true);
    let expected: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    assert_eq!(follow(&two, accepted, 0).await, expected);
}
