//! Nodes, and an entity that does as it is told.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use quarry_ports::{Host, Metrics};
use quarry_runtime::{
    Context, Entity, HandlerError, Limits, Node, NodeConfig, Ports, Registry, Reply,
};
use quarry_sim::{
    Coordination, LeaseTimes, Member, MemoryCoordinator, MemoryDatabase, MemoryStore, Network,
};
use quarry_types::{
    Address, Answer, BootId, CallError, Callers, Due, Envelope, Keep, KeyOrigin, Method, NodeId,
    Outcome, ReplyMode, Role, Tenant,
};
use serde::{Deserialize, de::DeserializeOwned};

pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// Keeps what was appended, in order.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    /// Handlers begun.
    pub(crate) runs: Arc<AtomicU32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Command {
    Append(u64),
    /// Appends, and then takes ten seconds.
    AppendSlowly(u64),
    /// Fails for odd values.
    AppendEven(u64),
    /// Answers a text of this length.
    Echo(usize),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Query {
    Read,
}

impl Entity for Ledger {
    const TYPE: &'static str = "Ledger";
    type State = Vec<u64>;
    type Command = Command;
    type Query = Query;

    async fn handle(
        &self,
        state: &mut Vec<u64>,
        command: Command,
        _: &Context,
    ) -> Result<Reply, HandlerError> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        match command {
            Command::AppendSlowly(value) => {
                state.push(value);
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
            Command::AppendEven(value) if value % 2 == 1 => {
                return Err(std::io::Error::other(format!("{value} is odd")).into());
            }
            Command::Append(value) | Command::AppendEven(value) => state.push(value),
            Command::Echo(length) => return Reply::of(&"x".repeat(length)),
        }
        Reply::of(&state.len())
    }

    async fn read(
        &self,
        state: &Vec<u64>,
        Query::Read: Query,
        _: &Context,
    ) -> Result<Reply, HandlerError> {
        Reply::of(state)
    }
}

/// What nodes share.
pub(crate) struct World {
    pub(crate) host: Host,
    pub(crate) database: Arc<MemoryDatabase>,
    pub(crate) network: Network,
    pub(crate) coordination: Coordination,
    pub(crate) ledger: Ledger,
    pub(crate) limits: Limits,
}

impl World {
    pub(crate) fn new() -> Self {
        let host = quarry_sim::host(1);
        let times = LeaseTimes::new(Duration::from_millis(500), Duration::from_secs(3)).unwrap();
        Self {
            database: MemoryDatabase::new(),
            network: Network::new(host.clone(), 1),
            coordination: Coordination::new(host.clone(), times, 8),
            ledger: Ledger::default(),
            limits: Limits::default(),
            host,
        }
    }

    pub(crate) fn start(&self, id: u64) -> (Node, Arc<MemoryCoordinator>) {
        let boot = BootId(self.host.random.next_u64()).over(id);
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
        let registry = Registry::builder().with(self.ledger.clone()).build();
        let config =
            NodeConfig { limits: self.limits.clone(), ..NodeConfig::new(NodeId(id), boot) };
        (Node::start(config, registry, ports), coordinator)
    }
}

pub(crate) fn envelope(node: &Node, id: &str, method: &str, payload: &str) -> Envelope {
    let address = Address::parse(Tenant::default_tenant(), &format!("Ledger/{id}")).unwrap();
    Envelope {
        message_id: node.new_message_id(&address),
        address,
        method: Method::new(method).unwrap(),
        payload: payload.to_owned().into(),
        key: node.new_key(),
        key_origin: KeyOrigin::Gateway,
        send_count: 0,
        reply: ReplyMode::Outcome,
        due: Due::Now,
        keep: Keep::Everything,
        trace_parent: None,
        callers: Callers::none(),
    }
}

pub(crate) fn reply<T: DeserializeOwned>(answer: &Result<Answer, CallError>) -> T {
    match answer {
        Ok(Answer::Handled { outcome: Outcome::Success(reply), .. }) => {
            serde_json::from_slice(reply).unwrap()
        }
        other => panic!("no reply: {other:?}"),
    }
}

pub(crate) async fn read(node: &Node, id: &str) -> Vec<u64> {
    reply(&node.call(envelope(node, id, "read", ""), TIMEOUT).await)
}
