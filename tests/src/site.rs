//! Where a node runs, and how it is reached.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;

use crate::{network::Network, process::PortBlock};

/// The port of HTTP, on the loopback of a host and at its address.
const HTTP: u16 = 7410;

/// What of a node depends on its place.
#[derive(Debug, Clone)]
pub struct Site {
    /// Where it listens for HTTP: on the loopback of its host, as it must without authentication.
    pub http: String,
    /// Where it listens on the control plane.
    pub control: String,
    /// Where it listens on the message plane.
    pub mesh: String,
    /// Its HTTP as clients reach it.
    pub url: String,
    /// The URL of its store.
    pub store: String,
    /// What stands before its command line; empty on this host itself.
    pub command: Vec<String>,
    /// What its environment holds beside the test's own.
    pub environment: Vec<(String, String)>,
}

impl Site {
    /// On this host, with the ports of node `id` of a block.
    pub fn on_loopback(id: u16, ports: &PortBlock, store: &str) -> Result<Self> {
        let first = (id - 1) * 3;
        let http = ports.address(first)?;
        Ok(Self {
            url: format!("http://{http}"),
            http,
            control: ports.address(first + 1)?,
            mesh: ports.address(first + 2)?,
            store: store.to_owned(),
            command: Vec::new(),
            environment: Vec::new(),
        })
    }

    /// On a host of a network of its own, whose planes need no TLS. Clients come through a door
    /// from [`Site::outside`] to [`Site::inside`].
    pub fn on_network(network: &Network, host: u16, store: &str) -> Self {
        let address = network.address(host);
        Self {
            http: Self::inside().to_string(),
            control: format!("{address}:7411"),
            mesh: format!("{address}:7412"),
            url: format!("http://{}", Self::outside(network, host)),
            store: store.to_owned(),
            command: network.command(host),
            environment: vec![("QUARRY_CLUSTER__INSECURE".to_owned(), "true".to_owned())],
        }
    }

    /// Where a node of a network listens for HTTP, on its own loopback.
    pub fn inside() -> SocketAddr {
        (Ipv4Addr::LOCALHOST, HTTP).into()
    }

    /// Where clients of a network reach the HTTP of a node.
    pub fn outside(network: &Network, host: u16) -> SocketAddr {
        (network.address(host), HTTP).into()
    }
}
