//! Queries of one entity side by side, and commands by themselves.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use quarry_runtime::{Context, Entity, HandlerError, Node, Reply};
use quarry_types::{Address, Answer, CallError, Envelope, Outcome, RefusalCode, ReplyMode, Tenant};
use serde::Deserialize;
use tokio::sync::{Barrier, Semaphore, oneshot};

use crate::world::{TIMEOUT, World, envelope_to, number};

/// What tests see of the handlers of all books.
pub(crate) struct Desk {
    /// Two queries that meet.
    both: Barrier,
    /// A query that stays leaves by one of these.
    leave: Semaphore,
    readers: AtomicU32,
    is_written: AtomicBool,
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            both: Barrier::new(2),
            leave: Semaphore::new(0),
            readers: AtomicU32::default(),
            is_written: AtomicBool::default(),
        }
    }
}

/// Someone at the desk, until dropped.
struct Reader<'a>(&'a Desk);

impl<'a> Reader<'a> {
    fn at(desk: &'a Desk) -> Self {
        assert!(!desk.is_written.load(Ordering::SeqCst), "a query runs beside a command");
        desk.readers.fetch_add(1, Ordering::SeqCst);
        Self(desk)
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Counts how often it was written.
pub(crate) struct Book(pub(crate) Arc<Desk>);

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Command {
    Write,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Query {
    /// Answers when another does.
    Meet,
    /// Answers when it is let go.
    Stay,
    Get,
    Panic,
}

impl Entity for Book {
    const TYPE: &'static str = "Book";
    const CONCURRENCY: Option<usize> = Some(3);
    type State = i64;
    type Command = Command;
    type Query = Query;

    async fn handle(
        &self,
        state: &mut i64,
        Command::Write: Command,
        _: &Context,
    ) -> Result<Reply, HandlerError> {
        assert_eq!(self.0.readers.load(Ordering::SeqCst), 0, "a command runs beside a query");
        self.0.is_written.store(true, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(50)).await;
        *state += 1;
        self.0.is_written.store(false, Ordering::SeqCst);
        Reply::of(state)
    }

    async fn read(&self, state: &i64, query: Query, _: &Context) -> Result<Reply, HandlerError> {
        let _reader = Reader::at(&self.0);
        match query {
            Query::Meet => {
                self.0.both.wait().await;
            }
            Query::Stay => self.0.leave.acquire().await?.forget(),
            Query::Get => {}
            Query::Panic => panic!("as asked"),
        }
        Reply::of(state)
    }
}

fn book() -> Address {
    Address::parse(Tenant::default_tenant(), "Book/b").unwrap()
}

async fn call(node: &Node, method: &str) -> Result<Answer, CallError> {
    node.call(envelope_to(node, book(), method, ""), TIMEOUT).await
}

fn begin(node: &Node, method: &'static str) -> oneshot::Receiver<Result<Answer, CallError>> {
    let (sender, answered) = oneshot::channel();
    let caller = node.clone();
    node.ports().host.spawn("call", async move {
        drop(sender.send(call(&caller, method).await));
    });
    answered
}

async fn until(what: impl Fn() -> bool) {
    let awaited = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, awaited).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn two_slow_queries_of_one_entity_overlap() {
    let world = World::new();
    let (node, _) = world.start(1);
    let (one, other) = tokio::join!(call(&node, "meet"), call(&node, "meet"));
    assert_eq!((number(one), number(other)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_write_waits_for_the_queries_before_it_and_goes_before_those_behind_it() {
    let world = World::new();
    let (node, _) = world.start(1);
    let early = [begin(&node, "stay"), begin(&node, "stay")];
    until(|| world.desk.readers.load(Ordering::SeqCst) == 2).await;
    let write = Envelope { reply: ReplyMode::Accepted, ..envelope_to(&node, book(), "write", "") };
    node.call(write, TIMEOUT).await.unwrap();
    let mut late = begin(&node, "get");
    world.desk.leave.add_permits(1);
    until(|| world.desk.readers.load(Ordering::SeqCst) == 1).await;
    assert!(late.try_recv().is_err(), "one of the queries before the write still runs");
    world.desk.leave.add_permits(1);
    for query in early {
        assert_eq!(number(query.await.unwrap()), 0);
    }
    assert_eq!(number(late.await.unwrap()), 1, "a query sees the write before it");
}

#[tokio::test(start_paused = true)]
async fn no_more_queries_run_than_the_type_declares() {
    let world = World::new();
    let (node, _) = world.start(1);
    let asked: Vec<_> = (0..20).map(|_| begin(&node, "stay")).collect();
    until(|| world.desk.readers.load(Ordering::SeqCst) == 3).await;
    let write = begin(&node, "write");
    for _ in 0..20 {
        assert!(world.desk.readers.load(Ordering::SeqCst) <= 3);
        world.desk.leave.add_permits(1);
        tokio::task::yield_now().await;
    }
    assert_eq!(number(write.await.unwrap()), 1);
    for query in asked {
        let Answer::Handled { outcome, .. } = query.await.unwrap().unwrap() else { panic!() };
        assert!(matches!(outcome, Outcome::Success(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_query_that_panics_fails_alone() {
    let world = World::new();
    let (node, _) = world.start(1);
    assert_eq!(number(call(&node, "write").await), 1);
    let stays = begin(&node, "stay");
    until(|| world.desk.readers.load(Ordering::SeqCst) == 1).await;
    assert!(matches!(call(&node, "panic").await, Err(CallError::Refused(_))));
    world.desk.leave.add_permits(1);
    assert_eq!(number(stays.await.unwrap()), 1);
    assert_eq!(number(call(&node, "get").await), 1);
}

/// A query that would run for `takes` when its node is drained: how long the drain took, and what the
/// caller is told, who waits for longer than either.
async fn drained_beside_a_query(takes: Duration) -> (Duration, Result<Answer, CallError>) {
    let world = World::new();
    let (node, _) = world.start(1);
    let (sender, answered) = oneshot::channel();
    let caller = node.clone();
    world.host.spawn("call", async move {
        let query = envelope_to(&caller, book(), "stay", "");
        drop(sender.send(caller.call(query, Duration::from_mins(2)).await));
    });
    until(|| world.desk.readers.load(Ordering::SeqCst) == 1).await;
    let (began, desk) = (world.host.now(), Arc::clone(&world.desk));
    world.host.spawn("end", async move {
        tokio::time::sleep(takes).await;
        desk.leave.add_permits(1);
    });
    node.drain().await;
    let took = world.host.now().since(began);
    until(|| world.desk.readers.load(Ordering::SeqCst) == 0).await;
    (took, answered.await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_a_query_that_ends_within_the_drain_time() {
    let takes = Duration::from_secs(8);
    let (took, answer) = drained_beside_a_query(takes).await;
    assert_eq!(number(answer), 0);
    assert!(took >= takes && took < Duration::from_secs(10), "drained in {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_query_that_goes_on_past_the_drain_time_is_ended_and_told_so() {
    let (took, answer) = drained_beside_a_query(Duration::from_mins(1)).await;
    let drain_time = Duration::from_secs(10);
    assert!(took >= drain_time && took < Duration::from_secs(13), "drained in {took:?}");
    let Err(CallError::Refused(refusal)) = answer else { panic!("{answer:?}") };
    assert_eq!(refusal.code, RefusalCode::NoOwner);
}

#[tokio::test(start_paused = true)]
async fn a_query_ends_with_the_shard_of_its_entity() {
    let world = World::new();
    let (node, _) = world.start(1);
    let stays = begin(&node, "stay");
    until(|| world.desk.readers.load(Ordering::SeqCst) == 1).await;
    node.drain().await;
    until(|| world.desk.readers.load(Ordering::SeqCst) == 0).await;
    assert!(stays.await.unwrap().is_err());
}
