//! Ports: probed before anything is started, so that a taken one is named with its flag.

use std::{
    io::{Error, ErrorKind},
    net::{SocketAddr, TcpListener, ToSocketAddrs},
};

use quarry_ports::Host;

use crate::{
    configuration::Listen,
    failure::{Exit, Failure},
};

/// A listener of a node, and the flag that moves it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Port<'a> {
    /// What it is for.
    pub(crate) purpose: &'static str,
    /// The flag that moves it.
    pub(crate) flag: &'static str,
    /// Where it is to listen.
    pub(crate) listen: &'a Listen,
}

impl Port<'_> {
    /// Binds it.
    ///
    /// # Errors
    /// Names the flag where the port is taken, the address is not this machine's, or may not be
    /// used.
    pub(crate) fn bind(&self) -> Result<TcpListener, Failure> {
        let listener = self
            .addresses()
            .and_then(|addresses| TcpListener::bind(addresses.as_slice()))
            .map_err(|error| self.explain(&error))?;
        listener.set_nonblocking(true).map_err(|error| self.explain(&error))?;
        Ok(listener)
    }

    /// The address that it would be bound to, after a probe.
    ///
    /// # Errors
    /// As [`Port::bind`].
    pub(crate) fn probe(&self) -> Result<SocketAddr, Failure> {
        self.bind()?.local_addr().map_err(|error| self.explain(&error))
    }

    fn addresses(&self) -> Result<Vec<SocketAddr>, Error> {
        let bare = self.listen.host.trim_start_matches('[').trim_end_matches(']');
        Ok((bare, self.listen.port).to_socket_addrs()?.collect())
    }

    fn explain(&self, error: &Error) -> Failure {
        let Self { purpose, flag, listen } = self;
        let reason = match error.kind() {
            ErrorKind::AddrInUse => "another process listens there".to_owned(),
            ErrorKind::AddrNotAvailable => "it is not an address of this machine".to_owned(),
            ErrorKind::PermissionDenied => "this user may not listen there".to_owned(),
            _ => error.to_string(),
        };
        Failure::new(Exit::Failed, format!("{purpose} cannot listen on {listen}: {reason}"))
            .advise(format!("choose another with {flag}"))
    }
}

/// Below the ports that the kernel gives to outgoing connections, so that none of those takes one
/// between its choice and its use.
const LOWEST: u64 = 17_000;
const HIGHEST: u64 = 32_000;

/// A loopback port that is free now and not among `taken`.
///
/// # Errors
/// Where none was found.
pub(crate) fn free_port(host: &Host, taken: &[u16]) -> Result<u16, Failure> {
    for _ in 0..1_000 {
        let number = LOWEST + host.random.next_u64() % (HIGHEST - LOWEST);
        let Ok(port) = u16::try_from(number) else { continue };
        if !taken.contains(&port) && is_free(port) {
            return Ok(port);
        }
    }
    Err(Failure::new(Exit::Failed, "no free port was found on 127.0.0.1"))
}

/// Whether nobody listens on this loopback port.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_names_its_flag() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = holder.local_addr().unwrap().port();
        let listen = Listen { host: "127.0.0.1".into(), port };
        let failure =
            Port { purpose: "the mesh", flag: "--mesh", listen: &listen }.bind().unwrap_err();
        assert!(failure.to_string().contains("--mesh"), "{failure}");
        assert!(failure.to_string().contains("another process"), "{failure}");
    }

    #[test]
    fn free_ports_differ_from_those_taken() {
        let host = Host::system();
        let first = free_port(&host, &[]).unwrap();
        let second = free_port(&host, &[first]).unwrap();
        assert_ne!(first, second);
    }
}
