//! Quarry's message plane: one link between each pair of nodes, on `ractor_cluster`.
//!
//! A node has one remotable actor, its [`gateway`]; all that crosses between nodes are casts of one
//! message type of ours to it ([`frame`]): batches of frames with correlations, deadlines, nacks and
//! credits. The substrate is used narrowly, because of what was seen of it:
//!
//! * its `call` hangs where the target is gone: requests are casts with a correlation of ours;
//! * it queues without bound toward a peer that has stopped: nothing is cast without credit from the
//!   peer ([`outbound`]), and a link on which nothing arrives is closed ([`stream`]);
//! * it trusts the bytes that it reads: without TLS they come in records of ours ([`checked`]), and the
//!   gateways ask one another for signs of life over the way that all else goes ([`vital`]);
//! * its listener and its proof of the cookie are weak: sockets are ours ([`socket`]), and both
//!   sides have proved who they are ([`greeting`]) before the substrate sees a byte;
//! * it neither reconnects nor keeps peers' names: addresses are node ids, and the node with the
//!   lower id connects, again and again ([`connector`]).
//!
//! Registries of the substrate are process-wide: one mesh per process.
//!
//! Correctness never rests on the mesh: a lost, doubled or late frame costs time, nothing else.

mod acceptor;
mod checked;
mod config;
mod connector;
mod frame;
mod gateway;
mod greeting;
mod inbound;
mod link;
mod mesh;
mod outbound;
mod socket;
mod stream;
mod substrate;
mod switchboard;
mod vital;

pub use config::{Config, Limits, StartError};
pub use mesh::{Mesh, start};
