//! Entities in memory: no more than may be, and right whether they are or not.

use std::{
    future::poll_fn,
    sync::atomic::{AtomicI64, Ordering},
    task::Poll,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use quarry_runtime::{Context, Entity, HandlerError, Node, NodeConfig, Reply, TypeLimits};
use quarry_types::{Address, EntityType, Tenant};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::world::{TIMEOUT, World, call, envelope_to, number};

/// Entities that are touched, and how many may be in memory.
const ENTITIES: i64 = 1_000;
const CAP: i64 = 100;
const CALLERS: i64 = 8;

fn residents(node: &Node) -> i64 {
    node.ports().metrics.residents.get()
}

fn left(node: &Node, why: &str) -> u64 {
    node.ports().metrics.passivations.with_label_values(&[why]).get()
}

fn activated(node: &Node, from: &str) -> u64 {
    node.ports().metrics.activations.with_label_values(&[from]).get()
}

fn probes(residents: usize) -> impl Fn(&mut NodeConfig) {
    move |config| {
        let own = TypeLimits { residents, ..config.limits.default_type };
        config.limits.types.insert(EntityType::new("Probe").unwrap(), own);
    }
}

/// Calls `method` of all entities, some at a time; the most that were in memory meanwhile.
async fn touch(node: &Node, method: &str) -> i64 {
    let callers = usize::try_from(CALLERS).unwrap();
    let touched = stream::iter(0..ENTITIES).map(|id| async move {
        let payload = if method == "set" { id.to_string() } else { String::new() };
        let answer = call(node, &format!("e{id}"), method, &payload).await;
        assert_eq!(number(answer), id);
        residents(node)
    });
    let seen: Vec<i64> = touched.buffer_unordered(callers).collect().await;
    assert_eq!(i64::try_from(seen.len()).unwrap(), ENTITIES);
    seen.into_iter().max().unwrap()
}

#[tokio::test(start_paused = true)]
async fn no_more_are_in_memory_than_may_be_and_those_that_run() {
    let world = World::new();
    let (node, _) = world.start_as(1, |config| config.residents = 100);
    for method in ["set", "get", "set", "get"] {
        let most = touch(&node, method).await;
        assert!((CAP..=CAP + CALLERS).contains(&most), "{most} of {CAP} while {method}");
        assert!(residents(&node) <= CAP, "{} when all rest", residents(&node));
    }
    let evicted = i64::try_from(left(&node, "room")).unwrap();
    assert!(evicted >= 4 * (ENTITIES - CAP - CALLERS), "{evicted} made room");
    assert_eq!(left(&node, "failed"), 0);
    assert!(activated(&node, "memory") > 0);
}

#[tokio::test(start_paused = true)]
async fn the_memory_of_states_is_bounded_and_nothing_hangs_on_it() {
    let world = World::new();
    let room = 20_000;
    let (node, _) = world.start_as(1, |config| {
        (config.residents, config.dormant_bytes) = (10, room);
    });
    touch(&node, "set").await;
    touch(&node, "get").await;
    let metrics = &node.ports().metrics;
    let kept = metrics.dormant_entities.get();
    assert!((1..ENTITIES).contains(&kept), "{kept} are kept");
    assert!(metrics.dormant_bytes.get() <= i64::try_from(room).unwrap());
    let another = World::new();
    let (other, _) = another.start_as(1, |config| {
        (config.residents, config.dormant_bytes) = (10, 0);
    });
    touch(&other, "set").await;
    touch(&other, "get").await;
    assert_eq!((other.ports().metrics.dormant_entities.get(), activated(&other, "memory")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_runs_stays_and_the_least_recently_used_leaves() {
    let world = World::new();
    let (node, _) = world.start_as(1, |config| config.residents = 3);
    let (sender, slow) = oneshot::channel();
    let caller = node.clone();
    world.host.spawn("call", async move {
        drop(sender.send(call(&caller, "slow", "set_slowly", "1").await));
    });
    until(|| world.attempts.load(Ordering::Relaxed) == 1).await;
    for id in ["a", "b", "a", "c", "a"] {
        call(&node, id, "set", "5").await.unwrap();
    }
    assert_eq!((residents(&node), left(&node, "room")), (3, 1), "b left for c");
    let before = activated(&node, "store") + activated(&node, "memory");
    call(&node, "a", "set", "6").await.unwrap();
    assert_eq!(activated(&node, "store") + activated(&node, "memory"), before, "a never left");
    assert_eq!(number(slow.await.unwrap()), 1);
    assert_eq!(number(call(&node, "slow", "get", "").await), 1);
    let attempts = world.attempts.load(Ordering::Relaxed);
    assert_eq!(attempts, 7, "the slow one ran once");
}

#[tokio::test(start_paused = true)]
async fn a_type_at_its_cap_makes_room_by_itself() {
    let world = World::new();
    let (node, _) = world.start_as(1, probes(2));
    let book = Address::parse(Tenant::default_tenant(), "Book/b").unwrap();
    let ask = || node.call(envelope_to(&node, book.clone(), "get", ""), TIMEOUT);
    ask().await.unwrap();
    for id in 0..10 {
        call(&node, &format!("e{id}"), "set", "5").await.unwrap();
    }
    assert_eq!((residents(&node), left(&node, "room")), (3, 8));
    let before = activated(&node, "store") + activated(&node, "memory");
    ask().await.unwrap();
    assert_eq!(activated(&node, "store") + activated(&node, "memory"), before, "the book stayed");
}

#[tokio::test(start_paused = true)]
async fn a_state_that_was_kept_is_not_used_once_another_owner_was_there() {
    let world = World::new();
    let (one, cut_off) = world.start(1);
    call(&one, "a", "set", "5").await.unwrap();
    until(|| residents(&one) == 0).await;
    assert_eq!(number(call(&one, "a", "get", "").await), 5);
    assert_eq!(activated(&one, "memory"), 1, "it was kept");
    until(|| residents(&one) == 0).await;
    cut_off.cut(true);
    let (two, two_lives) = world.start(2);
    until(|| two.owned_shards().len() == 8).await;
    assert_eq!(number(call(&two, "a", "set", "6").await), 6);
    cut_off.cut(false);
    two_lives.cut(true);
    until(|| one.owned_shards().len() == 8).await;
    assert_eq!(number(call(&one, "a", "get", "").await), 6);
}

/// How many guests live.
static GUESTS: AtomicI64 = AtomicI64::new(0);

/// An entity of which it is known whether it lives.
pub(crate) struct Guest;

/// The state of one that lives.
#[derive(Serialize, Deserialize)]
#[serde(from = "i64", into = "i64")]
pub(crate) struct Alive(());

impl Default for Alive {
    fn default() -> Self {
        GUESTS.fetch_add(1, Ordering::Relaxed);
        Self(())
    }
}

impl From<i64> for Alive {
    fn from(_: i64) -> Self {
        Self::default()
    }
}

impl From<Alive> for i64 {
    fn from(_: Alive) -> Self {
        1
    }
}

impl Clone for Alive {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        GUESTS.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stay {
    Stay,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Look {
    Look,
}

impl Entity for Guest {
    const TYPE: &'static str = "Guest";
    type State = Alive;
    type Command = Stay;
    type Query = Look;

    async fn handle(
        &self,
        _: &mut Alive,
        Stay::Stay: Stay,
        _: &Context,
    ) -> Result<Reply, HandlerError> {
        Reply::of(&1)
    }

    async fn read(&self, _: &Alive, Look::Look: Look, _: &Context) -> Result<Reply, HandlerError> {
        Reply::of(&1)
    }
}

/// Lets each task that is ready run, so many times: a task that wakes itself is the last of them.
async fn after(turns: usize) {
    let mut left = turns;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Guests that come at once, more than there is room for.
const CROWD: usize = 24;
/// In so many turns of the scheduler they have come, and some have left for others.
const TURNS: usize = 40;

#[tokio::test(start_paused = true)]
async fn whenever_a_shard_ends_none_of_its_actors_stays() {
    let mut seen = Vec::new();
    for turns in 0..TURNS {
        let world = World::new();
        let (node, _) = world.start_as(1, |config| config.residents = CROWD / 2);
        for id in 0..CROWD / 2 {
            call(&node, &format!("rests{id}"), "set", "5").await.unwrap();
        }
        for id in 0..CROWD {
            let address = Address::parse(Tenant::default_tenant(), &format!("Guest/g{id}"));
            let asked = envelope_to(&node, address.unwrap(), "stay", "");
            let caller = node.clone();
            // Some are answered, some are not: the node goes.
            world.host.spawn("guest", async move { drop(caller.call(asked, TIMEOUT).await) });
        }
        let (leaving, came) = (node.clone(), oneshot::channel());
        world.host.spawn("leaving", async move {
            after(turns).await;
            came.0.send(GUESTS.load(Ordering::Relaxed)).unwrap();
            leaving.hand_off().await;
        });
        seen.push(came.1.await.unwrap());
        until(|| node.owned_shards().is_empty()).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let left = GUESTS.load(Ordering::Relaxed);
        assert_eq!(left, 0, "actors stay of shards that ended after {turns} turns");
    }
    assert!(seen.iter().any(|live| *live > 0), "some ended while guests came: {seen:?}");
}

async fn until(what: impl Fn() -> bool) {
    let awaited = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(5), awaited).await.unwrap();
}
