//! What nodes say of shards that they do not serve, and what they make of it.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use quarry_ports::{Coordinator, Host, Metrics, Reply, RequestHandler, Transport};
use quarry_sim::{
    Coordination, LeaseTimes, Member, MemoryCoordinator, MemoryDatabase, MemoryStore,
    MemoryTransport, Network,
};
use quarry_types::{
    Answer, BootId, Callers, Due, Envelope, Keep, KeyOrigin, Method, ReplyMode, Role, Tenant,
};
use serde::Deserialize;

use super::*;
use crate::{
    Context, Entity, HandlerError, NoQuery, Node, NodeConfig, Ports, Registry, Reply as Said,
};

/// The node under test, the one that it thinks is the owner, and the one that is.
const HERE: NodeId = NodeId(1);
const ASKED: NodeId = NodeId(2);
const OWNER: NodeId = NodeId(3);
const TIMEOUT: Duration = Duration::from_secs(5);
/// Within this a node asks several times that goes by the pauses between two tries alone.
const A_WHILE: Duration = Duration::from_millis(800);

struct Probe;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Command {
    Touch,
}

impl Entity for Probe {
    const TYPE: &'static str = "Probe";
    type State = ();
    type Command = Command;
    type Query = NoQuery;

    async fn handle(
        &self,
        (): &mut (),
        Command::Touch: Command,
        _: &Context,
    ) -> Result<Said, HandlerError> {
        Said::of(&())
    }

    async fn read(&self, (): &(), query: NoQuery, _: &Context) -> Result<Said, HandlerError> {
        match query {}
    }
}

/// Another node: it owns nothing, or answers everything.
struct Other {
    /// The grant of which it knows where it does not own the shard; none where it owns it.
    knows: Option<Epoch>,
    asked: Arc<AtomicU32>,
}

impl RequestHandler for Other {
    fn handle(&self, _: NodeId, body: Bytes, reply: Reply) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let Ok(Request::Call(envelope)) = codec::decode(codec::schema::REQUEST, &body) else {
            panic!("another request than a call");
        };
        let done = Answer::Accepted { message_id: envelope.message_id, replayed: false };
        let answer = self.knows.map_or(Ok(done), |epoch| Err(not_owner(epoch)));
        reply.send(codec::encode(codec::schema::REPLY, &Response::Call(answer)).unwrap());
    }
}

struct World {
    host: Host,
    network: Network,
    coordination: Coordination,
    /// What is in the network lives as long as it is held.
    transports: Vec<Arc<MemoryTransport>>,
}

impl World {
    /// A cluster of one shard, without nodes.
    fn new() -> Self {
        let host = quarry_sim::host(1);
        let times = LeaseTimes::new(Duration::from_millis(500), Duration::from_secs(3)).unwrap();
        Self {
            network: Network::new(host.clone(), 1),
            coordination: Coordination::new(host.clone(), times, 1),
            transports: Vec::new(),
            host,
        }
    }

    fn join(&self, id: NodeId, weight: u32) -> Arc<MemoryCoordinator> {
        self.coordination.join(Member {
            id,
            boot: BootId(id.0),
            roles: [Role::Runner].into(),
            weight,
            groups: BTreeSet::new(),
            http: String::new(),
            control: String::new(),
            mesh: id.to_string(),
        })
    }

    /// The node under test, which takes no shards.
    async fn start(&self) -> Node {
        let coordinator = self.join(HERE, 0);
        let ports = Ports {
            store: MemoryStore::open(&MemoryDatabase::new(), Arc::clone(&self.host.clock)),
            transport: self.network.node(HERE),
            coordinator: Arc::clone(&coordinator) as _,
            host: self.host.clone(),
            metrics: Metrics::new().unwrap(),
        };
        let registry = Registry::builder().with(Probe).build();
        let node = Node::start(NodeConfig::new(HERE, BootId(HERE.0)), registry, ports);
        let used = Administration::Use(EntityType::new(Probe::TYPE).unwrap());
        coordinator.administer(used).await.unwrap();
        node
    }

    /// Lets another node answer, and counts what it is asked.
    fn answers(&mut self, id: NodeId, knows: Option<Epoch>) -> Arc<AtomicU32> {
        let (transport, asked) = (self.network.node(id), Arc::default());
        transport.serve(Arc::new(Other { knows, asked: Arc::clone(&asked) }));
        self.transports.push(transport);
        asked
    }

    /// The epoch under which `owner` was granted the shard, once it was.
    async fn granted_to(&self, owner: NodeId) -> Epoch {
        let granted = async {
            loop {
                let view = self.coordination.view();
                if let Some(shard) = view.shards.iter().find(|shard| shard.owner == Some(owner)) {
                    return shard.epoch;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(TIMEOUT, granted).await.unwrap()
    }
}

fn envelope(node: &Node) -> Envelope {
    let address = Address::parse(Tenant::default_tenant(), "Probe/a").unwrap();
    Envelope {
        message_id: node.new_message_id(&address),
        address,
        method: Method::new("touch").unwrap(),
        payload: Bytes::new(),
        key: node.new_key(),
        key_origin: KeyOrigin::Gateway,
        send_count: 0,
        reply: ReplyMode::Accepted,
        due: Due::Now,
        keep: Keep::Everything,
        trace_parent: None,
        callers: Callers::none(),
    }
}

/// The epoch with which `node` refuses `request` as not its own.
async fn refused_with(node: &Node, request: &Request) -> Epoch {
    let (told, answer) = tokio::sync::oneshot::channel();
    let reply = Reply::new(move |body| drop(told.send(body)));
    node.0.handle(ASKED, codec::encode(codec::schema::REQUEST, request).unwrap(), reply);
    let body = answer.await.unwrap().expect("an answer");
    match codec::decode(codec::schema::REPLY, &body).unwrap() {
        Response::Call(Err(CallError::Refused(refusal))) => match refusal.code {
            RefusalCode::NotOwner(epoch) => epoch,
            other => panic!("refused as {other:?}"),
        },
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_own_a_shard_says_of_which_grant_it_knows() {
    let world = World::new();
    let node = world.start().await;
    let asked = async |expected: Epoch| {
        let (one, all) = (envelope(&node), vec![envelope(&node)]);
        for request in [Request::Call(one), Request::CallInOrder(all, 1_000)] {
            assert_eq!(refused_with(&node, &request).await, expected, "{request:?}");
        }
    };
    asked(Epoch(0)).await;
    let _owner = world.join(OWNER, 100);
    let granted = world.granted_to(OWNER).await;
    assert_ne!(granted, Epoch(0));
    asked(granted).await;
}

#[tokio::test(start_paused = true)]
async fn who_hears_of_a_newer_grant_asks_again_when_it_knows_of_it_itself() {
    let mut world = World::new();
    let node = world.start().await;
    let first = world.join(ASKED, 100);
    let Epoch(granted) = world.granted_to(ASKED).await;
    let asked = world.answers(ASKED, Some(Epoch(granted + 1)));
    let owner = world.answers(OWNER, None);
    let told = async {
        tokio::time::sleep(A_WHILE / 2).await;
        assert_eq!(asked.load(Ordering::SeqCst), 1, "it waits for its view");
        // News of something else are no reason to ask.
        let second = world.join(OWNER, 100);
        tokio::time::sleep(A_WHILE / 4).await;
        assert_eq!(asked.load(Ordering::SeqCst), 1, "it waits for the grant that it heard of");
        first.goodbye().await.unwrap();
        assert!(world.granted_to(OWNER).await > Epoch(granted));
        (second, world.host.now())
    };
    let call = async {
        let answer = node.call(envelope(&node), TIMEOUT).await;
        (answer, world.host.now())
    };
    let ((_second, told), (answer, answered)) = tokio::join!(told, call);
    assert!(matches!(answer, Ok(Answer::Accepted { .. })), "{answer:?}");
    let counts = [&asked, &owner].map(|count| count.load(Ordering::SeqCst));
    assert_eq!(counts, [1, 1]);
    assert!(answered.since(told) < Duration::from_millis(5), "at once");
}

#[tokio::test(start_paused = true)]
async fn who_hears_of_no_newer_grant_than_its_own_asks_again_after_the_usual_pause() {
    for lag in [0, 1] {
        let mut world = World::new();
        let node = world.start().await;
        let _first = world.join(ASKED, 100);
        let known = Epoch(world.granted_to(ASKED).await.0 - lag);
        let asked = world.answers(ASKED, Some(known));
        // The last try may end in the middle of it.
        let answer = node.call(envelope(&node), A_WHILE).await;
        assert!(answer.is_err(), "{answer:?}");
        let asked = asked.load(Ordering::SeqCst);
        assert!((5..20).contains(&asked), "{asked} times in {A_WHILE:?}");
    }
}

/// The other may know grants of a coordinator whose data were lost, and this node may hear of none.
#[tokio::test(start_paused = true)]
async fn who_never_hears_of_the_newer_grant_itself_asks_again_all_the_same() {
    let mut world = World::new();
    let node = world.start().await;
    let _first = world.join(ASKED, 100);
    let known = Epoch(world.granted_to(ASKED).await.0 + 100);
    let asked = world.answers(ASKED, Some(known));
    let begun = world.host.now();
    let answer = node.call(envelope(&node), TIMEOUT).await;
    let Err(CallError::Refused(refusal)) = answer else { panic!("{answer:?}") };
    assert_eq!(refusal.code, RefusalCode::NotOwner(known));
    let asked = asked.load(Ordering::SeqCst);
    assert!((4..=6).contains(&asked), "{asked} times in {TIMEOUT:?}");
    let took = world.host.now().since(begun);
    assert!(took < TIMEOUT + Duration::from_millis(100), "{took:?}");
}
