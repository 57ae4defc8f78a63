//! Entities of `#[entity]` on a node: what their methods do is stored, tried again, and told.
#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use quarry::{
    ports::{Host, Metrics},
    prelude::*,
    types::{
        Answer, BootId, CallError, Callers, Due, Envelope, Keep, KeyOrigin, Method, Outcome,
        ReplyMode, Role, Tenant,
    },
};
use quarry_sim::{Coordination, LeaseTimes, Member, MemoryDatabase, MemoryStore, Network};

/// Calls others as it is told, and counts the calls that it took.
#[derive(Default, Serialize, Deserialize)]
struct Caller {
    calls: u32,
}

#[entity]
impl Caller {
    /// Calls the first of `path`, and has it call the rest; answers how many were called.
    async fn call(&mut self, path: Vec<String>, context: &Context) -> Result<u32, HandlerError> {
        self.calls += 1;
        let Some((next, rest)) = path.split_first() else { return Ok(0) };
        let next = context.entity::<Self>(next)?;
        let called: u32 = context.call(&next, "call", &json!({ "path": rest })).await?;
        Ok(1 + called)
    }

    /// Changes the state, fails, and only succeeds at the third attempt.
    fn stumble(&mut self, context: &Context) -> Result<u32, std::io::Error> {
        self.calls += 10;
        if context.attempt() < 3 {
            return Err(std::io::Error::other("not yet"));
        }
        Ok(self.calls)
    }

    /// Takes a number for a text.
    async fn misread(&mut self, context: &Context) -> Result<String, HandlerError> {
        context.call(&context.entity::<Hasty>("b")?, "wait", &()).await
    }

    /// Changes the state and fails for good.
    fn refuse(&mut self) -> Result<(), HandlerError> {
        self.calls += 100;
        Err(HandlerError::fail("refused", "as asked"))
    }

    fn calls(&self) -> u32 {
        self.calls
    }
}

/// Gives up early and is soon forgotten.
#[derive(Default, Serialize, Deserialize)]
struct Hasty(u32);

#[entity]
impl Hasty {
    const ATTEMPTS: Option<u32> = Some(2);
    const IDLE_AFTER: Option<Duration> = Some(Duration::from_secs(1));
    const MAILBOX: Option<usize> = Some(3);

    fn fail(&mut self, context: &Context) -> Result<(), std::io::Error> {
        Err(std::io::Error::other(format!("attempt {}", context.attempt())))
    }

    async fn wait(&mut self) -> u32 {
        tokio::time::sleep(Duration::from_secs(3)).await;
        self.0
    }
}

struct World {
    host: Host,
    database: Arc<MemoryDatabase>,
    network: Network,
    coordination: Coordination,
}

impl World {
    fn new() -> Self {
        let host = quarry_sim::host(1);
        let times = LeaseTimes::new(Duration::from_millis(500), Duration::from_secs(3)).unwrap();
        Self {
            database: MemoryDatabase::new(),
            network: Network::new(host.clone(), 1),
            coordination: Coordination::new(host.clone(), times, 8),
            host,
        }
    }

    fn start(&self, id: u64) -> Node {
        let boot = BootId(id);
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
            coordinator,
            host: self.host.clone(),
            metrics: Metrics::new().unwrap(),
        };
        let registry = Registry::builder().with(Caller::default()).with(Hasty::default()).build();
        Node::start(NodeConfig::new(NodeId(id), boot), registry, ports)
    }
}

/// What the method answers, or why not.
async fn call(node: &Node, entity: &str, method: &str, body: &str) -> Result<u32, String> {
    let address = Address::parse(Tenant::default_tenant(), entity).unwrap();
    let envelope = Envelope {
        message_id: node.new_message_id(&address),
        address,
        method: Method::new(method).unwrap(),
        payload: body.to_owned().into(),
        key: node.new_key(),
        key_origin: KeyOrigin::Gateway,
        send_count: 0,
        reply: ReplyMode::Outcome,
        due: Due::Now,
        keep: Keep::Everything,
        trace_parent: None,
        callers: Callers::none(),
    };
    match node.call(envelope, Duration::from_secs(10)).await {
        Ok(Answer::Handled { outcome: Outcome::Success(reply), .. }) => {
            Ok(serde_json::from_slice(&reply).unwrap())
        }
        Ok(Answer::Handled { outcome: Outcome::Failure(failure), .. }) => {
            Err(format!("failed {}: {}", failure.code, failure.message))
        }
        Ok(accepted) => panic!("{accepted:?}"),
        Err(CallError::Refused(refusal)) => Err(format!("refused {}", refusal.code.as_str())),
        Err(CallError::Unknown(unknown)) => Err(format!("unknown {}", unknown.code.as_str())),
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_leaves_no_trace_in_the_state() {
    let world = World::new();
    let node = world.start(1);
    assert_eq!(call(&node, "Caller/a", "stumble", "").await, Ok(10));
    let refused = call(&node, "Caller/a", "refuse", "").await;
    assert_eq!(refused, Err("failed refused: as asked".to_owned()));
    assert_eq!(call(&node, "Caller/a", "calls", "").await, Ok(10));
}

/// The circle is closed on one node and over two, at once and not when somebody's patience ends.
#[tokio::test(start_paused = true)]
async fn entities_that_call_one_another_in_a_circle_are_told_at_once() {
    let world = World::new();
    let one = world.start(1);
    let _two = world.start(2);
    assert_eq!(call(&one, "Caller/a", "call", r#"{"path": ["b", "c", "d", "e"]}"#).await, Ok(4));
    for (path, circle) in [
        (r#"["a"]"#, "failed circular_call: Caller/a calls Caller/a: "),
        (r#"["b", "a"]"#, "failed circular_call: Caller/a calls Caller/b calls Caller/a: "),
        (
            r#"["b", "c", "d", "b"]"#,
            "failed circular_call: Caller/b calls Caller/c calls Caller/d calls Caller/b: ",
        ),
    ] {
        let started = world.host.now();
        let body = format!(r#"{{"path": {path}}}"#);
        let told = call(&one, "Caller/a", "call", &body).await.unwrap_err();
        assert!(told.starts_with(circle), "{path}: {told}");
        assert!(world.host.now().since(started) < Duration::from_secs(1), "{path}");
    }
    // Nobody waits for anybody: all can be called again.
    assert_eq!(call(&one, "Caller/d", "call", r#"{"path": ["a", "b", "c"]}"#).await, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_is_not_as_expected_is_a_failure_that_says_so() {
    let world = World::new();
    let node = world.start(1);
    let told = call(&node, "Caller/a", "misread", "").await.unwrap_err();
    let wanted = "failed unexpected_reply: wait of Hasty/b answered something else: invalid type";
    assert!(told.starts_with(wanted), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_chain_of_calls_is_bounded() {
    let world = World::new();
    let node = world.start(1);
    let path = |length: usize| {
        let ids: Vec<String> = (0..length).map(|at| format!("e{at}")).collect();
        json!({ "path": ids }).to_string()
    };
    assert_eq!(call(&node, "Caller/a", "call", &path(Callers::MOST)).await, Ok(32));
    let told = call(&node, "Caller/a", "call", &path(Callers::MOST + 1)).await.unwrap_err();
    assert!(told.starts_with("failed call_too_deep: "), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_type_is_bounded_as_it_declares() {
    let world = World::new();
    let node = world.start(1);
    let started = world.host.now();
    assert_eq!(call(&node, "Hasty/a", "fail", "").await, Err("unknown quarantined".to_owned()));
    assert!(world.host.now().since(started) < Duration::from_secs(1), "two attempts and no more");
    let calls = (0..5).map(|_| call(&node, "Hasty/a", "wait", ""));
    let told = futures_util::future::join_all(calls).await;
    let refused = told.iter().filter(|told| **told == Err("refused overloaded".to_owned()));
    assert_eq!(refused.count(), 2, "{told:?}");
    assert_eq!(node.ports().metrics.residents.get(), 1);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(node.ports().metrics.residents.get(), 0, "forgotten sooner than others");
}
