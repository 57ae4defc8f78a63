//! Hosts of their own on one machine: network namespaces, each with an address, on one bridge.
//!
//! The bridge is the network; the machine's own end of it has one address for clients and one for
//! the database. What a host sends to a peer can be cut off, each direction by itself and without a
//! word: the host is told a link-layer address that nobody has. That needs nothing of the kernel but
//! namespaces, pairs of virtual Ethernet devices and a bridge.
//!
//! A host's link can be bad for a time: then a [`Switch`] of the harness passes its frames on, and does
//! to what hosts say to one another what a [`Weather`] says. Frames are whole, as devices exchange
//! them, so it is the kernel's own TCP that has to cope.
//!
//! Whatever a test leaves behind when it is killed names the process that made it, and is removed by
//! the next one.

mod door;
mod hosts;
mod switch;

pub use door::Door;
pub use hosts::{BadLink, Forbidden, Network, Peer};
pub use switch::{Switch, Weather};
