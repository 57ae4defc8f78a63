//! Networks that change or lose bytes while their connections stand.

use std::sync::{Arc, Mutex};

use quarry_ports::Host;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::{
    cluster::{Process, Spec, introduce},
    refusals::refused,
};

const RECONNECTS: &str = "quarry_mesh_reconnects_total{}";

/// What is done to what is sent next to the node behind a wire.
#[derive(Clone, Copy)]
enum Fault {
    Nothing,
    /// A bit of the byte at this place from now on is turned.
    Turn(usize),
    /// The connection delivers nothing any more.
    Swallow,
}

/// Passes connections on to one node.
struct Wire {
    address: String,
    fault: Arc<Mutex<Fault>>,
}

impl Wire {
    async fn to(node: &Process) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (node, fault) = (node.address.clone(), Arc::new(Mutex::new(Fault::Nothing)));
        let shared = fault.clone();
        let host = Host::system();
        Host::system().spawn("wire", async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let far = TcpStream::connect(&node).await.unwrap();
                let (from_near, to_near) = near.into_split();
                let (from_far, to_far) = far.into_split();
                let (there, back) = (shared.clone(), Arc::new(Mutex::new(Fault::Nothing)));
                host.spawn("wire connection", async move {
                    tokio::select! {
                        () = pass(from_near, to_far, &there) => {}
                        () = pass(from_far, to_near, &back) => {}
                    }
                });
            }
        });
        Self { address, fault }
    }

    fn strike(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }
}

/// Passes bytes on until an end is closed. Each fault is done once.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, fault: &Mutex<Fault>) {
    let mut bytes = vec![0; 1 << 16];
    let mut is_swallowed = false;
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        {
            let mut fault = fault.lock().unwrap();
            match *fault {
                Fault::Nothing => {}
                Fault::Turn(place) if place < read => {
                    bytes[place] ^= 4;
                    *fault = Fault::Nothing;
                }
                Fault::Turn(place) => *fault = Fault::Turn(place - read),
                Fault::Swallow => {
                    is_swallowed = true;
                    *fault = Fault::Nothing;
                }
            }
        }
        if !is_swallowed && to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

/// Two nodes, the first of which connects to the second through a wire.
async fn through_a_wire(first: Spec, second: Spec) -> (Vec<Process>, Wire) {
    let mut nodes = vec![first.start().await, second.start().await];
    let wire = Wire::to(&nodes[1]).await;
    let address = std::mem::replace(&mut nodes[1].address, wire.address.clone());
    introduce(&mut nodes).await;
    nodes[1].address = address;
    nodes[0].reaches(2).await;
    nodes[1].reaches(1).await;
    (nodes, wire)
}

/// In a length of the record, in its checksum, in a length of the substrate's framing, and behind it.
#[tokio::test]
async fn a_bit_that_is_turned_anywhere_ends_the_link_at_once_and_another_is_made() {
    let (mut nodes, wire) = through_a_wire(Spec::new(1), Spec::new(2)).await;
    for (place, times) in [0, 5, 17, 20, 40].into_iter().zip(1..) {
        wire.strike(Fault::Turn(place));
        let ended = nodes[0].tell("ask 2 3600000").await;
        assert_ne!(ended, "ok", "byte {place}");
        nodes[0].reaches(2).await;
        nodes[1].reaches(1).await;
        assert_eq!(nodes[0].counter(RECONNECTS).await, times, "byte {place}");
        refused(&mut nodes[1], "garbage", times).await;
    }
}

/// The second node goes on sending, and would not mind the silence of the first for an hour.
#[tokio::test]
async fn a_link_on_which_a_peer_is_heard_and_does_not_hear_is_ended_after_the_idle_time() {
    let first = Spec { idle_milliseconds: 6_000, ..Spec::new(1) };
    let second = Spec { idle_milliseconds: 3_600_000, ..Spec::new(2) };
    let (mut nodes, wire) = through_a_wire(first, second).await;
    wire.strike(Fault::Swallow);
    assert_eq!(nodes[0].tell("hold 2 3600000").await, "lost: the link broke");
    nodes[0].reaches(2).await;
    nodes[1].reaches(1).await;
    assert_eq!(nodes[0].counter(RECONNECTS).await, 1);
}
