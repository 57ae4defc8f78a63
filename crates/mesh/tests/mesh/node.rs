//! A node as a process: commands come line by line, each is answered with one line.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use quarry_mesh::{Config, Limits, Mesh, start};
use quarry_plane::{Cookie, Credentials, Files, Protocol, Security};
use quarry_ports::{Host, Metrics, Peer, Transport, TransportError};
use quarry_sim::contract::transport::{ECHO, HOLD, Responder, Stage};
use quarry_types::NodeId;
use tokio::io::{AsyncBufReadExt, BufReader};

/// Makes the process a node: its id, cluster, cookie, address, idle time in milliseconds, the
/// directory of its credentials, or `-`, the oldest and newest version that it speaks, and how many
/// connections it holds that have not proved who they are.
pub(crate) const VARIABLE: &str = "QUARRY_MESH_TEST_NODE";

/// What such a process logs, where that is not the usual.
pub(crate) const LOGS: &str = "QUARRY_MESH_TEST_LOGS";

/// Marks an answer among the lines of the test harness.
pub(crate) const MARK: char = '@';

/// Does nothing unless the process was started as a node by another test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_process() {
    if let Ok(spec) = std::env::var(VARIABLE) {
        run(&spec).await;
    }
}

struct Node {
    mesh: Arc<Mesh>,
    metrics: Metrics,
    id: NodeId,
}

async fn run(spec: &str) {
    let logs = std::env::var(LOGS).unwrap_or("warn,ractor=off,ractor_cluster=off".to_owned());
    let filter = tracing_subscriber::EnvFilter::new(logs);
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let parts: Vec<&str> = spec.split(' ').collect();
    let idle = Duration::from_millis(parts[4].parse().unwrap());
    let (id, metrics) = (NodeId(parts[0].parse().unwrap()), Metrics::new().unwrap());
    let config = Config {
        node: id,
        protocol: Protocol { oldest: parts[6].parse().unwrap(), newest: parts[7].parse().unwrap() },
        cluster_name: parts[1].to_owned(),
        cookie: Cookie::new(parts[2]).unwrap(),
        security: security(parts[5], id),
        listen: parts[3].to_owned(),
        limits: Limits {
            idle,
            handshake: Duration::from_secs(2),
            unauthenticated: parts[8].parse().unwrap(),
            ..Limits::default()
        },
    };
    let mesh = match start(config, Host::system(), metrics.clone()).await {
        Ok(mesh) => mesh,
        Err(error) => return answer(&error.to_string()),
    };
    mesh.serve(Arc::new(Responder::default()));
    answer(&mesh.local_addr().to_string());
    let node = Node { mesh, metrics, id };
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        let words: Vec<&str> = line.split(' ').collect();
        answer(&node.obey(&words).await);
    }
    node.mesh.shutdown().await;
}

fn security(directory: &str, id: NodeId) -> Security {
    if directory == "-" {
        return Security::open();
    }
    let [ca, cert, key] =
        ["ca", "cert", "key"].map(|name| std::path::Path::new(directory).join(name));
    let files = Files { ca, cert, key };
    let now = Host::system().clock.wall();
    Security::mutual(&Credentials::load(&files, "test", id, now).unwrap(), "mesh")
}

fn answer(text: &str) {
    println!("\n{MARK}{text}");
}

fn ended(result: &Result<Bytes, TransportError>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(TransportError::NotSent { reason, .. }) => format!("not sent: {reason}"),
        Err(TransportError::Lost { reason, .. }) => format!("lost: {reason}"),
    }
}

impl Node {
    async fn obey(&self, words: &[&str]) -> String {
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        match words[0] {
            "peers" => {
                self.mesh.set_peers(words[1..].iter().map(|word| peer(word)).collect());
                "ok".to_owned()
            }
            "linked" => format!("{:?}", self.mesh.linked()),
            "contract" => {
                let (peer, nobody) = (NodeId(number(1)), NodeId(number(2)));
                let transport = self.mesh.clone();
                Stage { transport, node: self.id, peer, nobody }.run().await;
                "ok".to_owned()
            }
            "ask" | "hold" => {
                let kind = if words[0] == "ask" { ECHO } else { HOLD };
                let body = Bytes::copy_from_slice(&[kind]);
                let timeout = Duration::from_millis(number(2));
                ended(&self.mesh.request(NodeId(number(1)), body, timeout).await)
            }
            "flood" => self.flood(number(1), number(2), number(3), number(4), number(5)).await,
            "metrics" => self.counters(),
            "shutdown" => {
                self.mesh.shutdown().await;
                "ok".to_owned()
            }
            other => panic!("unknown command {other}"),
        }
    }

    /// `count` requests of `size` bytes, `at_once` at a time; how many ended how, and how long it
    /// took in milliseconds.
    async fn flood(&self, to: u64, count: u64, size: u64, millis: u64, at_once: u64) -> String {
        let body = Bytes::from(vec![ECHO; usize::try_from(size).unwrap()]);
        let host = Host::system();
        let begun = host.now();
        let ask = |_| self.mesh.request(NodeId(to), body.clone(), Duration::from_millis(millis));
        let at_once = usize::try_from(at_once).unwrap();
        let (mut ok, mut not_sent, mut lost) = (0, 0, 0);
        let mut asked = stream::iter(0..count).map(ask).buffer_unordered(at_once);
        while let Some(result) = asked.next().await {
            match result {
                Ok(_) => ok += 1,
                Err(TransportError::NotSent { .. }) => not_sent += 1,
                Err(TransportError::Lost { .. }) => lost += 1,
            }
        }
        format!("{ok} {not_sent} {lost} {}", host.now().since(begun).as_millis())
    }

    /// `name{label,…}=value` of the mesh's counters, in one line.
    fn counters(&self) -> String {
        let mut line = Vec::new();
        for family in self.metrics.registry.gather() {
            if !family.name().starts_with("quarry_mesh") {
                continue;
            }
            for metric in family.get_metric() {
                let labels: Vec<_> =
                    metric.get_label().iter().map(prometheus::proto::LabelPair::value).collect();
                let value = metric.get_counter().get_value();
                line.push(format!("{}{{{}}}={value}", family.name(), labels.join(",")));
            }
        }
        line.join(" ")
    }
}

fn peer(word: &str) -> Peer {
    let (node, mesh) = word.split_once('=').unwrap();
    Peer { node: NodeId(node.parse().unwrap()), mesh: mesh.to_owned() }
}
