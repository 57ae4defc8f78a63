//! Clusters of coordinators in one process, on ports of their own.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test's surroundings")]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use quarry_consensus::{Config, Consensus, Recovery, StartError, Times, start};
use quarry_core::coordinator::Founding;
use quarry_plane::{Cookie, Protocol, Security};
use quarry_ports::{Host, Metrics};
use quarry_types::{BootId, NodeId, Role};
use tempfile::TempDir;

use super::until;

/// Nodes that may run, each with a directory and an address.
pub(crate) struct Cluster {
    place: TempDir,
    voters: BTreeMap<NodeId, String>,
    pub(crate) times: Times,
    pub(crate) shards: u32,
    /// How the connections of a node are secured; open where nothing is said.
    pub(crate) security: BTreeMap<NodeId, Security>,
}

/// An address on which nothing listens now, and which is nobody else's while this process runs, so
/// that a node may leave it and come back: the port before it is held as the claim, and both lie
/// below the range that outgoing connections take their ports from.
pub(crate) fn address() -> String {
    static CLAIMS: Mutex<Vec<TcpListener>> = Mutex::new(Vec::new());
    let bind = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    for port in (20_000..30_000).step_by(2) {
        let Ok(claim) = bind(port) else { continue };
        if bind(port + 1).is_ok() {
            CLAIMS.lock().unwrap().push(claim);
            return format!("127.0.0.1:{}", port + 1);
        }
    }
    panic!("no two free ports in a row on loopback");
}

impl Cluster {
    pub(crate) fn of(voters: u64) -> Self {
        let voters = (1..=voters).map(|node| (NodeId(node), address())).collect();
        let (place, times) = (tempfile::tempdir().unwrap(), Times::default());
        Self { place, voters, times, shards: 16, security: BTreeMap::new() }
    }

    pub(crate) fn directory(&self, node: u64) -> PathBuf {
        self.place.path().join(node.to_string())
    }

    pub(crate) fn config(&self, node: u64) -> Config {
        let control = self.voters.get(&NodeId(node)).cloned().unwrap_or_else(address);
        Config {
            node: NodeId(node),
            protocol: Protocol::CURRENT,
            boot: BootId(Host::system().random.next_u64()),
            voters: self.voters.clone(),
            listen: control.clone(),
            advertise: control,
            data_dir: self.directory(node),
            cookie: Cookie::new(&"9".repeat(32)).expect("long enough"),
            security: self.security.get(&NodeId(node)).cloned().unwrap_or_else(Security::open),
            cluster_name: "test".to_owned(),
            times: self.times,
            roles: BTreeSet::from([Role::Runner]),
            weight: 100,
            groups: BTreeSet::new(),
            http: format!("127.0.0.1:{}", 17_400 + node),
            mesh: format!("127.0.0.1:{}", 17_500 + node),
            shards: self.shards,
            max_moves: 8,
            founding: Founding::default(),
            existing_identity: None,
            recovery: Recovery::Refuse,
        }
    }

    pub(crate) async fn start(&self, node: u64) -> Arc<Consensus> {
        begin(self.config(node)).await.expect("the node starts")
    }

    /// Ends a node as `kill -9` does, and waits until the system has taken back what it had.
    pub(crate) async fn kill(&self, node: Arc<Consensus>) {
        let address = self.voters.get(&node.node()).cloned();
        let gone = Arc::downgrade(&node);
        drop(node);
        until("nobody holds the node", || gone.strong_count() == 0).await;
        until("its address is free", || {
            address.as_ref().is_none_or(|address| TcpListener::bind(address).is_ok())
        })
        .await;
    }

    pub(crate) async fn start_all(&self) -> Vec<Arc<Consensus>> {
        let mut nodes = Vec::new();
        for node in self.voters.keys() {
            nodes.push(self.start(node.0).await);
        }
        nodes
    }
}

pub(crate) async fn begin(config: Config) -> Result<Arc<Consensus>, StartError> {
    begin_on(Host::system(), config).await
}

pub(crate) async fn begin_on(host: Host, config: Config) -> Result<Arc<Consensus>, StartError> {
    let node = start(config, host, Metrics::new().expect("metrics")).await?;
    node.join();
    Ok(node)
}
