//! Makes a connection what it is to be: as it came, or mutual TLS.
//!
//! Under TLS the side that connects means one node and takes no other's certificate; the side that
//! was connected to takes any node's of its cluster, learns which one it is, and closes the
//! handshake with one byte: 0, or why it refuses. So a connection is good for both sides once
//! [`Security::accept`] and [`Security::connect`] have returned, and both know why where it is not.

use std::{fmt, io, sync::Arc};

use quarry_types::NodeId;
use rustls::{
    ClientConfig, ServerConfig,
    pki_types::{CertificateDer, InvalidDnsNameError, ServerName},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use webpki::EndEntityCert;

use crate::{
    credentials::Credentials,
    names::{node_name, parse},
    refusal::Refusal,
    stream::Stream,
    verdict,
};

/// With this byte TLS begins, and no protocol of ours does.
const HANDSHAKE: u8 = 0x16;
/// The last byte of a handshake that came to a good end.
const WELCOME: u8 = 0;

/// How the connections of one plane are secured. Cheap to clone.
#[derive(Clone)]
pub struct Security(Option<Arc<Mutual>>);

struct Mutual {
    cluster: String,
    client: TlsConnector,
    server: TlsAcceptor,
}

/// A connection that is as it is to be.
#[derive(Debug)]
pub struct Secured {
    /// Its bytes.
    pub stream: Stream,
    /// Which node proved by its certificate to be at the other end; nothing without TLS.
    pub node: Option<NodeId>,
}

/// Why a connection was not secured.
#[derive(Debug, thiserror::Error)]
pub enum SecurityError {
    /// This node refused the peer.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// The peer refused this node.
    #[error("the peer refused: {0}")]
    ByPeer(Refusal),
    /// The connection broke, or ended before a byte had come.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
}

impl Security {
    /// Connections stay as they come: for loopback, and for those who insist.
    #[must_use]
    pub const fn open() -> Self {
        Self(None)
    }

    /// Mutual TLS with these credentials. Both sides have to name the same `plane`, so that nobody
    /// speaks to the wrong one.
    #[must_use]
    pub fn mutual(credentials: &Credentials, plane: &'static str) -> Self {
        let (mut client, mut server) = credentials.configs();
        let protocol = format!("quarry-{plane}").into_bytes();
        client.alpn_protocols = vec![protocol.clone()];
        server.alpn_protocols = vec![protocol];
        Self::of(credentials.cluster().to_owned(), client, server)
    }

    fn of(cluster: String, client: ClientConfig, server: ServerConfig) -> Self {
        Self(Some(Arc::new(Mutual {
            cluster,
            client: TlsConnector::from(Arc::new(client)),
            server: TlsAcceptor::from(Arc::new(server)),
        })))
    }

    /// Secures a connection that was accepted. Waits for the peer's first byte; the caller holds
    /// the deadline.
    ///
    /// # Errors
    /// [`SecurityError`].
    pub async fn accept(&self, stream: TcpStream) -> Result<Secured, SecurityError> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        match (&self.0, first == [HANDSHAKE]) {
            (None, false) => Ok(Secured { stream: Stream::Open(stream), node: None }),
            (None, true) => Err(SecurityError::Refused(Refusal::Tls)),
            (Some(_), false) => Err(SecurityError::Refused(Refusal::Plaintext)),
            (Some(mutual), true) => mutual.accept(stream).await,
        }
    }

    /// Secures a connection that was made to reach the node `meant`; the caller holds the deadline.
    ///
    /// # Errors
    /// [`SecurityError`].
    pub async fn connect(
        &self,
        stream: TcpStream,
        meant: NodeId,
    ) -> Result<Secured, SecurityError> {
        match &self.0 {
            None => Ok(Secured { stream: Stream::Open(stream), node: None }),
            Some(mutual) => mutual.connect(stream, meant).await,
        }
    }

    /// Whether connections are encrypted and both sides authenticated by certificates.
    #[must_use]
    pub const fn is_mutual(&self) -> bool {
        self.0.is_some()
    }
}

impl Mutual {
    async fn accept(&self, stream: TcpStream) -> Result<Secured, SecurityError> {
        let mut stream = self.server.accept(stream).await.map_err(verdict::of)?;
        let (_, connection) = stream.get_ref();
        let checked = if connection.alpn_protocol().is_none() {
            Err(Refusal::Garbage)
        } else {
            self.node_of(connection.peer_certificates().unwrap_or_default())
        };
        let byte = checked.map_or_else(Refusal::code, |_| WELCOME);
        let told = async {
            stream.write_all(&[byte]).await?;
            stream.flush().await
        };
        let told = told.await;
        let node = checked.map_err(SecurityError::Refused)?;
        told?;
        Ok(Secured { stream: Stream::Tls(Box::new(stream.into())), node: Some(node) })
    }

    async fn connect(&self, stream: TcpStream, meant: NodeId) -> Result<Secured, SecurityError> {
        let name = server_name(&self.cluster, meant).map_err(io::Error::other)?;
        let mut stream = self.client.connect(name, stream).await.map_err(verdict::of)?;
        let mut verdict = [WELCOME];
        stream.read_exact(&mut verdict).await.map_err(verdict::of)?;
        match verdict {
            [WELCOME] => {
                Ok(Secured { stream: Stream::Tls(Box::new(stream.into())), node: Some(meant) })
            }
            [code] => Err(SecurityError::ByPeer(Refusal::of_code(code))),
        }
    }

    /// Which node of this cluster a certificate that the authority vouches for belongs to.
    fn node_of(&self, chain: &[CertificateDer<'_>]) -> Result<NodeId, Refusal> {
        let certificate = chain.first().ok_or(Refusal::NoCertificate)?;
        let certificate = EndEntityCert::try_from(certificate).map_err(|_| Refusal::Certificate)?;
        let mut refusal = Refusal::Certificate;
        for (cluster, node) in certificate.valid_dns_names().filter_map(parse) {
            if cluster == self.cluster {
                return Ok(node);
            }
            refusal = Refusal::Cluster;
        }
        Err(refusal)
    }
}

pub(crate) fn server_name(
    cluster: &str,
    node: NodeId,
) -> Result<ServerName<'static>, InvalidDnsNameError> {
    ServerName::try_from(node_name(cluster, node))
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_mutual() { "mutual TLS" } else { "open" })
    }
}
