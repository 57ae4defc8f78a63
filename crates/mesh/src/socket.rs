//! The sockets of the mesh: ours, not the substrate's, so that deadlines and options are ours too.

use std::{io, net::SocketAddr, time::Duration};

use quarry_plane::{Security, SecurityError};
use quarry_types::NodeId;
use rustix::net::sockopt;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};

/// A connection as the mesh uses it, whatever secures it.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Connection for T {}

/// A secured connection.
pub(crate) type Secured = Box<dyn Connection>;

/// Which side of a connection this node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// It connected.
    Client,
    /// It was connected to.
    Server,
}

/// Silence after which the kernel asks whether the peer's host lives, and how often.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_PROBES: u32 = 3;
/// Milliseconds for which sent bytes may stay unacknowledged by the peer's kernel. A kernel sends again
/// what was lost after pauses that double: behind a partition of some seconds it would keep a link silent
/// for as long again. Longer than a lease of the usual time, which is over by then.
const USER_TIMEOUT_MILLISECONDS: u32 = 4_000;
/// How long the peer's kernel has to take a connection. One that is asked for again in its own time
/// would be asked seconds after a partition.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Listens on `address`.
pub(crate) async fn listen(address: &str) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let local = listener.local_addr()?;
    Ok((listener, local))
}

/// Connects to `address`, where the node `meant` is to be, and secures the connection.
pub(crate) async fn connect(
    address: &str,
    meant: NodeId,
    security: &Security,
) -> Result<Secured, SecurityError> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address));
    let stream = stream.await.map_err(late)??;
    prepare(&stream)?;
    Ok(Box::new(security.connect(stream, meant).await?.stream))
}

/// Secures a connection that was accepted; which node it is by its certificate.
pub(crate) async fn accept(
    stream: TcpStream,
    security: &Security,
) -> Result<(Secured, Option<NodeId>), SecurityError> {
    prepare(&stream)?;
    let secured = security.accept(stream).await?;
    Ok((Box::new(secured.stream), secured.node))
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES)?;
    sockopt::set_tcp_user_timeout(stream, USER_TIMEOUT_MILLISECONDS)?;
    Ok(())
}
