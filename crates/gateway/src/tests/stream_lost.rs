//! Streams over two nodes, one of which is lost while it runs what is told.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{Router, body::Body, http::Request};
use futures_util::{Stream, StreamExt};
use quarry::prelude::*;
use quarry_core::lease::LeaseTimes;
use quarry_extract::{ExtractionWork, KGExtractor, StoredOntology, pack::Library};
use quarry_ports::{Host, Metrics};
use quarry_sim::{Coordination, MemoryCoordinator, MemoryDatabase, MemoryStore, Network, Process};
use quarry_types::{BootId, Role};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{harness::Moody, stream_extraction::check};
use crate::{Gateway, GatewayConfig, router};

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
        let database = MemoryDatabase::new();
        let network = Network::new(host.clone(), 1);
        Self { coordination: Coordination::new(host.clone(), times, 8), host, database, network }
    }

    fn start(&self, id: u64) -> Running {
        let process = Process::new();
        let host = process.host(&self.host);
        let boot = BootId(self.host.random.next_u64());
        let coordinator = self.coordination.join(quarry_core::coordinator::Member {
            id: NodeId(id),
            boot,
            roles: [Role::Runner].into(),
            weight: 100,
            groups: BTreeSet::default(),
            http: String::new(),
            control: String::new(),
            mesh: format!("node-{id}"),
        });
        let ports = Ports {
            store: MemoryStore::open(&self.database, Arc::clone(&self.host.clock)),
            transport: self.network.node(NodeId(id)),
            coordinator: Arc::clone(&coordinator) as _,
            host,
            metrics: Metrics::new().unwrap(),
        };
        let library = Arc::new(Library::built_in().unwrap());
        let work = ExtractionWork::new(Arc::clone(&library), ports.metrics.clone());
        let extractor = KGExtractor::new(Arc::clone(&library));
        let stored = StoredOntology::new(Arc::clone(&library));
        let registry = Registry::builder().with(Moody).with(extractor).with(work);
        let registry = registry.with(stored).build();
        let node = Node::start(NodeConfig::new(NodeId(id), boot), registry, ports);
        let gateway = Gateway::with_library(node, GatewayConfig::default(), library);
        Running { router: router(gateway), coordinator, process }
    }

    /// Ends a node at once.
    fn kill(&self, id: u64, running: &Running) {
        running.process.kill();
        running.coordinator.cut(true);
        self.network.stop(NodeId(id));
    }

    /// Waits until a node owns all shards.
    async fn is_owned_by(&self, id: u64) {
        let owns_all = || self.coordination.view().owned_by(NodeId(id)).count() == 8;
        let owned = async {
            while !owns_all() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), owned).await.unwrap();
    }
}

/// A node that runs.
struct Running {
    router: Router,
    coordinator: Arc<MemoryCoordinator>,
    process: Arc<Process>,
}

/// The events of an answer, each as soon as it is there.
async fn ask(
    router: &Router,
    request: axum::http::request::Builder,
    body: &Value,
) -> impl Stream<Item = Value> + Unpin {
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    let request = request.header("accept", "application/x-ndjson").body(body).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200, "{response:?}");
    response
        .into_body()
        .into_data_stream()
        .map(|line| serde_json::from_slice(&line.unwrap()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_stream_goes_on_where_its_owner_lost_the_lease() {
    let world = World::new();
    let one = world.start(1);
    world.is_owned_by(1).await;
    let body = json!({ "count": 100, "pause_ms": 100 });
    let first = ask(&one.router, Request::post("/v1/entities/Moody/m/tell"), &body).await;
    let _two = world.start(2);
    one.coordinator.cut(true);
    let told: Vec<Value> = first.collect().await;
    check_numbers(told);
}

fn check_numbers(mut told: Vec<Value>) {
    let end = told.pop().unwrap();
    assert_eq!((&end["type"], &end["outcome"]["reply"]), (&json!("end"), &json!(100)));
    let chunks: Vec<_> = told.iter().map(|told| told["chunk"].as_u64().unwrap()).collect();
    assert_eq!(chunks, (0..100).collect::<Vec<_>>(), "without gap or repeat");
}

#[tokio::test(start_paused = true)]
async fn a_reader_goes_on_elsewhere_when_the_runner_is_killed() {
    let world = World::new();
    let one = world.start(1);
    world.is_owned_by(1).await;
    let body = json!({ "count": 100, "pause_ms": 100 });
    let first = ask(&one.router, Request::post("/v1/entities/Moody/m/tell"), &body).await;
    let mut told: Vec<Value> = first.take(30).collect().await;
    world.kill(1, &one);
    let two = world.start(2);
    let open = ask_json(&two.router, "/v1/messages?entity=Moody/m").await;
    assert_eq!(open["items"][0]["state"], "open");
    let id = open["items"][0]["messageId"].as_str().unwrap();
    let request = Request::get(format!("/v1/messages/{id}/chunks")).header("last-event-id", "29");
    told.extend(ask(&two.router, request, &Value::Null).await.collect::<Vec<_>>().await);
    check_numbers(told);
}

async fn ask_json(router: &Router, path: &str) -> Value {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_news_says_that_it_is_alive() {
    let world = World::new();
    let one = world.start(1);
    world.is_owned_by(1).await;
    let request = Request::post("/v1/entities/Moody/m/hang").header("accept", "text/event-stream");
    let request = request.body(Body::empty()).unwrap();
    let response = one.router.clone().oneshot(request).await.unwrap();
    let begun = world.host.now();
    let parts: Vec<_> = response.into_body().into_data_stream().take(5).collect().await;
    assert!(parts.iter().all(|part| part.as_ref().unwrap().starts_with(b":")), "{parts:?}");
    assert_eq!(world.host.now().since(begun).as_secs(), 75);
}

/// A paused clock stands still while the extractor computes, and all that it finds would be there at
/// once; so time goes on here as it does outside.
async fn time_passes() {
    let outside = Host::system().clock;
    let mut last = outside.monotonic();
    loop {
        let now = outside.monotonic();
        tokio::time::advance(now.since(last)).await;
        last = now;
    }
}

/// The runner is killed behind the `read`th event; the reader goes on elsewhere. Whether the
/// extraction was still open before.
async fn kill_behind(read: usize) -> bool {
    let world = World::new();
    world.database.faults().set_commit_time(Duration::from_millis(50));
    let one = world.start(1);
    world.is_owned_by(1).await;
    let text = "Blade Runner is a 1982 film directed by Ridley Scott. ".repeat(100);
    let options = json!({ "chunkSize": 50 });
    let body = json!({ "text": text, "ontologyId": "film", "requestId": "r", "options": options });
    let first = ask(&one.router, Request::post("/v1/extractions"), &body).await;
    let passing = world.host.spawn("time", time_passes());
    let mut told: Vec<Value> = first.take(read).collect().await;
    passing.abort();
    let open = ask_json(&one.router, "/v1/messages?entity=KGExtractor/r&state=open").await;
    world.kill(1, &one);
    let two = world.start(2);
    let request = Request::get("/v1/extractions/r/events");
    let request = match told.last() {
        Some(last) => request.header("last-event-id", last["id"].as_str().unwrap()),
        None => request,
    };
    told.extend(ask(&two.router, request, &Value::Null).await.collect::<Vec<_>>().await);
    check(&told);
    let own = told.iter().filter(|event| event["messageId"] == told[0]["messageId"]);
    let own: Vec<&Value> = own.filter(|event| event["type"] != "end").collect();
    let journal = ask_json(&two.router, "/v1/journal/extraction:r?limit=1000").await;
    let recorded = journal["items"].as_array().unwrap();
    assert_eq!(recorded.len(), own.len(), "each once: {recorded:?}");
    for (sequence, (entry, event)) in (1..).zip(recorded.iter().zip(own)) {
        assert_eq!((&entry["type"], &entry["chunk"]), (&event["type"], &event["sequence"]));
        assert_eq!((&entry["sequence"], &entry["time"]), (&json!(sequence), &event["time"]));
    }
    open["items"][0].is_object()
}

#[tokio::test(start_paused = true)]
async fn the_events_of_an_extraction_go_on_when_its_runner_is_killed() {
    for read in [0, 1, 2, 3, 4, 6, 12] {
        assert!(kill_behind(read).await, "killed in the middle, behind {read} events");
    }
}
