//! The in-memory transport keeps the contract, and its faults follow from the seed.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use quarry_ports::{Peer, Transport, TransportError};
use quarry_sim::{
    FaultPlan, MemoryTransport, Network, Traffic,
    contract::transport::{Responder, Stage},
};
use quarry_types::NodeId;

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const SECOND: Duration = Duration::from_secs(1);

fn peers() -> Vec<Peer> {
    [A, B].map(|node| Peer { node, mesh: String::new() }).to_vec()
}

fn start(network: &Network, node: NodeId) -> Arc<MemoryTransport> {
    let transport = network.node(node);
    transport.serve(Arc::new(Responder::default()));
    transport.set_peers(peers());
    transport
}

fn pair(seed: u64) -> (Network, Arc<MemoryTransport>, Arc<MemoryTransport>) {
    let network = Network::new(quarry_sim::host(seed), seed);
    let (a, b) = (start(&network, A), start(&network, B));
    (network, a, b)
}

fn lost(answer: &Result<Bytes, TransportError>) -> bool {
    matches!(answer, Err(TransportError::Lost { .. }))
}

#[tokio::test(start_paused = true)]
async fn the_in_memory_transport_keeps_the_contract() {
    let (_network, transport, _b) = pair(1);
    Stage { transport, node: A, peer: B, nobody: NodeId(9) }.run().await;
}

#[tokio::test(start_paused = true)]
async fn the_contract_holds_when_frames_are_late() {
    let (network, transport, _b) = pair(2);
    network.set_plan(FaultPlan {
        delay_min: Duration::from_micros(100),
        delay_max: Duration::from_millis(3),
        ..FaultPlan::default()
    });
    Stage { transport, node: A, peer: B, nobody: NodeId(9) }.run().await;
}

#[tokio::test(start_paused = true)]
async fn a_cut_swallows_frames_until_it_is_healed() {
    let (network, a, _b) = pair(3);
    network.cut(A, B);
    assert!(lost(&a.request(B, Bytes::from_static(&[0]), SECOND).await));
    network.heal();
    assert!(a.request(B, Bytes::from_static(&[0]), SECOND).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_stopped_node_fails_what_waits_and_what_comes() {
    let (network, a, _b) = pair(4);
    let waiting = a.request(B, Bytes::from_static(&[2]), 3600 * SECOND);
    let stop = async {
        tokio::time::sleep(SECOND).await;
        network.stop(B);
    };
    let (answer, ()) = tokio::join!(waiting, stop);
    assert!(lost(&answer), "{answer:?}");
    let refused = a.request(B, Bytes::from_static(&[0]), SECOND).await;
    assert!(matches!(refused, Err(TransportError::NotSent { .. })), "{refused:?}");
    let _again = start(&network, B);
    assert!(a.request(B, Bytes::from_static(&[0]), SECOND).await.is_ok());
}

async fn stormy(seed: u64) -> (Traffic, Vec<bool>) {
    let (network, a, _b) = pair(seed);
    network.set_plan(FaultPlan {
        drop_per_mille: 100,
        duplicate_per_mille: 100,
        reorder_per_mille: 100,
        delay_min: Duration::ZERO,
        delay_max: Duration::from_millis(20),
    });
    let asked = (0..200_u8).map(|n| a.request(B, Bytes::copy_from_slice(&[0, n]), SECOND));
    let answers = futures_util::future::join_all(asked).await;
    for (n, answer) in (0..200_u8).zip(&answers) {
        assert!(lost(answer) || answer.as_deref() == Ok(&[0, n]), "{answer:?}");
    }
    (network.traffic(), answers.iter().map(Result::is_ok).collect())
}

#[tokio::test(start_paused = true)]
async fn equal_seeds_give_equal_faults() {
    let (traffic, answers) = stormy(5).await;
    assert!(traffic.lost > 0 && traffic.doubled > 0, "{traffic:?}");
    assert!(answers.contains(&true) && answers.contains(&false));
    assert_eq!(stormy(5).await, (traffic, answers.clone()));
    assert_ne!(stormy(6).await.1, answers);
}
