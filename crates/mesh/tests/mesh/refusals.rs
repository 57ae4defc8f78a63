//! What does not belong to the cluster stays out, and is counted.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::cluster::{PATIENCE, Process, Spec, introduce};

async fn pair(stranger: Spec) -> Vec<Process> {
    let mut nodes = vec![Spec::new(1).start().await, stranger.start().await];
    introduce(&mut nodes).await;
    nodes
}

pub(crate) async fn refused(node: &mut Process, reason: &str, least: u64) {
    let name = format!("quarry_mesh_refused_total{{{reason}}}");
    let many = |metrics: &str| crate::cluster::value(metrics, &name) >= least;
    node.until("metrics", many).await;
}

#[tokio::test]
async fn a_node_with_another_cookie_is_refused_at_both_ends() {
    let cookie = "another-cookie-of-at-least-thirty-two-bytes";
    let mut nodes = pair(Spec { cookie, ..Spec::new(2) }).await;
    for node in &mut nodes {
        refused(node, "cookie", 2).await;
        assert_eq!(node.tell("linked").await, "[]");
    }
    assert!(nodes[0].tell("ask 2 500").await.starts_with("not sent"));
}

#[tokio::test]
async fn a_node_of_another_cluster_is_refused_at_both_ends() {
    let mut nodes = pair(Spec { cluster: "another", ..Spec::new(2) }).await;
    for node in &mut nodes {
        refused(node, "cluster", 2).await;
        assert_eq!(node.tell("linked").await, "[]");
    }
}

/// Tells each of `nodes` where the others are, and waits until it is linked with all of them.
async fn linked_with_all(nodes: &mut [Process]) {
    introduce(nodes).await;
    let ids: Vec<u64> = nodes.iter().map(|node| node.id).collect();
    for node in nodes {
        for other in ids.iter().filter(|id| **id != node.id).copied().collect::<Vec<_>>() {
            node.reaches(other).await;
        }
    }
}

#[tokio::test]
async fn a_node_of_the_next_version_is_linked_and_one_too_far_ahead_is_refused_and_counted_once() {
    let speaking = |id, speaks| Spec { speaks, ..Spec::new(id) }.start();
    let mut nodes = vec![speaking(1, (1, 1)).await, speaking(2, (1, 2)).await];
    linked_with_all(&mut nodes).await;
    // One after the other goes over to the next version, which does not know the first any more.
    nodes[0] = speaking(1, (1, 2)).await;
    linked_with_all(&mut nodes).await;
    nodes[1] = speaking(2, (2, 3)).await;
    linked_with_all(&mut nodes).await;
    nodes[0] = speaking(1, (1, 1)).await;
    introduce(&mut nodes).await;
    for node in &mut nodes {
        refused(node, "version", 1).await;
        // The link to the process that was replaced may end a moment after the refusal of its heir.
        node.until("linked", |linked| linked == "[]").await;
    }
    assert!(nodes[0].tell("ask 2 500").await.starts_with("not sent"));
    for node in &mut nodes {
        let page = node.tell("metrics").await;
        // Each side refuses, and is refused by, one peer, again and again.
        let told = crate::cluster::value(&page, "quarry_mesh_refused_total{version}");
        assert!(told <= 2, "{told}: {page}");
    }
}

#[tokio::test]
async fn a_node_that_is_not_the_one_meant_is_refused() {
    let mut nodes = [Spec::new(1).start().await, Spec::new(2).start().await];
    let wrong = format!("peers 3={}", nodes[1].address);
    assert_eq!(nodes[0].tell(&wrong).await, "ok");
    refused(&mut nodes[0], "node", 1).await;
    refused(&mut nodes[1], "node", 1).await;
    assert_eq!(nodes[0].tell("linked").await, "[]");
}

/// Whether the node closes the connection after `bytes`, long before anyone loses patience.
pub(crate) async fn closed_after(address: &str, bytes: &[u8]) -> bool {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(PATIENCE / 2, stream.read_to_end(&mut rest)).await.is_ok()
}

#[tokio::test]
async fn garbage_oversize_and_silence_are_refused_and_harm_nobody() {
    let mut nodes = crate::cluster::cluster(2).await;
    nodes[0].reaches(2).await;
    let address = nodes[1].address.clone();
    assert!(closed_after(&address, b"GET / HTTP/1.1\r\nHost: mesh\r\n\r\n").await);
    refused(&mut nodes[1], "garbage", 1).await;
    assert!(closed_after(&address, b"QMSH\xff\xff").await);
    refused(&mut nodes[1], "oversized", 1).await;
    assert!(closed_after(&address, b"QM").await, "the greeting has a deadline");
    refused(&mut nodes[1], "deadline", 1).await;
    nodes[0].reaches(2).await;
}

#[tokio::test]
async fn the_listener_of_the_substrate_is_no_way_in() {
    let mut node = Spec::new(1).start().await;
    let ours: u16 = node.address.rsplit_once(':').unwrap().1.parse().unwrap();
    let others: Vec<u16> = node.listens_on().into_iter().filter(|port| *port != ours).collect();
    assert_eq!(others.len(), 1, "one listener beside ours: {others:?}");
    assert!(closed_after(&format!("127.0.0.1:{}", others[0]), b"").await);
    refused(&mut node, "bypass", 1).await;
}

#[tokio::test]
async fn only_so_many_silent_connections_are_held() {
    let mut node = Spec::new(1).start().await;
    let mut silent = Vec::new();
    for _ in 0..80 {
        silent.push(TcpStream::connect(&node.address).await.unwrap());
    }
    refused(&mut node, "busy", 16).await;
    refused(&mut node, "deadline", 64).await;
    // Their places are free again.
    let mut late = TcpStream::connect(&node.address).await.unwrap();
    let answered = tokio::time::timeout(Duration::from_millis(200), late.read_u8()).await;
    assert!(answered.is_err(), "it is greeted, not turned away: {answered:?}");
}
