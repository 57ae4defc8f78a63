//! The sockets of the mesh: ours, not the substrate's, so that deadlines and options are ours too.

use std::{io, net::SocketAddr, time::Duration};

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
/// Milliseconds for which sent bytes may stay unacknowledged by the peer's kernel.
const USER_TIMEOUT_MILLISECONDS: u32 = 10_000;

/// Listens on `address`.
pub(crate) async fn listen(address: &str) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let local = listener.local_addr()?;
    Ok((listener, local))
}

/// Connects to `address` and secures the connection.
pub(crate) async fn connect(address: &str) -> io::Result<Secured> {
    secure(TcpStream::connect(address).await?, Side::Client).await
}

/// Sets the socket's options and makes the connection what it is to be beyond loopback. The one
/// place where TLS wraps the stream of either side; without it, the bytes cross as they are.
#[expect(clippy::unused_async, reason = "a TLS handshake waits for the peer")]
pub(crate) async fn secure(stream: TcpStream, _side: Side) -> io::Result<Secured> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(&stream, true)?;
    sockopt::set_tcp_keepidle(&stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(&stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(&stream, KEEPALIVE_PROBES)?;
    sockopt::set_tcp_user_timeout(&stream, USER_TIMEOUT_MILLISECONDS)?;
    Ok(Box::new(stream))
}
