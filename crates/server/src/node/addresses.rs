//! Where a node listens, and where others reach it.

use std::net::{SocketAddr, TcpListener};

use super::Port;
use crate::{
    configuration::{Listen, NodeSettings},
    failure::Failure,
};

/// The addresses of a node.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    /// Where the control plane is to listen.
    pub(crate) cluster: SocketAddr,
    /// Where the message plane is to listen.
    pub(crate) mesh: SocketAddr,
    /// Where HTTP is reached.
    pub(crate) http: String,
    /// Where others reach the control plane.
    pub(crate) advertised_cluster: String,
    /// Where others reach the message plane.
    pub(crate) advertised_mesh: String,
}

impl Addresses {
    /// Binds HTTP and probes the planes, which bind themselves.
    ///
    /// # Errors
    /// Names the flag of the port that is taken.
    pub(crate) fn bind(settings: &NodeSettings) -> Result<(TcpListener, Self), Failure> {
        let port = |purpose, flag, listen| Port { purpose, flag, listen };
        let listener = port("HTTP", "--http", &settings.http).bind()?;
        let cluster = port("the control plane", "--cluster", &settings.cluster).probe()?;
        let mesh = port("the message plane", "--mesh", &settings.mesh).probe()?;
        let http = listener.local_addr()?;
        let reached = |listen: &Listen, port: u16| {
            let host = settings.advertise.as_deref().unwrap_or(&listen.host);
            format!("{host}:{port}")
        };
        let addresses = Self {
            cluster,
            mesh,
            http: reached(&settings.http, http.port()),
            advertised_cluster: reached(&settings.cluster, cluster.port()),
            advertised_mesh: reached(&settings.mesh, mesh.port()),
        };
        Ok((listener, addresses))
    }
}
