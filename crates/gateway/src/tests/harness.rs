//! One node behind its interface, and requests to it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode},
};
use quarry::prelude::*;
use quarry_core::lease::LeaseTimes;
use quarry_extract::{ExtractionWork, KGExtractor, StoredOntology, pack::Library};
use quarry_ports::{Host, MessageFilter, Metrics};
use quarry_services::{Counter, Register};
use quarry_sim::{Coordination, MemoryDatabase, MemoryStore, Network};
use quarry_types::{BootId, Role, Tenant};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::openapi::conforms;
use crate::{Gateway, GatewayConfig, router};

/// An entity that misbehaves as it is told.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Moody;

#[entity]
impl Moody {
    const ATTEMPTS: Option<u32> = Some(2);

    /// Fails for good.
    fn refuse(&mut self, reason: String) -> Result<(), HandlerError> {
        Err(HandlerError::fail("in_a_mood", reason))
    }

    /// Never ends.
    async fn hang(&mut self) {
        std::future::pending::<()>().await;
    }

    /// Makes chunks, numbers from 0, with a pause before each.
    async fn tell(
        &mut self,
        count: u32,
        pause_ms: u64,
        context: &Context,
    ) -> Result<u32, HandlerError> {
        for number in 0..count {
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            context.emit(&number).await?;
        }
        Ok(count)
    }

    /// Makes two chunks that say which attempt it is, and fails at the first.
    async fn stumble(&mut self, context: &Context) -> Result<u32, HandlerError> {
        let attempt = context.attempt();
        context.emit("same").await?;
        context.emit(&attempt).await?;
        if attempt < 2 {
            return Err(HandlerError::Retry("stumbled".to_owned()));
        }
        Ok(attempt)
    }

    /// Records which attempt it is, and fails at the first.
    async fn confess(&mut self, context: &Context) -> Result<u32, HandlerError> {
        let attempt = context.attempt();
        context.record(&json!({ "type": "begun", "requestId": "of its own" })).await?;
        context.record(&json!({ "type": "attempt", "number": attempt })).await?;
        if attempt < 2 {
            return Err(HandlerError::Retry("not yet".to_owned()));
        }
        Ok(attempt)
    }

    /// Fails for a while where the number is odd.
    fn even(&mut self, number: u32) -> Result<u32, HandlerError> {
        if number.is_multiple_of(2) {
            Ok(number)
        } else {
            Err(HandlerError::Retry(format!("{number} is odd")))
        }
    }

    /// Fails.
    fn fail(&self) -> Result<(), HandlerError> {
        Err(HandlerError::fail("in_a_mood", "no answer today"))
    }
}

/// An entity for which few messages may wait.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Narrow;

#[entity]
impl Narrow {
    const MAILBOX: Option<usize> = Some(2);

    /// Never ends.
    async fn hang(&mut self) {
        std::future::pending::<()>().await;
    }
}

/// One node behind its interface.
pub(super) struct World {
    pub(super) gateway: Gateway,
    pub(super) database: Arc<MemoryDatabase>,
    coordination: Coordination,
    pub(super) coordinator: Arc<quarry_sim::MemoryCoordinator>,
    pub(super) router: Router,
}

/// A process that takes shards.
fn runner(id: u64, boot: BootId) -> quarry_core::coordinator::Member {
    quarry_core::coordinator::Member {
        id: NodeId(id),
        boot,
        roles: [Role::Runner].into(),
        weight: 100,
        groups: BTreeSet::default(),
        http: "127.0.0.1:7410".to_owned(),
        control: String::new(),
        mesh: format!("node-{id}"),
    }
}

impl World {
    /// A node that takes work.
    pub(super) async fn new() -> Self {
        let world = Self::with(GatewayConfig::default());
        world.until("/readyz", |answer| answer.status == StatusCode::OK).await;
        let id = world.gateway.node().id();
        let owns_all = |answer: &Answer| answer.body["nodes"][0]["shards"] == 4;
        world.until("/v1/cluster", owns_all).await;
        assert_eq!(id, NodeId(1));
        world
    }

    /// A node that is just starting.
    pub(super) fn with(config: GatewayConfig) -> Self {
        let host = Host::system();
        let times = LeaseTimes::new(Duration::from_millis(50), Duration::from_secs(1)).unwrap();
        let database = MemoryDatabase::new();
        let coordination = Coordination::new(host.clone(), times, 4);
        let boot = BootId(7);
        let coordinator = coordination.join(runner(1, boot));
        let ports = Ports {
            store: MemoryStore::open(&database, Arc::clone(&host.clock)),
            transport: Network::new(host.clone(), 1).node(NodeId(1)),
            coordinator: Arc::clone(&coordinator) as _,
            host,
            metrics: Metrics::new().unwrap(),
        };
        let library = Arc::new(Library::built_in().unwrap());
        let work = ExtractionWork::new(Arc::clone(&library), ports.metrics.clone());
        let extractor = KGExtractor::new(Arc::clone(&library));
        let stored = StoredOntology::new(Arc::clone(&library));
        let registry =
            Registry::builder().with(Counter::default()).with(Register::default()).with(Moody);
        let registry = registry.with(Narrow).with(extractor).with(work).with(stored).build();
        let node = Node::start(NodeConfig::new(NodeId(1), boot), registry, ports);
        let gateway = Gateway::with_library(node, config, library);
        let router = router(gateway.clone());
        Self { gateway, database, coordination, coordinator, router }
    }

    /// Lets another runner join, which takes shards and serves none, as long as the answer lives.
    pub(super) fn joined_by(&self, id: u64) -> Arc<quarry_sim::MemoryCoordinator> {
        self.coordination.join(runner(id, BootId(id)))
    }

    /// Asks, and holds the answer against the description of the interface.
    pub(super) async fn ask(&self, request: Ask) -> Answer {
        let (method, path) = (request.method.clone(), request.path.clone());
        let answer = answer_of(self.router.clone(), request).await;
        if let Err(reason) = conforms(&method, &path, &answer) {
            panic!("{method} {path} {reason}: {answer:?}");
        }
        let seconds = answer.header("retry-after").map(|seconds| seconds.parse().unwrap());
        let milliseconds = answer.body["retry_after_ms"].as_u64();
        let rounded_up = milliseconds.map(|milliseconds| milliseconds.div_ceil(1_000));
        assert_eq!(seconds, rounded_up, "header and body disagree: {answer:?}");
        answer
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.ask(Ask::get(path)).await
    }

    pub(super) async fn post(&self, path: &str, body: &str) -> Answer {
        self.ask(Ask::post(path).body(body)).await
    }

    /// Asks again until the answer is as wanted.
    pub(super) async fn until(&self, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        let asking = async {
            loop {
                let answer = self.get(path).await;
                if wanted(&answer) {
                    return answer;
                }
                tokio::task::yield_now().await;
            }
        };
        let answer = tokio::time::timeout(Duration::from_secs(20), asking).await;
        answer.unwrap_or_else(|_| panic!("{path} does not become what it should"))
    }

    /// All that the store holds, for people.
    pub(super) async fn stored(&self) -> String {
        let store = &self.gateway.node().ports().store;
        let messages = store.messages(MessageFilter::default(), None, 1_000).await.unwrap();
        let tenant = Tenant::default_tenant();
        let filter = quarry_ports::EntityFilter { tenant, entity_type: None };
        let entities = store.entities(filter, None, 1_000).await.unwrap();
        format!("{messages:?} {entities:?}")
    }
}

/// A request.
#[derive(Debug)]
pub(super) struct Ask {
    method: Method,
    path: String,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
}

impl Ask {
    pub(super) fn new(method: Method, path: &str) -> Self {
        Self { method, path: path.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    pub(super) fn get(path: &str) -> Self {
        Self::new(Method::GET, path)
    }

    pub(super) fn post(path: &str) -> Self {
        Self::new(Method::POST, path)
    }

    pub(super) fn header(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name, value.as_ref().to_vec()));
        self
    }

    pub(super) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
    /// The body as JSON; null where it is none.
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Checks that this is a whole problem document, and returns its code and field.
    pub(super) fn problem(&self) -> (u16, &str, Option<&str>) {
        let content_type = self.header("content-type");
        assert_eq!(content_type, Some("application/problem+json"), "{self:?}");
        assert_eq!(self.body["status"], self.status.as_u16(), "{self:?}");
        for member in ["type", "title", "detail", "instance", "code"] {
            assert!(
                self.body[member].as_str().is_some_and(|text| !text.is_empty()),
                "{member}: {self:?}"
            );
        }
        assert!(self.body["retryable"].is_boolean(), "{self:?}");
        let outcome = self.body["outcome"].as_str().unwrap();
        assert!(["refused", "failed", "unknown"].contains(&outcome), "{self:?}");
        let trace = self.body["trace_id"].as_str().unwrap();
        assert!(self.header("traceparent").unwrap().contains(trace), "{self:?}");
        let code = self.body["code"].as_str().unwrap();
        (self.status.as_u16(), code, self.body["field"].as_str())
    }
}

pub(super) async fn answer_of(router: Router, ask: Ask) -> Answer {
    let mut request = Request::builder().method(ask.method).uri(ask.path);
    for (name, value) in ask.headers {
        request = request.header(name, value);
    }
    let request = request.body(Body::from(ask.body)).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    Answer {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8_lossy(&bytes).into_owned(),
        body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    }
}
