//! Chunks of replies.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use quarry_ports::ChunkBody;
use quarry_runtime::{Context, Entity, HandlerError, Node, Reply};
use quarry_types::{Address, Envelope, MessageId, ReplyMode, Tenant};
use serde::Deserialize;

use crate::world::{TIMEOUT, World, envelope, envelope_to, id_of};

/// Makes chunks as fast as it may, and counts them.
pub(crate) struct Spring(pub(crate) Arc<AtomicU32>);

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Flow {
    /// So many chunks; the first run does not end.
    PourAndStop(u32),
    Pour(u32),
}

#[derive(Deserialize)]
pub(crate) enum Nothing {}

impl Entity for Spring {
    const TYPE: &'static str = "Spring";
    type State = ();
    type Command = Flow;
    type Query = Nothing;

    async fn handle(
        &self,
        (): &mut (),
        command: Flow,
        context: &Context,
    ) -> Result<Reply, HandlerError> {
        let (Flow::Pour(to) | Flow::PourAndStop(to)) = command;
        for number in 0..to {
            context.emit(&number).await?;
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        if matches!(command, Flow::PourAndStop(_)) && self.0.load(Ordering::Relaxed) == to {
            tokio::time::sleep(Duration::from_hours(1)).await;
        }
        context.emit(&to).await?;
        Reply::of(&())
    }

    async fn read(&self, (): &(), query: Nothing, _: &Context) -> Result<Reply, HandlerError> {
        match query {}
    }
}

async fn pour(node: &Node, method: &str, chunks: u32) -> MessageId {
    let address = Address::parse(Tenant::default_tenant(), "Spring/s").unwrap();
    let envelope = envelope_to(node, address, method, &chunks.to_string());
    let one_way = Envelope { reply: ReplyMode::Accepted, ..envelope };
    id_of(&node.call(one_way, TIMEOUT).await.unwrap())
}

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

#[tokio::test(start_paused = true)]
async fn a_long_stream_has_many_readers_and_is_repeated_from_the_store_by_the_next_owner() {
    const MANY: u32 = 10_000;
    let world = World::new();
    let (one, cut_off) = world.start(1);
    let accepted = pour(&one, "pour_and_stop", MANY).await;
    let (two, _two) = world.start(2);
    let last = u64::from(MANY) - 1;
    while two.chunks(accepted, last, 1, TIMEOUT).await.unwrap().is_empty() {}
    let behind = two.chunks(accepted, 0, 10, TIMEOUT).await.unwrap();
    assert_eq!(behind.len(), 10, "a slow reader is at the beginning");
    cut_off.cut(true);
    let expected: Vec<String> = (0..=MANY).map(|number| number.to_string()).collect();
    let (slow, late) = tokio::join!(follow(&two, accepted, 10), follow(&two, accepted, last - 5));
    assert!(slow == expected[10..], "{} of the slow reader", slow.len());
    assert_eq!(late, expected[expected.len() - 7..]);
    assert!(follow(&two, accepted, 0).await == expected, "again, when it is over");
    assert_eq!(world.poured.load(Ordering::Relaxed), 2 * MANY, "all of it was made twice");
}

#[tokio::test(start_paused = true)]
async fn a_handler_waits_while_its_chunks_are_on_their_way_and_for_no_reader() {
    const MANY: u32 = 20_000;
    let world = World::new();
    let (one, _one) = world.start(1);
    pour(&one, "pour", 1).await;
    world.database.faults().set_commit_time(Duration::from_millis(500));
    let accepted = pour(&one, "pour", MANY).await;
    while world.poured.load(Ordering::Relaxed) <= 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let poured = world.poured.load(Ordering::Relaxed);
    assert!((1_000..5_000).contains(&poured), "{poured} chunks were made ahead of a commit");
    world.database.faults().set_commit_time(Duration::ZERO);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(world.poured.load(Ordering::Relaxed), MANY + 1, "though nobody reads");
    let expected: Vec<String> = (0..=MANY).map(|number| number.to_string()).collect();
    assert!(follow(&one, accepted, 0).await == expected);
}
