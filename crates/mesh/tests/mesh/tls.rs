//! Links under mutual TLS.

use quarry_plane::{Authority, Validity};
use quarry_ports::Host;
use quarry_types::{NodeId, Timestamp};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    cluster::{Process, Spec, introduce},
    links::show_throughput,
    refusals::{closed_after, refused},
};

const DAY: i64 = 86_400_000;

struct Issuer {
    authority: Authority,
    place: TempDir,
}

impl Issuer {
    fn new() -> Self {
        let authority = Authority::create("test", validity()).unwrap();
        Self { authority, place: tempfile::tempdir().unwrap() }
    }

    /// How a node with a certificate of this authority is started.
    fn spec(&self, id: u64) -> Spec {
        let issued = self.authority.issue(NodeId(id), validity()).unwrap();
        let directory = self.place.path().join(id.to_string());
        std::fs::create_dir_all(&directory).unwrap();
        for (name, pem) in
            [("ca", self.authority.certificate()), ("cert", &issued.cert), ("key", &issued.key)]
        {
            std::fs::write(directory.join(name), pem).unwrap();
        }
        Spec { credentials: directory.to_str().unwrap().to_owned(), ..Spec::new(id) }
    }

    async fn cluster(&self, count: u64) -> Vec<Process> {
        let mut nodes = Vec::new();
        for id in 1..=count {
            nodes.push(self.spec(id).start().await);
        }
        introduce(&mut nodes).await;
        nodes
    }
}

fn validity() -> Validity {
    let now = Host::system().clock.wall().0;
    Validity { from: Timestamp(now - DAY), until: Timestamp(now + DAY) }
}

#[tokio::test]
async fn the_mesh_keeps_the_contract_under_tls() {
    let mut nodes = Issuer::new().cluster(2).await;
    assert_eq!(nodes[0].tell("contract 2 9").await, "ok");
    assert_eq!(nodes[1].tell("contract 1 9").await, "ok");
}

#[tokio::test]
async fn a_killed_peer_is_noticed_and_found_again_under_tls() {
    let issuer = Issuer::new();
    let mut nodes = issuer.cluster(2).await;
    nodes[0].reaches(2).await;
    let killed = nodes.remove(1);
    let listen = killed.address.clone();
    killed.kill().await;
    nodes[0].until("ask 2 1000", |answer| answer.starts_with("not sent")).await;
    nodes.push(Spec { listen, ..issuer.spec(2) }.start().await);
    introduce(&mut nodes).await;
    nodes[0].reaches(2).await;
    nodes[1].reaches(1).await;
}

#[tokio::test]
async fn a_node_of_another_authority_is_refused_at_both_ends() {
    let mut nodes = vec![Issuer::new().spec(1).start().await, Issuer::new().spec(2).start().await];
    introduce(&mut nodes).await;
    for node in &mut nodes {
        refused(node, "authority", 2).await;
        assert_eq!(node.tell("linked").await, "[]");
    }
}

#[tokio::test]
async fn a_node_without_tls_does_not_link_with_one_that_has_it() {
    let issuer = Issuer::new();
    let mut nodes = vec![Spec::new(1).start().await, issuer.spec(2).start().await];
    introduce(&mut nodes).await;
    refused(&mut nodes[1], "plaintext", 2).await;
    let mut nodes = vec![issuer.spec(1).start().await, Spec::new(2).start().await];
    introduce(&mut nodes).await;
    refused(&mut nodes[1], "tls", 2).await;
    assert_eq!(nodes[0].tell("linked").await, "[]");
}

#[tokio::test]
async fn strangers_at_a_tls_port_are_refused_and_harm_nobody() {
    let mut nodes = Issuer::new().cluster(2).await;
    nodes[0].reaches(2).await;
    let address = nodes[1].address.clone();
    assert!(closed_after(&address, b"QMSH\xff\xff").await);
    refused(&mut nodes[1], "plaintext", 1).await;
    assert!(closed_after(&address, b"\x16\x03\x01\xff\xffgarbage").await);
    refused(&mut nodes[1], "garbage", 1).await;
    assert!(closed_after(&address, b"\x16\x03").await, "the handshake has a deadline");
    refused(&mut nodes[1], "deadline", 1).await;
    nodes[0].reaches(2).await;
}

#[tokio::test]
async fn a_peer_frozen_in_the_handshake_stops_nobody_else() {
    let issuer = Issuer::new();
    let mut nodes = issuer.cluster(3).await;
    nodes[0].reaches(2).await;
    nodes[0].reaches(3).await;
    nodes[2].signal(Signal::STOP);
    // The frozen node's kernel takes the connection; nobody shakes hands.
    assert_eq!(nodes[0].tell("peers").await, "ok");
    nodes[0].until("linked", |linked| linked == "[]").await;
    introduce(&mut nodes[..2]).await;
    let all = format!("peers 2={} 3={}", nodes[1].address, nodes[2].address);
    assert_eq!(nodes[0].tell(&all).await, "ok");
    refused(&mut nodes[0], "deadline", 1).await;
    nodes[0].reaches(2).await;
    nodes[2].signal(Signal::CONT);
    nodes[0].reaches(3).await;
}

#[tokio::test]
async fn the_throughput_under_tls_is_shown() {
    show_throughput("TLS", Issuer::new().cluster(2).await).await;
}
