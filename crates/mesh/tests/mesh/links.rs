//! Nodes find one another, keep the contract, and find one another again.

use crate::cluster::{PATIENCE, Process, Spec, cluster, introduce, value};

const RECEIVED: &str = "quarry_mesh_frames_total{received,request}";

#[tokio::test]
async fn the_mesh_keeps_the_contract_in_both_directions() {
    let mut nodes = cluster(2).await;
    assert_eq!(nodes[0].tell("contract 2 9").await, "ok");
    assert_eq!(nodes[1].tell("contract 1 9").await, "ok");
}

#[tokio::test]
async fn what_crosses_between_nodes_is_counted_as_frames_of_the_mesh() {
    let mut nodes = cluster(2).await;
    nodes[0].reaches(2).await;
    let before = nodes[1].tell("metrics").await;
    assert!(nodes[0].tell("flood 2 100 1000 5000 10").await.starts_with("100 0 0 "));
    let after = nodes[1].tell("metrics").await;
    let grown = |name| value(&after, name) - value(&before, name);
    assert_eq!(grown(RECEIVED), 100);
    assert_eq!(grown("quarry_mesh_frames_total{sent,reply}"), 100);
    assert!(grown("quarry_mesh_bytes_total{received}") > 100_000);
    assert!(grown("quarry_mesh_bytes_total{sent}") > 100_000);
}

#[tokio::test]
async fn three_nodes_have_one_link_for_each_pair() {
    let mut nodes = cluster(3).await;
    for (node, peers) in [(0, "[NodeId(2), NodeId(3)]"), (1, "[NodeId(1), NodeId(3)]")] {
        nodes[node].until("linked", |linked| linked == peers).await;
    }
    for (from, to) in [(0, 2), (0, 3), (1, 1), (1, 3), (2, 1), (2, 2)] {
        nodes[from].reaches(to).await;
    }
    assert_eq!(nodes[0].tell("linked").await, "[NodeId(2), NodeId(3)]");
}

#[tokio::test]
async fn a_killed_peer_fails_what_waits_and_is_found_again_after_its_restart() {
    let mut nodes = cluster(2).await;
    for (lives, dies) in [(0, 1), (1, 0)] {
        let (survivor, victim) = (nodes[lives].id, nodes[dies].id);
        nodes[lives].reaches(victim).await;
        let before = nodes[dies].counter(RECEIVED).await;
        nodes[lives].say(&format!("hold {victim} 3600000")).await;
        // The request is under way once the victim has seen it.
        nodes[dies].until("metrics", |metrics| value(metrics, RECEIVED) > before).await;
        let killed = nodes.remove(dies);
        let listen = killed.address.clone();
        killed.kill().await;
        let survivor_process = &mut nodes[0];
        assert_eq!(survivor_process.answer().await, "lost: the link broke");
        survivor_process
            .until(&format!("ask {victim} 1000"), |answer| answer.starts_with("not sent"))
            .await;
        let again = Spec { listen, ..Spec::new(victim) }.start().await;
        nodes.insert(dies, again);
        introduce(&mut nodes).await;
        nodes[lives].reaches(victim).await;
        nodes[dies].reaches(survivor).await;
    }
    assert!(nodes[1].counter("quarry_mesh_frames_total{received,request}").await > 0);
}

#[tokio::test]
async fn a_peer_that_is_not_wanted_any_more_is_let_go() {
    let mut nodes = cluster(2).await;
    nodes[0].reaches(2).await;
    assert_eq!(nodes[0].tell("peers").await, "ok");
    nodes[0].until("linked", |linked| linked == "[]").await;
    nodes[1].until("linked", |linked| linked == "[]").await;
    assert!(nodes[0].tell("ask 2 1000").await.starts_with("not sent"));
    introduce(&mut nodes).await;
    nodes[0].reaches(2).await;
}

#[tokio::test]
async fn a_node_that_shuts_down_is_noticed_at_once() {
    let mut nodes = cluster(2).await;
    nodes[0].reaches(2).await;
    let before = nodes[1].counter(RECEIVED).await;
    nodes[0].say("hold 2 3600000").await;
    nodes[1].until("metrics", |metrics| value(metrics, RECEIVED) > before).await;
    assert_eq!(nodes[1].tell("shutdown").await, "ok");
    assert_eq!(nodes[0].answer().await, "lost: the link broke");
    assert_eq!(nodes[1].tell("ask 1 1000").await, "not sent: there is no link to it");
    assert_eq!(nodes[1].tell("linked").await, "[]");
    nodes.remove(1).quits().await;
}

#[tokio::test]
async fn a_taken_port_is_named_with_its_flag() {
    let first = Spec::new(1).start().await;
    let second = Spec { listen: first.address.clone(), ..Spec::new(2) }.start().await;
    let expected = format!("cannot listen on {} (--mesh)", first.address);
    assert!(second.address.starts_with(&expected), "{}", second.address);
}

#[tokio::test]
async fn the_throughput_is_shown() {
    show_throughput("plain", cluster(2).await).await;
}

pub(crate) async fn show_throughput(what: &str, mut nodes: Vec<Process>) {
    nodes[0].reaches(2).await;
    for (size, count, at_once) in
        [(100, 100_000, 1_000), (100, 2_000, 1), (10_000, 20_000, 200), (1 << 20, 200, 8)]
    {
        let flood = format!("flood 2 {count} {size} {} {at_once}", PATIENCE.as_millis());
        let ended = nodes[0].tell(&flood).await;
        let figures: Vec<u64> = ended.split(' ').map(|figure| figure.parse().unwrap()).collect();
        assert_eq!(figures[..3], [count, 0, 0]);
        let milliseconds = figures[3].max(1);
        println!(
            "{what}: {size} bytes, {at_once} at once: {} requests per second, {} MB/s each way",
            count * 1_000 / milliseconds,
            count * size / milliseconds / 1_000
        );
    }
}
