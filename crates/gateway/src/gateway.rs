//! The gateway of a node: what all handlers share.

use std::{sync::Arc, time::Duration};

use prometheus::process_collector::ProcessCollector;
use quarry::runtime::Node;
use quarry_extract::pack::{Library, Ontologies};
use quarry_ports::{Coordinator, Host, Metrics, Store};
use quarry_types::{Monotonic, Tenant, api::Protection};
use tokio::sync::Semaphore;

/// How the gateway treats requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayConfig {
    /// The largest body that is taken, in bytes.
    pub body_limit: usize,
    /// How long a body may take to come.
    pub body_timeout: Duration,
    /// How long a call waits where the request does not say.
    pub call_timeout: Duration,
    /// The longest that a request may ask to wait.
    pub longest_timeout: Duration,
    /// How long the store may take to answer a health check.
    pub check_timeout: Duration,
    /// How many requests are in flight at most; more are refused with 503.
    pub in_flight: usize,
    /// How the node's planes are protected; for showing.
    pub protection: Protection,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            body_limit: 1024 * 1024,
            body_timeout: Duration::from_secs(30),
            call_timeout: Duration::from_secs(30),
            longest_timeout: Duration::from_mins(5),
            check_timeout: Duration::from_secs(2),
            in_flight: 4_096,
            protection: Protection::default(),
        }
    }
}

/// The HTTP interface of one node. Cheap to clone.
#[derive(Clone)]
pub struct Gateway(Arc<Shared>);

struct Shared {
    node: Node,
    config: GatewayConfig,
    tenant: Tenant,
    in_flight: Arc<Semaphore>,
    begun: Monotonic,
    library: Arc<Library>,
    uploads: Semaphore,
}

/// How many packs are read at a time, each of up to 16 MiB; more are refused with 503.
const UPLOADS: usize = 8;

impl Gateway {
    /// The interface of `node`. Adds the metrics of the process to the node's registry.
    /// Extractions are checked against `library`, and what was put beside it.
    pub fn with_library(node: Node, config: GatewayConfig, library: Arc<Library>) -> Self {
        let metrics = &node.ports().metrics;
        // A second gateway on one registry finds the collector there already.
        drop(metrics.registry.register(Box::new(ProcessCollector::for_self())));
        let build = metrics.build.with_label_values(&[env!("CARGO_PKG_VERSION")]);
        if build.get() == 0 {
            build.inc();
        }
        let in_flight = Arc::new(Semaphore::new(config.in_flight));
        let uploads = Semaphore::new(UPLOADS);
        let (tenant, begun) = (Tenant::default_tenant(), node.ports().host.now());
        Self(Arc::new(Shared { node, config, tenant, in_flight, begun, library, uploads }))
    }

    /// The interface of a node that knows no ontologies.
    pub fn new(node: Node, config: GatewayConfig) -> Self {
        Self::with_library(node, config, Arc::new(Library::of(Ontologies::default())))
    }

    /// How requests are treated.
    #[must_use]
    pub fn config(&self) -> &GatewayConfig {
        &self.0.config
    }

    /// The node that this is the interface of.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.0.node
    }

    /// The tenant that requests act for.
    pub(crate) fn tenant(&self) -> &Tenant {
        &self.0.tenant
    }

    /// The ontologies that this node knows.
    pub(crate) fn library(&self) -> &Library {
        &self.0.library
    }

    pub(crate) fn uploads(&self) -> &Semaphore {
        &self.0.uploads
    }

    /// When this gateway began.
    pub(crate) fn begun(&self) -> Monotonic {
        self.0.begun
    }

    pub(crate) fn host(&self) -> &Host {
        &self.0.node.ports().host
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.node.ports().metrics
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.0.node.ports().store
    }

    pub(crate) fn coordinator(&self) -> &dyn Coordinator {
        &*self.0.node.ports().coordinator
    }

    pub(crate) fn in_flight(&self) -> &Arc<Semaphore> {
        &self.0.in_flight
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("config", &self.0.config).finish_non_exhaustive()
    }
}
