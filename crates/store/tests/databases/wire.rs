//! A wire between adapter and server that a test can cut or silence.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use bytes::BytesMut;
use quarry_ports::Host;
use quarry_sim::contract::store::Broken;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
};

/// What happens to the next request on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Fault {
    /// It and its answer pass.
    None = 0,
    /// It passes; its answer does not, and the adapter sees a broken connection.
    LoseAnswer = 1,
    /// The adapter sees a broken connection; the request reaches the server when it is released.
    HoldRequest = 2,
    /// As `LoseAnswer`, and the wire falls silent with it.
    LoseAnswerAndSilence = 3,
}

/// The wire to the server that `QUARRY_TEST_POSTGRES_TCP` names.
pub(crate) struct Wire {
    pub(crate) port: u16,
    fault: Arc<AtomicU8>,
    release: Arc<Notify>,
    arrived: Arc<Notify>,
    silent: watch::Sender<bool>,
}

impl Wire {
    /// Listens on a free port of loopback and passes connections on to `server`.
    pub(crate) async fn start(server: String) -> Result<Self, Broken> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let wire = Self {
            port: listener.local_addr()?.port(),
            fault: Arc::new(AtomicU8::new(Fault::None as u8)),
            release: Arc::new(Notify::new()),
            arrived: Arc::new(Notify::new()),
            silent: watch::Sender::new(false),
        };
        let silent = wire.silent.clone();
        let (fault, release, arrived) =
            (Arc::clone(&wire.fault), Arc::clone(&wire.release), Arc::clone(&wire.arrived));
        let host = Host::system();
        Host::system().spawn("wire", async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&server).await else { continue };
                for stream in [&client, &server] {
                    stream.set_nodelay(true).ok();
                }
                let connection = Connection {
                    fault: Arc::clone(&fault),
                    release: Arc::clone(&release),
                    arrived: Arc::clone(&arrived),
                    heard: silent.subscribe(),
                    silent: silent.clone(),
                };
                host.spawn("wire-connection", async move {
                    // A broken connection is what this is for.
                    drop(connection.run(client, server).await);
                });
            }
        });
        Ok(wire)
    }

    /// Arms `fault` for the next request of any connection.
    pub(crate) fn arm(&self, fault: Fault) {
        self.fault.store(fault as u8, Ordering::SeqCst);
    }

    /// From now on nothing passes, on standing connections and new ones, and none is closed; or all
    /// that was held back passes, late, whether its sender still waits or not.
    pub(crate) fn silence(&self, silent: bool) {
        self.silent.send_replace(silent);
    }

    /// Waits until the wire has fallen silent.
    pub(crate) async fn silenced(&self) {
        drop(self.silent.subscribe().wait_for(|silent| *silent).await);
    }

    /// Lets the held request go to the server, and waits for its answer.
    pub(crate) async fn release(&self) {
        self.release.notify_one();
        self.arrived.notified().await;
    }
}

struct Connection {
    fault: Arc<AtomicU8>,
    release: Arc<Notify>,
    arrived: Arc<Notify>,
    heard: watch::Receiver<bool>,
    silent: watch::Sender<bool>,
}

impl Connection {
    async fn run(mut self, mut client: TcpStream, mut server: TcpStream) -> std::io::Result<()> {
        let (mut request, mut answer) = (BytesMut::new(), BytesMut::new());
        loop {
            request.clear();
            answer.clear();
            request.reserve(1 << 20);
            answer.reserve(1 << 16);
            tokio::select! {
                read = client.read_buf(&mut request) => {
                    let read = read?;
                    self.heard().await;
                    if read == 0 {
                        return Ok(());
                    }
                    let fault = self.fault.swap(Fault::None as u8, Ordering::SeqCst);
                    if fault == Fault::None as u8 {
                        server.write_all(&request).await?;
                        continue;
                    }
                    if fault == Fault::HoldRequest as u8 {
                        drop(client);
                        self.release.notified().await;
                    }
                    server.write_all(&request).await?;
                    // An answer proves that the server has taken the request to its end.
                    if server.read_buf(&mut answer).await? == 0 {
                        return Ok(());
                    }
                    if fault == Fault::LoseAnswerAndSilence as u8 {
                        self.silent.send_replace(true);
                    }
                    self.arrived.notify_one();
                    return Ok(());
                }
                read = server.read_buf(&mut answer) => {
                    let read = read?;
                    self.heard().await;
                    if read == 0 {
                        return Ok(());
                    }
                    client.write_all(&answer).await?;
                }
            }
        }
    }

    /// Waits for the end of a silence.
    async fn heard(&mut self) {
        drop(self.heard.wait_for(|silent| !silent).await);
    }
}
