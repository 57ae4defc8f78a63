//! Three nodes of the real runtime over in-memory store, transport and coordinator, in virtual time.
//!
//! Clients append to registers through every node and retry by key while nodes are killed, cut off
//! and started again. Whatever the seed: every acknowledged value stands exactly once and in its
//! client's order, and the same seed gives the same trace twice.
#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use quarry::{
    ports::{Host, Metrics, Random as _},
    prelude::*,
    types::{
        Answer, BootId, CallError, Callers, Due, Envelope, Keep, KeyOrigin, Method, Outcome,
        ReplyMode, Role, Tenant,
    },
};
use quarry_services::{Counter, Publisher, Register};
use quarry_sim::{Coordination, MemoryDatabase, MemoryStore, Network, Process, host::SeededRandom};

const NODES: u64 = 3;
const CLIENTS: u64 = 4;
const CALLS: u64 = 30;
const REGISTERS: u64 = 5;
const PUBLISHERS: u64 = 2;
/// The registers that publishers send to.
const SUBSCRIBED: [&str; 4] = ["x0", "x1", "x2", "x3"];

struct Running {
    node: Node,
    process: Arc<Process>,
    coordinator: Arc<quarry_sim::MemoryCoordinator>,
}

struct World {
    host: Host,
    database: Arc<MemoryDatabase>,
    network: Network,
    coordination: Coordination,
    nodes: Mutex<BTreeMap<u64, Running>>,
    random: SeededRandom,
    trace: Mutex<String>,
}

impl World {
    fn new(seed: u64) -> Arc<Self> {
        let host = quarry_sim::host(seed);
        let times = quarry_sim::LeaseTimes::new(Duration::from_millis(500), Duration::from_secs(3));
        let world = Self {
            database: MemoryDatabase::new(),
            network: Network::new(host.clone(), seed),
            coordination: Coordination::new(host.clone(), times.unwrap(), 16),
            nodes: Mutex::default(),
            random: SeededRandom::new(seed ^ 0x5eed),
            trace: Mutex::default(),
            host,
        };
        world.database.faults().set_commit_time(Duration::from_millis(1));
        let world = Arc::new(world);
        for id in 1..=NODES {
            world.start(id);
        }
        world
    }

    fn start(&self, id: u64) {
        let process = Process::new();
        let host = process.host(&self.host);
        let boot = BootId(self.random.next_u64()).over(id);
        let coordinator = self.coordination.join(quarry_sim::Member {
            id: NodeId(id),
            boot,
            roles: [Role::Runner].into(),
            weight: 100,
            groups: std::collections::BTreeSet::default(),
            http: String::new(),
            control: String::new(),
            mesh: format!("node-{id}"),
        });
        let ports = Ports {
            store: MemoryStore::open(&self.database, Arc::clone(&host.clock)),
            transport: self.network.node(NodeId(id)),
            coordinator: Arc::clone(&coordinator) as _,
            host,
            metrics: Metrics::new().unwrap(),
        };
        let registry = Registry::builder()
            .with(Counter::default())
            .with(Register::default())
            .with(Publisher::default())
            .build();
        let node = Node::start(NodeConfig::new(NodeId(id), boot), registry, ports);
        self.nodes.lock().unwrap().insert(id, Running { node, process, coordinator });
    }

    fn kill(&self, id: u64) {
        if let Some(running) = self.nodes.lock().unwrap().remove(&id) {
            self.network.stop(NodeId(id));
            running.coordinator.end();
            running.process.kill();
        }
    }

    fn note(&self, line: &str) {
        let at = self.host.now().0;
        writeln!(self.trace.lock().unwrap(), "{at} {line}").unwrap();
    }

    fn any_node(&self) -> Option<Node> {
        let nodes = self.nodes.lock().unwrap();
        let at = usize::try_from(self.random.below(nodes.len() as u64)).unwrap();
        nodes.values().nth(at).map(|running| running.node.clone())
    }

    /// Calls until the call is done, through any node, under one key.
    async fn call(&self, entity: &str, method: &str, payload: &str, key: &str) -> Vec<u8> {
        let address = Address::parse(Tenant::default_tenant(), entity).unwrap();
        for send_count in 0..200 {
            let Some(node) = self.any_node() else { continue };
            let envelope = Envelope {
                message_id: node.new_message_id(&address),
                address: address.clone(),
                method: Method::new(method).unwrap(),
                payload: payload.to_owned().into(),
                key: quarry::types::IdempotencyKey::new(key).unwrap(),
                key_origin: KeyOrigin::Client,
                send_count,
                reply: ReplyMode::Outcome,
                due: Due::Now,
                keep: Keep::Everything,
                trace_parent: None,
                callers: Callers::none(),
            };
            // The client is no part of the node: it gives up on one that was killed.
            let called = tokio::time::timeout(
                Duration::from_secs(6),
                node.call(envelope, Duration::from_secs(5)),
            );
            match called.await {
                Ok(Ok(Answer::Handled { outcome: Outcome::Success(reply), .. })) => {
                    return reply.to_vec();
                }
                Ok(Ok(other)) => panic!("an answer that nothing asked for: {other:?}"),
                Ok(Err(CallError::Refused(refusal))) => {
                    self.note(&format!("refused {}", refusal.code.as_str()));
                }
                Ok(Err(CallError::Unknown(unknown))) => {
                    self.note(&format!("unknown {}", unknown.code.as_str()));
                }
                Err(_) => self.note("time-out"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{method} of {entity} under {key} did not end");
    }
}

async fn client(world: Arc<World>, id: u64) {
    for call in 0..CALLS {
        let register = world.random.below(REGISTERS);
        let value = format!("{id}-{call:03}");
        let payload = format!("{{\"value\":\"{value}\"}}");
        if call % 4 == 3 {
            publish(&world, id % PUBLISHERS, &value).await;
            continue;
        }
        let entity = format!("Register/r{register}");
        let reply = world.call(&entity, "append", &payload, &value).await;
        world.note(&format!("append r{register} {value} {}", String::from_utf8_lossy(&reply)));
    }
}

async fn publish(world: &World, publisher: u64, value: &str) {
    let payload = serde_json::json!({ "value": value, "to": SUBSCRIBED }).to_string();
    let reply = world.call(&format!("Publisher/p{publisher}"), "publish", &payload, value).await;
    world.note(&format!("publish p{publisher} {value} {}", String::from_utf8_lossy(&reply)));
}

/// Waits until all that was published has arrived everywhere: once, and that of one publisher in
/// its order.
async fn check_published(world: &World, seed: u64) {
    let mut published = BTreeMap::new();
    for publisher in 0..PUBLISHERS {
        let read = world.call(&format!("Publisher/p{publisher}"), "read", "", "read").await;
        let values: Vec<String> = serde_json::from_slice(&read).unwrap();
        published.insert(publisher, values);
    }
    let count: usize = published.values().map(Vec::len).sum();
    assert_eq!(count as u64, CLIENTS * (CALLS / 4), "seed {seed}: each is published once");
    for register in SUBSCRIBED {
        let mut arrived = Vec::new();
        for _ in 0..600 {
            arrived =
                values_of(&world.call(&format!("Register/{register}"), "read", "", "read").await);
            if arrived.len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(arrived.len(), count, "seed {seed}: {register} has each value once");
        for values in published.values() {
            let of_publisher: Vec<&String> =
                arrived.iter().filter(|value| values.contains(value)).collect();
            let wanted: Vec<&String> = values.iter().collect();
            assert_eq!(of_publisher, wanted, "seed {seed}: {register} has them in order");
        }
    }
}

/// The texts of a register's values.
fn values_of(read: &[u8]) -> Vec<String> {
    let read: serde_json::Value = serde_json::from_slice(read).unwrap();
    let values = read.get("values").and_then(|values| values.as_array()).unwrap().iter();
    let text = |value: &serde_json::Value| value.get("value")?.as_str().map(ToOwned::to_owned);
    values.map(|value| text(value).unwrap()).collect()
}

async fn faults(world: Arc<World>) {
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(300 + world.random.below(1_500))).await;
        let id = 1 + world.random.below(NODES);
        match world.random.below(3) {
            0 => {
                world.note(&format!("kill {id}"));
                world.kill(id);
                tokio::time::sleep(Duration::from_millis(world.random.below(5_000))).await;
                world.start(id);
            }
            1 => {
                world.note(&format!("cut {id} from the coordinator"));
                let reach = |is_cut| {
                    if let Some(running) = world.nodes.lock().unwrap().get(&id) {
                        running.coordinator.cut(is_cut);
                    }
                };
                reach(true);
                tokio::time::sleep(Duration::from_millis(world.random.below(8_000))).await;
                reach(false);
            }
            _ => {
                world.note(&format!("partition {id}"));
                world.network.partition(&[NodeId(id)].into());
                tokio::time::sleep(Duration::from_millis(world.random.below(4_000))).await;
                world.network.heal();
            }
        }
    }
}

/// Runs one seed; the trace, after all checks.
async fn run(seed: u64) -> String {
    let world = World::new(seed);
    let spawn = &world.host;
    let clients: Vec<_> =
        (0..CLIENTS).map(|id| spawn.spawn("client", client(Arc::clone(&world), id))).collect();
    let breaking = spawn.spawn("faults", faults(Arc::clone(&world)));
    for client in clients {
        assert!(client.ended().await, "a client failed under seed {seed}");
    }
    assert!(breaking.ended().await);
    let mut values: BTreeMap<String, usize> = BTreeMap::new();
    for register in 0..REGISTERS {
        let read = world.call(&format!("Register/r{register}"), "read", "", "read").await;
        check_register(seed, &read, &mut values);
    }
    for id in 0..CLIENTS {
        for call in (0..CALLS).filter(|call| call % 4 != 3) {
            let value = format!("{id}-{call:03}");
            assert_eq!(values.get(&value), Some(&1), "seed {seed}: {value} stands once");
        }
    }
    check_published(&world, seed).await;
    assert_eq!(world.coordination.violations(), 0, "seed {seed}");
    std::mem::take(&mut *world.trace.lock().unwrap())
}

fn check_register(seed: u64, read: &[u8], all: &mut BTreeMap<String, usize>) {
    #[derive(Deserialize)]
    struct Value {
        #[serde(rename = "value")]
        text: String,
        seq: u64,
        epoch: u64,
        owner: u64,
    }
    #[derive(Deserialize)]
    struct Values {
        values: Vec<Value>,
        count: usize,
    }
    let read: Values = serde_json::from_slice(read).unwrap();
    assert_eq!(read.count, read.values.len());
    let mut last: BTreeMap<String, String> = BTreeMap::new();
    let mut owners: BTreeMap<u64, u64> = BTreeMap::new();
    let mut epoch = 0;
    for (at, value) in read.values.iter().enumerate() {
        assert_eq!(value.seq, at as u64 + 1, "seed {seed}");
        assert!(value.epoch >= epoch, "seed {seed}: epochs never go back");
        epoch = value.epoch;
        assert_eq!(
            *owners.entry(epoch).or_insert(value.owner),
            value.owner,
            "seed {seed}: one owner per epoch"
        );
        *all.entry(value.text.clone()).or_default() += 1;
        let (client, _) = value.text.split_once('-').unwrap();
        let before = last.insert(client.to_owned(), value.text.clone());
        assert!(
            before.is_none_or(|before| before < value.text),
            "seed {seed}: in the client's order"
        );
    }
}

fn simulate(seed: u64) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(run(seed))
}

#[test]
fn every_acknowledged_value_stands_once_whatever_fails() {
    for seed in 0..20 {
        let trace = simulate(seed);
        assert!(trace.contains("append"), "seed {seed} did something");
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_twice() {
    for seed in 0..20 {
        let (first, second) = (simulate(seed), simulate(seed));
        let differs = first.lines().zip(second.lines()).find(|(a, b)| a != b);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(first.len(), second.len(), "seed {seed}");
    }
}
