//! One node over in-memory adapters that hosts the entities of extraction.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use quarry::{ports::ChunkBody, prelude::*};
use quarry_extract::{
    ExtractionWork, KGExtractor, StoredOntology, event::Event, graph::Graph, pack::Library,
};
use quarry_ports::Metrics;
use quarry_sim::{
    Coordination, LeaseTimes, Member, MemoryCoordinator, MemoryDatabase, MemoryStore, Network,
};
use quarry_types::{
    Answer, BootId, Callers, Due, Envelope, Keep, KeyOrigin, Method, Outcome, ReplyMode, Role,
    Tenant,
};
use serde_json::Value;

/// How long calls wait; on a clock that is put forward.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(10);
pub(crate) const TEXT: &str = "Mirror is a 1975 Soviet drama directed by Andrei Tarkovsky. 🎬 It stars \
    Margarita Terekhova.";

/// A node with its metrics.
pub(crate) struct World {
    pub(crate) node: Node,
    pub(crate) metrics: Metrics,
    _coordinator: Arc<MemoryCoordinator>,
}

/// What becomes of the work.
#[derive(Clone, Copy)]
pub(crate) enum Work {
    Done,
    Stuck,
}

/// Work that never ends.
struct Stuck;

#[derive(Deserialize)]
enum StuckCommand {
    Extract(serde::de::IgnoredAny),
}

impl Entity for Stuck {
    const TYPE: &'static str = ExtractionWork::TYPE;
    type State = ();
    type Command = StuckCommand;
    type Query = NoQuery;

    async fn handle(
        &self,
        (): &mut (),
        StuckCommand::Extract(_): StuckCommand,
        _: &Context,
    ) -> Result<Reply, HandlerError> {
        std::future::pending().await
    }

    async fn read(&self, (): &(), query: NoQuery, _: &Context) -> Result<Reply, HandlerError> {
        match query {}
    }
}

impl World {
    pub(crate) fn start() -> Self {
        Self::with(Work::Done)
    }

    pub(crate) fn with(work: Work) -> Self {
        let host = quarry_sim::host(1);
        let times = LeaseTimes::new(Duration::from_millis(500), Duration::from_secs(3)).unwrap();
        let boot = BootId(7);
        let coordinator = Coordination::new(host.clone(), times, 4).join(Member {
            id: NodeId(1),
            boot,
            roles: [Role::Runner].into(),
            weight: 100,
            groups: BTreeSet::new(),
            http: String::new(),
            control: String::new(),
            mesh: "node-1".to_owned(),
        });
        let metrics = Metrics::new().unwrap();
        let ports = Ports {
            store: MemoryStore::open(&MemoryDatabase::new(), Arc::clone(&host.clock)),
            transport: Network::new(host.clone(), 1).node(NodeId(1)),
            coordinator: Arc::clone(&coordinator) as _,
            host,
            metrics: metrics.clone(),
        };
        let library = Arc::new(Library::built_in().unwrap());
        let types = Registry::builder().with(KGExtractor::new(Arc::clone(&library)));
        let registry = match work {
            Work::Done => types
                .with(ExtractionWork::new(Arc::clone(&library), metrics.clone()))
                .with(StoredOntology::new(library)),
            Work::Stuck => types.with(Stuck),
        }
        .build();
        let node = Node::start(NodeConfig::new(NodeId(1), boot), registry, ports);
        Self { node, metrics, _coordinator: coordinator }
    }

    pub(crate) async fn ask(
        &self,
        entity: &str,
        method: &str,
        payload: Value,
    ) -> (MessageId, Outcome) {
        self.ask_as("default", entity, method, payload).await
    }

    pub(crate) async fn ask_as(
        &self,
        tenant: &str,
        entity: &str,
        method: &str,
        payload: Value,
    ) -> (MessageId, Outcome) {
        let address = Address::parse(Tenant::new(tenant).unwrap(), entity).unwrap();
        let envelope = Envelope {
            message_id: self.node.new_message_id(&address),
            address,
            method: Method::new(method).unwrap(),
            payload: payload.to_string().into(),
            key: self.node.new_key(),
            key_origin: KeyOrigin::Gateway,
            send_count: 0,
            reply: ReplyMode::Outcome,
            keep: Keep::Everything,
            trace_parent: None,
            callers: Callers::none(),
            due: Due::Now,
        };
        match self.node.call(envelope, TIMEOUT).await {
            Ok(Answer::Handled { message_id, outcome, .. }) => (message_id, outcome),
            other => panic!("not handled: {other:?}"),
        }
    }

    pub(crate) async fn extract(&self, id: &str, more: Value) -> (MessageId, Graph) {
        let mut submission = serde_json::json!({"text": TEXT, "ontologyId": "film"});
        submission.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let (message, outcome) =
            self.ask(&format!("KGExtractor/{id}"), "ExtractFromText", submission).await;
        let Outcome::Success(graph) = outcome else { panic!("{outcome:?}") };
        (message, serde_json::from_slice(&graph).unwrap())
    }

    /// How many texts were read.
    pub(crate) fn extractions(&self) -> u64 {
        self.metrics.extractions.with_label_values(&["complete"]).get()
    }

    pub(crate) async fn events(&self, message: MessageId) -> Vec<Event> {
        let chunks = self.node.chunks(message, 0, 1_000, TIMEOUT).await.unwrap();
        let read = |body: ChunkBody| match body {
            ChunkBody::Made(bytes) | ChunkBody::Entry(bytes) => {
                serde_json::from_slice(&bytes).unwrap()
            }
            reset @ ChunkBody::Reset { .. } => panic!("no event: {reset:?}"),
        };
        chunks.into_iter().map(|chunk| read(chunk.body)).collect()
    }
}
