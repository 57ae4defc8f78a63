//! One or two nodes over in-memory adapters: what authors and callers are promised.
#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use quarry_ports::{ChunkBody, Host, MessageState, Metrics};
use quarry_runtime::{Context, Entity, HandlerError, Node, NodeConfig, Ports, Registry, Reply};
use quarry_sim::{
    Coordination, LeaseTimes, Member, MemoryCoordinator, MemoryDatabase, MemoryStore, Network,
};
use quarry_types::{
    Address, Answer, BootId, CallError, Callers, Envelope, IdempotencyKey, KeyOrigin, MessageId,
    Method, NodeId, Outcome, RefusalCode, ReplyMode, Role, Tenant, UnknownCode,
};
use serde::Deserialize;

const TIMEOUT: Duration = Duration::from_secs(5);

/// Keeps a number; can be told to fail, panic or take long.
struct Probe {
    attempts: Arc<AtomicU32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Command {
    Set(i64),
    SetAndFail(i64),
    SetSlowly(i64),
    Panic,
    FailTwice,
    Count(u32),
    SetAnother(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Query {
    Get,
}

impl Entity for Probe {
    const TYPE: &'static str = "Probe";
    type State = i64;
    type Command = Command;
    type Query = Query;

    async fn handle(
        &self,
        state: &mut i64,
        command: Command,
        context: &Context,
    ) -> Result<Reply, HandlerError> {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        match command {
            Command::Set(value) => *state = value,
            Command::SetAndFail(value) => {
                *state = value;
                return Err(HandlerError::fail("declared", "as asked"));
            }
            Command::SetSlowly(value) => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                *state = value;
            }
            Command::Count(to) => {
                for number in 0..to {
                    context.emit(&number).await?;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            Command::SetAnother(id) => {
                let other =
                    Address { id: quarry_types::EntityId::new(&id)?, ..context.address().clone() };
                let reply = context.call(&other, "set", &7).await?;
                if context.attempt() < 2 {
                    return Err(std::io::Error::other("after the call").into());
                }
                *state = serde_json::from_slice(&reply)?;
            }
            Command::Panic => panic!("as asked"),
            Command::FailTwice if context.attempt() < 3 => {
                return Err(std::io::Error::other("not yet").into());
            }
            Command::FailTwice => *state = i64::from(context.attempt()),
        }
        Reply::of(state)
    }

    async fn read(
        &self,
        state: &i64,
        Query::Get: Query,
        _: &Context,
    ) -> Result<Reply, HandlerError> {
        Reply::of(state)
    }
}

struct World {
    host: Host,
    database: Arc<MemoryDatabase>,
    network: Network,
    coordination: Coordination,
    attempts: Arc<AtomicU32>,
}

impl World {
    fn new() -> Self {
        let host = quarry_sim::host(1);
        let times = LeaseTimes::new(Duration::from_millis(500), Duration::from_secs(3)).unwrap();
        Self {
            database: MemoryDatabase::new(),
            network: Network::new(host.clone(), 1),
            coordination: Coordination::new(host.clone(), times, 8),
            attempts: Arc::default(),
            host,
        }
    }

    fn start(&self, id: u64) -> (Node, Arc<MemoryCoordinator>) {
        let boot = BootId(self.host.random.next_u64());
        let coordinator = self.coordination.join(Member {
            id: NodeId(id),
            boot,
            roles: [Role::Runner].into(),
            weight: 100,
            groups: BTreeSet::new(),
            http: String::new(),
            control: String::new(),
            mesh: format!("node-{id}"),
        });
        let ports = Ports {
            store: MemoryStore::open(&self.database, Arc::clone(&self.host.clock)),
            transport: self.network.node(NodeId(id)),
            coordinator: Arc::clone(&coordinator) as _,
            host: self.host.clone(),
            metrics: Metrics::new().unwrap(),
        };
        let registry =
            Registry::builder().with(Probe { attempts: Arc::clone(&self.attempts) }).build();
        (Node::start(NodeConfig::new(NodeId(id), boot), registry, ports), coordinator)
    }
}

fn envelope(node: &Node, id: &str, method: &str, payload: &str) -> Envelope {
    let address = Address::parse(Tenant::default_tenant(), &format!("Probe/{id}")).unwrap();
    Envelope {
        message_id: node.new_message_id(&address),
        address,
        method: Method::new(method).unwrap(),
        payload: payload.to_owned().into(),
        key: node.new_key(),
        key_origin: KeyOrigin::Gateway,
        send_count: 0,
        reply: ReplyMode::Outcome,
        trace_parent: None,
        callers: Callers::none(),
    }
}

async fn call(node: &Node, id: &str, method: &str, payload: &str) -> Result<Answer, CallError> {
    node.call(envelope(node, id, method, payload), TIMEOUT).await
}

fn number(answer: Result<Answer, CallError>) -> i64 {
    match answer {
        Ok(Answer::Handled { outcome: Outcome::Success(reply), .. }) => {
            serde_json::from_slice(&reply).unwrap()
        }
        other => panic!("no number: {other:?}"),
    }
}

fn id_of(answer: &Answer) -> MessageId {
    match answer {
        Answer::Handled { message_id, .. } | Answer::Accepted { message_id, .. } => *message_id,
    }
}

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
