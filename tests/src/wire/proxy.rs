//! The wire itself: passes everything on until it is told to hold a commit.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result};
use quarry_ports::Host;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};

use super::requests::Requests;

/// With this the server's answer to a request ends, but for one byte of state.
const READY: [u8; 5] = [b'Z', 0, 0, 0, 5];

/// Where a commit is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// All of it but the closing Sync reaches the server: it is executed, its locks are held, and it
    /// is not committed.
    BeforeSync,
    /// It is committed, and its answer does not reach the node.
    BeforeAnswer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Passing,
    Armed(Hold),
    /// A connection holds a commit, and is not yet at the place where it is held.
    Taken,
    Held,
}

/// Connections to one server. Those that stand go on without this value.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    phase: watch::Sender<Phase>,
    is_shut: watch::Sender<bool>,
}

impl Wire {
    /// Listens on a free port of `host`, an address of this machine, and passes connections on to
    /// `server`.
    pub async fn start(host: Ipv4Addr, server: String) -> Result<Self> {
        let listener = TcpListener::bind((host, 0)).await?;
        let (address, phase) = (listener.local_addr()?, watch::Sender::new(Phase::Passing));
        let is_shut = watch::Sender::new(false);
        let (host, shared, gate) = (Host::system(), phase.clone(), is_shut.clone());
        Host::system().spawn("wire", async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&server).await else { continue };
                let (phase, gate) = (shared.clone(), gate.subscribe());
                host.spawn("wire-connection", async move {
                    // Either end may close whenever it likes; the other then sees it closed too.
                    drop(pass(client, server, phase, gate).await);
                });
            }
        });
        Ok(Self { address, phase, is_shut })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Holds the next commit, of whichever connection.
    pub fn arm(&self, hold: Hold) {
        self.phase.send_replace(Phase::Armed(hold));
    }

    /// Waits until a commit is held.
    pub async fn held(&self, within: Duration) -> Result<()> {
        let mut phase = self.phase.subscribe();
        let held = timeout(within, phase.wait_for(|phase| *phase == Phase::Held)).await;
        held.with_context(|| format!("no commit came by within {within:?}"))??;
        Ok(())
    }

    /// From now on one more commit of each connection passes, and what is sent behind it waits here:
    /// of a message that is accepted, what became of it.
    pub fn shut(&self) {
        self.is_shut.send_replace(true);
    }

    /// Lets what waits go on, in order.
    pub fn open(&self) {
        self.is_shut.send_replace(false);
    }

    /// Lets what is held go on.
    pub fn release(&self) {
        self.phase.send_replace(Phase::Passing);
    }
}

/// Passes one connection on, until either end closes it.
async fn pass(
    mut client: TcpStream,
    mut server: TcpStream,
    phase: watch::Sender<Phase>,
    mut gate: watch::Receiver<bool>,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let mut requests = Requests::default();
    let mut has_committed = false;
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                if has_committed && *gate.borrow() {
                    // Where nobody can open it any more, it stays as it is.
                    let _ = gate.wait_for(|is_shut| !is_shut).await;
                }
                has_committed &= *gate.borrow();
                requests.push(asked.get(..read).unwrap_or_default());
                while let Some(request) = requests.next() {
                    has_committed |= request.ends_commit && *gate.borrow();
                    match take(&phase, request.ends_commit) {
                        None => server.write_all(&request.bytes).await?,
                        Some(Hold::BeforeSync) => {
                            hold(&phase).await;
                            server.write_all(&request.bytes).await?;
                        }
                        Some(Hold::BeforeAnswer) => {
                            server.write_all(&request.bytes).await?;
                            let answer = whole_answer(&mut server).await?;
                            hold(&phase).await;
                            client.write_all(&answer).await?;
                        }
                    }
                }
            }
            read = server.read(&mut answered) => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                client.write_all(answered.get(..read).unwrap_or_default()).await?;
            }
        }
    }
}

/// Whether a connection at the end of a commit is the one to hold it; only the first is.
fn take(phase: &watch::Sender<Phase>, ends_commit: bool) -> Option<Hold> {
    let mut taken = None;
    phase.send_if_modified(|phase| match *phase {
        Phase::Armed(hold) if ends_commit => {
            taken = Some(hold);
            *phase = Phase::Taken;
            true
        }
        _ => false,
    });
    taken
}

/// Says that the commit is held, and waits until it may go on.
async fn hold(phase: &watch::Sender<Phase>) {
    phase.send_replace(Phase::Held);
    // This very sender keeps the channel open.
    let _ = phase.subscribe().wait_for(|phase| *phase == Phase::Passing).await;
}

/// Reads until the server is ready for the next request; nothing is asked of it meanwhile.
async fn whole_answer(server: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    loop {
        if server.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let end = answer.len().saturating_sub(READY.len() + 1);
        if answer.get(end..).is_some_and(|end| end.starts_with(&READY)) {
            return Ok(answer);
        }
    }
}
