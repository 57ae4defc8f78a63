//! One or two nodes, and an entity to send messages to.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use quarry_ports::{Host, Metrics, Store as _};
use quarry_runtime::{Context, Entity, HandlerError, Node, NodeConfig, Ports, Registry, Reply};
use quarry_sim::{
    Coordination, LeaseTimes, Member, MemoryCoordinator, MemoryDatabase, MemoryStore, Network,
};
use quarry_types::{
    Address, Answer, BootId, CallError, Callers, Due, Envelope, Keep, KeyOrigin, MessageId, Method,
    NodeId, Outcome, ReplyMode, Role, Slot, SlotRange, Space, Tenant,
};
use serde::Deserialize;

use crate::{
    quarantine::{Ledger, Sleeper},
    reads::{Book, Desk},
    residents::Guest,
    sends::Relay,
    streams::Spring,
    transactions::Clerk,
};

pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);

/// Keeps a number; can be told to fail, panic or take long.
pub(crate) struct Probe {
    pub(crate) attempts: Arc<AtomicU32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Command {
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
pub(crate) enum Query {
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
                let reply = context.call(&context.entity::<Self>(&id)?, "set", &7).await?;
                if context.attempt() < 2 {
                    return Err(std::io::Error::other("after the call").into());
                }
                *state = reply;
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

pub(crate) struct World {
    pub(crate) host: Host,
    pub(crate) database: Arc<MemoryDatabase>,
    pub(crate) network: Network,
    pub(crate) coordination: Coordination,
    pub(crate) attempts: Arc<AtomicU32>,
    pub(crate) desk: Arc<Desk>,
    /// Chunks that springs made.
    pub(crate) poured: Arc<AtomicU32>,
}

impl World {
    pub(crate) fn new() -> Self {
        let host = quarry_sim::host(1);
        let times = LeaseTimes::new(Duration::from_millis(500), Duration::from_secs(3)).unwrap();
        Self {
            database: MemoryDatabase::new(),
            network: Network::new(host.clone(), 1),
            coordination: Coordination::new(host.clone(), times, 8),
            attempts: Arc::default(),
            desk: Arc::default(),
            poured: Arc::default(),
            host,
        }
    }

    pub(crate) fn start(&self, id: u64) -> (Node, Arc<MemoryCoordinator>) {
        self.start_as(id, |_| {})
    }

    /// A node that is configured otherwise.
    pub(crate) fn start_as(
        &self,
        id: u64,
        configure: impl Fn(&mut NodeConfig),
    ) -> (Node, Arc<MemoryCoordinator>) {
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
        let registry = Registry::builder()
            .with(Probe { attempts: Arc::clone(&self.attempts) })
            .with(Relay)
            .with(Clerk)
            .with(Book(Arc::clone(&self.desk)))
            .with(Ledger)
            .with(Sleeper)
            .with(Guest)
            .with(Spring(Arc::clone(&self.poured)))
            .build();
        let mut config = NodeConfig::new(NodeId(id), boot);
        configure(&mut config);
        (Node::start(config, registry, ports), coordinator)
    }

    /// How many sends are open in the store.
    pub(crate) async fn open_sends(&self) -> usize {
        let all = SlotRange { first: Slot(0), last: Slot(u16::MAX) };
        let store = MemoryStore::open(&self.database, Arc::clone(&self.host.clock));
        store.open_sends(Space::DEFAULT, all, None, 10_000).await.unwrap().sends.len()
    }
}

pub(crate) fn envelope(node: &Node, id: &str, method: &str, payload: &str) -> Envelope {
    let address = Address::parse(Tenant::default_tenant(), &format!("Probe/{id}")).unwrap();
    envelope_to(node, address, method, payload)
}

pub(crate) fn envelope_to(node: &Node, address: Address, method: &str, payload: &str) -> Envelope {
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

pub(crate) async fn call(
    node: &Node,
    id: &str,
    method: &str,
    payload: &str,
) -> Result<Answer, CallError> {
    node.call(envelope(node, id, method, payload), TIMEOUT).await
}

pub(crate) fn number(answer: Result<Answer, CallError>) -> i64 {
    match answer {
        Ok(Answer::Handled { outcome: Outcome::Success(reply), .. }) => {
            serde_json::from_slice(&reply).unwrap()
        }
        other => panic!("no number: {other:?}"),
    }
}

pub(crate) fn id_of(answer: &Answer) -> MessageId {
    match answer {
        Answer::Handled { message_id, .. } | Answer::Accepted { message_id, .. } => *message_id,
    }
}
